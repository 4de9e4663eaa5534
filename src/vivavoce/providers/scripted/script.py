"""The reply of the scripted chat model, as a function of the conversation.

It follows the first of its simple instructions (docs/providers/scripted.md lists them) that matches the user's
last message, and then the session's instructions and system messages.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vivavoce.protocol.items import FunctionCallOutput, InputImage, Item, McpCall, Message
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.providers.dialogue import content_text, describe_json, mcp_result
from vivavoce.providers.scripted import PATTERNS, WORDS
from vivavoce.providers.scripted.tool_calls import calls_for, sentences_of, stems
from vivavoce.text.en.numbers import number_from, numeral

Ending = Literal["stop", "fail", "silence"]
_ENDINGS: Mapping[str, Ending] = {"fail": "fail", "stay silent": "silence"}


@dataclass(frozen=True)
class Plan:
    """A reply in words or tool calls, and how it ends."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    ending: Ending = "stop"


@dataclass(frozen=True)
class _History:
    """The relevant parts of a conversation, newest first: the user's messages, and what else counts."""

    asked: str
    earlier: Sequence[str]
    replies: Sequence[str]
    results: Sequence[str]
    rules: str
    images: Sequence[str]

    @classmethod
    def of(cls, request: ChatRequest) -> "_History":
        messages = [item for item in request.items if isinstance(item, Message)]
        texts = [(message.role, content_text(message.content)) for message in reversed(messages)]
        newest = messages[-1].content if messages else ()
        users = [text for role, text in texts if role == "user"]
        return cls(
            asked=users[0] if users else "",
            earlier=[text for text in users[1:] if text],
            replies=[text for role, text in texts if role == "assistant" and text],
            results=_last_results(request.items),
            rules="\n".join([*(text for role, text in texts if role == "system"), request.instructions]),
            images=[_image(part.image_url) for part in newest if isinstance(part, InputImage)],
        )


def _last_results(items: Sequence[Item]) -> list[str]:
    """Return the results of tools since the last message."""
    results: list[str] = []
    for item in reversed(items):
        match item:
            case Message():
                break
            case FunctionCallOutput(output=output):
                results.append(output)
            case McpCall():
                results.append(mcp_result(item))
    return results[::-1]


def _image(url: str) -> str:
    head, comma, data = url.partition(";base64,")
    return f"an image of {len(data.rstrip('=')) * 3 // 4} bytes" if comma else f"an image at {head}"


def plan(request: ChatRequest) -> Plan:
    """Return the reply to `request`. The same request always gets the same reply."""
    history = _History.of(request)
    ending, after = _forced_ending(history)
    if ending != "stop" and after is None:
        return Plan(ending=ending)
    if not history.results and (calls := calls_for(history.asked, history.rules, request)):
        return Plan(calls=calls)
    text = _answer(history)
    if after is not None:
        text = " ".join(text.split()[:after])
    return Plan(text=text, ending=ending)


def _forced_ending(history: _History) -> tuple[Ending, int | None]:
    """Return how the reply must end, and after how many words; only a whole sentence can request that."""
    for sentence in sentences_of(history.asked) + sentences_of(history.rules):
        if match := PATTERNS["forced_ending"].fullmatch(sentence):
            words = number_from(match["words"]) if match["words"] else None
            after = None if words is None else int(words)
            ending = _ENDINGS.get(match["what"].lower())
            return (ending, after) if ending else ("stop", 0)
    return "stop", None


def _answer(history: _History) -> str:
    """Return the text of the reply, of the requested length."""
    if history.results:
        return " ".join(map(_result_text, history.results))
    length = _length_in(history.asked) or _length_in(history.rules) or _Length()
    for sentences in (sentences_of(history.asked), sentences_of(history.rules)):
        if (exact := _dictated(sentences)) is not None:
            return exact
        if (count := _counting(" ".join(sentences))) is not None:
            return count
    if history.images:
        return f"I see {' and '.join(history.images)}."
    text, value = _recalled(history) or (_echo(history.asked), "Yes")
    return length.fit(text, value)


def _result_text(output: str) -> str:
    """Return a tool's result as text: JSON as `name: value`, other text unchanged."""
    words = describe_json(output).strip()
    if words == output.strip():
        return words or "The tool has said nothing."
    words = words or "The tool has said nothing"
    return words if words[-1] in ".!?" else f"{words}."


_ECHO_WORDS = 20


def _echo(asked: str) -> str:
    if not asked:
        return "Hello, this is the scripted voice. Please go on."
    words = asked.split()[-_ECHO_WORDS:]
    return f"You said: {' '.join(words).rstrip('.!?,; ')}. Please go on."


# dictated words, and counting


def _dictated(sentences: Iterable[str]) -> str | None:
    """Return the text to be repeated verbatim: the rest of the text after an instruction such as "say"."""
    rest = list(sentences)
    for index, sentence in enumerate(rest):
        if not (match := PATTERNS["exactly"].fullmatch(sentence)) or PATTERNS["vague"].match(match["words"]):
            continue
        words = match["words"].strip()
        if re.match(r"[\"“']", words):
            quoted = PATTERNS["quoted"].match(" ".join([words, *rest[index + 1 :]]))
            if quoted and not PATTERNS["when"].search(words[quoted.end() :]):
                return quoted[1]
        elif "exactly" in sentence.lower() or not PATTERNS["when"].search(words):
            return words
    return None


def _counting(text: str) -> str | None:
    """Count as requested, ten numbers per sentence."""
    if not (match := PATTERNS["count"].search(text)):
        return None
    low, high = number_from(match["low"] or "one"), number_from(match["high"].split("-to")[0])
    if not isinstance(low, int) or not isinstance(high, int) or not 0 <= low <= high <= 999:
        return None
    numbers = [numeral(number) for number in range(low, high + 1)]
    tens = (", ".join(numbers[start : start + 10]) for start in range(0, len(numbers), 10))
    return " ".join(f"{ten.capitalize()}." for ten in tens)


# length

_STORY_SENTENCES = 24
_CHARS_PER_SECOND = 15


@dataclass(frozen=True)
class _Length:
    """A number of words, sentences, or seconds of speech; without any, the text is unchanged."""

    words: int | None = None
    sentences: int | None = None
    seconds: float | None = None

    def fit(self, text: str, value: str) -> str:
        """Return a reply of this length: `value` if one word is requested, a story if many are."""
        if self.words == 1:
            return f"{value.split()[0].strip('.,;:!?')}."
        if self.words is not None:
            return " ".join((text + " " + _story(sentences=self.words)).split()[: self.words])
        if self.seconds is not None:
            return _story(chars=int(self.seconds * _CHARS_PER_SECOND))
        if self.sentences is None:
            return text
        return sentences_of(text)[0] if self.sentences <= 1 else _story(sentences=self.sentences)


def _length_in(text: str) -> _Length | None:
    for match in PATTERNS["length"].finditer(text):
        if match["long"]:
            return _Length(sentences=_STORY_SENTENCES)
        number = _amount(match["words"] or match["sentences"] or match["time"])
        if number is None or number <= 0:
            continue
        if match["words"]:
            return _Length(words=int(number))
        if match["sentences"]:
            return _Length(sentences=int(number))
        return _Length(seconds=number * (60 if match["unit"].lower() == "minute" else 1))
    return None


def _amount(words: str) -> float | None:
    return 1 if words.lower() in ("a", "an", "a single", "single") else number_from(words)


def _story(*, sentences: int = 0, chars: int = 0) -> str:
    """Return a story of this many sentences, or of this many characters, whichever is longer."""
    story: list[str] = []
    while len(story) < sentences or sum(map(len, story)) < chars:
        story.append(WORDS["story"][len(story) % len(WORDS["story"])])
    return " ".join(story)


# memory


def _recalled(history: _History) -> tuple[str, str] | None:
    """Answer a question about an earlier statement, or acknowledge a fact: a sentence, and its key word."""
    asked, before = history.asked, [*history.earlier, history.rules]
    if PATTERNS["again"].search(asked) and history.replies:
        return history.replies[0], history.replies[0].split(" ")[0]
    if PATTERNS["did_i_say"].search(asked):
        if not history.earlier:
            return "You have not said anything before.", "Nothing"
        first = bool(re.search(r"\bfirst\b|\bat the beginning\b", asked, re.IGNORECASE))
        last = history.earlier[-1 if first else 0]
        return f"You said: {last}", last
    if PATTERNS["who_am_i"].search(asked):
        return _fact("name", before)
    if question := next(filter(None, map(PATTERNS["question"].search, sentences_of(asked))), None):
        return _fact(question["what"].strip(), before)
    if (fact := PATTERNS["fact"].search(asked)) and PATTERNS["noted"].match(fact[0]):
        value = fact["value"].strip()
        return f"I will remember that your {fact['what'].strip()} is {value}.", value
    if PATTERNS["remember"].search(asked):
        return "I will remember that.", "Yes"
    return None


def _fact(what: str, before: Sequence[str]) -> tuple[str, str]:
    sentences = (sentence for text in before for sentence in reversed(sentences_of(text)))
    if value := next(filter(None, (_value(what, sentence) for sentence in sentences)), None):
        return f"Your {what} is {value}.", value
    return f"I do not know the {what}; nobody has told me.", "Unknown"


def _value(what: str, sentence: str) -> str | None:
    key = stems(what)
    for match in PATTERNS["fact"].finditer(sentence):
        if key and key <= stems(match["what"]):
            return match["value"].strip()
    if "name" in what.lower() and (named := PATTERNS["named"].search(sentence)):
        return named["value"]
    if (remembered := PATTERNS["remember"].search(sentence)) and (
        key & stems(sentence) or re.search(r"word|number|code|remember", what)
    ):
        return re.sub(r"^.*\b(?:is|are)\s+", "", remembered["value"]).strip()
    return None
