"""What an obedient speaker answers: a function of what was said, with no model behind it.

It knows a handful of plain instructions (the page on scripted providers lists them) and takes the first that
fits: in the caller's last words, then in the session's instructions and system messages.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import UNSET

from vivavoce.protocol.items import (
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.providers import ChatRequest, ToolCall
from vivavoce.providers.arguments import arguments_from
from vivavoce.providers.dialogue import outcome
from vivavoce.providers.numerals import number_from, numeral

__all__ = ["UNHEARD", "Plan", "plan", "text_of"]

UNHEARD = "I said something for"
"""How the scripted transcriber's account of a sound begins; it may mean anything."""

STORY_SENTENCES = 24
CHARS_PER_SECOND = 15
ECHO_WORDS = 20
STORY = (
    "There was once a lighthouse at the edge of a quiet sea.",
    "Its keeper climbed the stairs every evening with a lamp and a book.",
    "A ship passed in the night, and the keeper wished it well.",
    "In the morning the gulls told each other what they had seen.",
    "Nobody was in a hurry, and the weather was kind.",
    "The keeper wrote down the tide, and then made some tea.",
)

Ending = Literal["stop", "fail", "silence"]


@dataclass(frozen=True)
class Plan:
    """What will be answered, in words or tool calls, and how it ends."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    ending: Ending = "stop"


@dataclass(frozen=True)
class _Said:
    """The conversation as the obedient speaker sees it, newest first."""

    asked: str
    earlier: Sequence[str]
    replies: Sequence[str]
    outputs: Sequence[str]
    rules: str
    images: Sequence[str] = ()


def plan(request: ChatRequest) -> Plan:
    """Decide the answer to `request`. The same request always gets the same answer."""
    said = _said(request)
    ending, after = _trouble(said)
    if ending != "stop" and after is None:
        return Plan(ending=ending)
    if not said.outputs and (calls := _calls(said, request)):
        return Plan(calls=calls)
    text = _spoken(said)
    if after is not None:
        text = " ".join(text.split()[:after])
    return Plan(text=text, ending=ending)


def text_of(item: Message) -> str:
    """Return the words of a message, written or said."""
    texts: list[str] = []
    for part in item.content:
        match part:
            case InputText(text=text) | OutputText(text=text):
                texts.append(text)
            case InputAudio(transcript=str(text)) | OutputAudio(transcript=str(text)):
                texts.append(text)
    return " ".join(filter(None, texts))


def _said(request: ChatRequest) -> _Said:
    messages = [item for item in request.items if isinstance(item, Message)]
    users = [text_of(message) for message in reversed(messages) if message.role == "user"]
    systems = [text_of(message) for message in messages if message.role == "system"]
    return _Said(
        asked=users[0] if users else "",
        earlier=[text for text in users[1:] if text],
        replies=[text_of(message) for message in reversed(messages) if message.role == "assistant"],
        outputs=_last_outputs(request.items),
        rules="\n".join([*reversed(systems), request.instructions]),
        images=_images(messages),
    )


def _images(messages: Sequence[Message]) -> list[str]:
    """Return what the user shows in the last message."""
    shown = messages[-1].content if messages else ()
    return [_about(part.image_url) for part in shown if isinstance(part, InputImage)]


def _about(url: str) -> str:
    head, comma, data = url.partition(";base64,")
    return f"an image of {len(data.rstrip('=')) * 3 // 4} bytes" if comma else f"an image at {head}"


def _last_outputs(items: Sequence[Item]) -> list[str]:
    """Return what tools have answered since anyone last spoke."""
    outputs: list[str] = []
    for item in reversed(items):
        if isinstance(item, Message):
            break
        if isinstance(item, FunctionCallOutput):
            outputs.append(item.output)
        if isinstance(item, McpCall):
            outputs.append(outcome(item))
    return outputs[::-1]


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


# trouble, on demand

TROUBLE = re.compile(
    r"(?:please )?(?P<what>fail|stay silent|say nothing)(?: after (?P<words>[\w-]+) words?)?[.!]?",
    re.IGNORECASE,
)


def _trouble(said: _Said) -> tuple[Ending, int | None]:
    """Return how the answer shall end and after how many words; only a whole sentence asks for trouble."""
    for sentence in _sentences(said.asked) + _sentences(said.rules):
        if match := TROUBLE.fullmatch(sentence):
            words = number_from(match["words"]) if match["words"] else None
            after = None if words is None else int(words)
            match match["what"].lower():
                case "fail":
                    return "fail", after
                case "stay silent":
                    return "silence", after
                case _:
                    return "stop", 0
    return "stop", None


# tools

GENERIC = {
    *(
        "get",
        "set",
        "find",
        "do",
        "run",
        "make",
        "fetch",
        "call",
        "tool",
        "check",
        "create",
        "use",
        "show",
        "give",
    ),
    *("tell", "look", "up", "a", "an", "the", "of", "for", "to", "in", "on", "and", "or", "with", "by", "from"),
    *("my", "your", "me", "is", "it", "this", "that", "what", "user"),
}
NEVER = re.compile(r"\b(?:not|never|don't|no longer)\b", re.IGNORECASE)
CONDITION = re.compile(r"\b(?:when|whenever|if|once|can|may|available|for|to)\b", re.IGNORECASE)
DIRECTIVE = re.compile(r"\b(?:call|use|invoke|run|always|must)\b", re.IGNORECASE)


def _calls(said: _Said, request: ChatRequest) -> tuple[ToolCall, ...]:
    tools = {tool.name: tool for tool in request.tools}
    match request.tool_choice:
        case "none":
            return ()
        case ToolChoiceFunction(name=name):
            chosen = [tools[name]] if name in tools else []
        case "required":
            chosen = _wanted(said, request.tools) or list(request.tools[:1])
        case _:
            chosen = _wanted(said, request.tools)
    return tuple(_call(tool, said) for tool in chosen)


def _wanted(said: _Said, tools: Sequence[FunctionTool]) -> list[FunctionTool]:
    """Return the tools that the caller names, else the one the words are about, else those of the rules."""
    if named := [tool for tool in tools if _names(said.asked, tool) and not NEVER.search(said.asked)]:
        return named
    forbidden = [tool for tool in tools if _forbidden(said.rules, tool)]
    allowed = [tool for tool in tools if tool not in forbidden]
    scores = [(_score(said.asked, tool), -index) for index, tool in enumerate(allowed)]
    if scores and (best := max(scores))[0] >= 2:
        return [allowed[-best[1]]]
    return [tool for tool in allowed if _ordered(said, tool)]


def _names(text: str, tool: FunctionTool) -> bool:
    words = re.escape(tool.name).replace("_", r"[\s_-]+")
    return ("_" in tool.name and bool(re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE))) or bool(
        re.search(
            rf"\b(?:call|use|invoke|run|tool)\s+(?:the\s+)?(?:tool\s+)?[`'\"]?{words}(?!\w)",
            text,
            re.IGNORECASE,
        )
    )


def _forbidden(rules: str, tool: FunctionTool) -> bool:
    return any(NEVER.search(sentence) and _names(sentence, tool) for sentence in _sentences(rules))


def _score(text: str, tool: FunctionTool) -> int:
    """Count two for each word of the tool's name in `text`, one for each of its description."""
    said = _stems(text)
    description = tool.description if tool.description is not UNSET else ""
    return 2 * len(said & _stems(_spaced(tool.name))) + len(said & _stems(description))


def _ordered(said: _Said, tool: FunctionTool) -> bool:
    """Say whether the rules order this tool now; a sound that nobody understood fulfils every condition."""
    for sentence in _sentences(said.rules):
        if not _names(sentence, tool) or not DIRECTIVE.search(sentence):
            continue
        if not CONDITION.search(sentence) or not said.asked or said.asked.startswith(UNHEARD):
            return True
        if _stems(said.asked) & _stems(sentence):
            return True
    return False


def _call(tool: FunctionTool, said: _Said) -> ToolCall:
    schema = tool.parameters if tool.parameters is not UNSET else {}
    rule = " ".join(sentence for sentence in _sentences(said.rules) if _names(sentence, tool))
    request = "" if said.asked.startswith(UNHEARD) and rule else said.asked
    spoken = re.sub(re.escape(tool.name), " ", request)
    arguments = arguments_from(schema, spoken, rule.partition(tool.name)[2])
    return ToolCall(tool.name, msgspec.json.encode(arguments).decode())


def _spaced(name: str) -> str:
    return re.sub(r"[_-]+|(?<=[a-z])(?=[A-Z])", " ", name)


def _stems(text: str) -> set[str]:
    words = set(re.findall(r"[a-z0-9']+", text.lower())) - GENERIC
    return {re.sub(r"(?:ing|es|s|ed)$", "", word) if len(word) > 4 else word for word in words}


# words

WHEN = re.compile(r"\b(?:when|whenever|if|before|after|until|once)\b", re.IGNORECASE)
EXACTLY = re.compile(
    r"(?:please |always |now |only )*"
    r"(?:repeat after me|repeat|say|(?:reply|answer|respond)(?= only with| with| exactly|:| [\"“']))"
    r"(?: only| just| always| aloud)*(?: with)?(?: exactly| only| just)*(?: this| the following)?"
    r"(?: (?:the )?(?:words?|sentence|phrase))?\s*[:,]?\s+(?P<words>.+)",
    re.IGNORECASE | re.DOTALL,
)
VAGUE = re.compile(
    r"(?:a|an|it|in|at|that|what|how|whether|more|something|anything|nothing|again|your|my)\b", re.IGNORECASE
)
QUOTED = re.compile(r"[\"“'](.+?)[\"”'](?=\W|$)", re.DOTALL)
COUNT = re.compile(
    r"\bcount (?:aloud )?(?:from (?P<low>[\w-]+) )?(?:up )?to (?P<high>[\w-]+(?: hundred)?)", re.IGNORECASE
)
AGAIN = re.compile(r"\b(?:say|repeat) (?:that|it)(?: again)?\b|\bwhat did you say\b", re.IGNORECASE)
DID_I_SAY = re.compile(r"\bwhat (?:did i|have i|i) (?:just )?(?:say|said|tell|told|ask|asked)\b", re.IGNORECASE)
ASKS = re.compile(
    r"\b(?:what(?:'s| is| was| are| were)|who(?:'s| is)|where(?:'s| is)|when(?:'s| is)|tell me(?: again)?|"
    r"(?:do you )?(?:remember|recall|know)) (?:again )?(?P<whose>my|your|the|our|his|her) (?P<what>[\w' -]+?)"
    r"(?: called| named)?(?: again| now| then|,[^?]*)?[?.!]*$",
    re.IGNORECASE,
)
WHO_AM_I = re.compile(r"\bwho am i\b|\bwhat am i called\b", re.IGNORECASE)
TOLD = re.compile(
    r"\b(?:my|your|the|our|his|her) (?P<what>[\w' -]+?) (?:is|was|are|were) (?:called |named )?"
    r"(?P<value>[^.,;!?\n]+?)(?= and (?:my|your|the|our|i)\b|[.,;!?\n]|$)",
    re.IGNORECASE,
)
NOTED = re.compile(r"my\b|our\b|the [\w ]*(?:code|word|password|secret|number)", re.IGNORECASE)
NAMED = re.compile(r"\b(?i:i am|i'm|call me|this is) (?P<value>[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*)")
REMEMBER = re.compile(
    r"\bremember (?:this|that|the (?:words?|number|code)|these)?\s*:?\s*(?P<value>[^.;!?\n]+)", re.IGNORECASE
)


def _spoken(said: _Said) -> str:
    """Return the words of the answer, cut or drawn out to the length that was asked for."""
    if said.outputs:
        return " ".join(_aloud(output) for output in said.outputs)
    length = _length(said.asked) or _length(said.rules) or _Length()
    sources = [_sentences(said.asked), _sentences(said.rules)]
    for sentences in sources:
        if (exact := _exactly(sentences)) is not None:
            return exact
        if (count := _counting(" ".join(sentences))) is not None:
            return count
    if said.images:
        return f"I see {' and '.join(said.images)}."
    if (fact := _recalled(said)) is not None:
        return _fitted(fact.text, fact.value, length)
    return _fitted(_echo(said.asked), "Yes", length)


def _exactly(sentences: Iterable[str]) -> str | None:
    """Return what shall be said word for word: the rest of the text from the words on."""
    rest = list(sentences)
    for index, sentence in enumerate(rest):
        if not (match := EXACTLY.fullmatch(sentence)) or VAGUE.match(match["words"]):
            continue
        words = match["words"].strip()
        if re.match(r"[\"“']", words):
            whole = " ".join([words, *rest[index + 1 :]])
            if (quoted := QUOTED.match(whole)) and not WHEN.search(words[quoted.end() :]):
                return quoted[1]
        elif "exactly" in sentence.lower() or not WHEN.search(words):
            return words
    return None


def _counting(text: str) -> str | None:
    """Count as asked, ten numbers to a sentence."""
    if not (match := COUNT.search(text)):
        return None
    low, high = number_from(match["low"] or "one"), number_from(match["high"].split("-to")[0])
    if not isinstance(low, int) or not isinstance(high, int) or not 0 <= low <= high <= 999:
        return None
    numbers = [numeral(number) for number in range(low, high + 1)]
    tens = (", ".join(numbers[start : start + 10]) for start in range(0, len(numbers), 10))
    return " ".join(f"{ten.capitalize()}." for ten in tens)


@dataclass(frozen=True)
class _Fact:
    text: str
    value: str


def _recalled(said: _Said) -> _Fact | None:
    """Answer a question about what was said before, or take note of what is said now."""
    before = [*said.earlier, said.rules]
    if AGAIN.search(said.asked) and said.replies:
        return _Fact(said.replies[0], said.replies[0].split(" ")[0])
    if DID_I_SAY.search(said.asked):
        if not said.earlier:
            return _Fact("You have not said anything before.", "Nothing")
        first = bool(re.search(r"\bfirst\b|\bat the beginning\b", said.asked, re.IGNORECASE))
        last = said.earlier[-1 if first else 0]
        return _Fact(f"You said: {last}", last)
    if WHO_AM_I.search(said.asked):
        return _fact("name", before)
    if asks := next((match for sentence in _sentences(said.asked) if (match := ASKS.search(sentence))), None):
        return _fact(asks["what"].strip(), before)
    if (fact := TOLD.search(said.asked)) and NOTED.match(fact[0]):
        value = fact["value"].strip()
        return _Fact(f"I will remember that your {fact['what'].strip()} is {value}.", value)
    if REMEMBER.search(said.asked):
        return _Fact("I will remember that.", "Yes")
    return None


def _fact(what: str, before: Sequence[str]) -> _Fact:
    for text in before:
        for sentence in reversed(_sentences(text)):
            value = _value(what, sentence)
            if value:
                return _Fact(f"Your {what} is {value}.", value)
    return _Fact(f"I do not know the {what}; nobody has told me.", "Unknown")


def _value(what: str, sentence: str) -> str | None:
    key = _stems(what)
    for match in TOLD.finditer(sentence):
        if key and key <= _stems(match["what"]):
            return match["value"].strip()
    if "name" in what.lower() and (named := NAMED.search(sentence)):
        return named["value"]
    if (remembered := REMEMBER.search(sentence)) and (
        key & _stems(sentence) or re.search(r"word|number|code|remember", what)
    ):
        return re.sub(r"^.*\b(?:is|are)\s+", "", remembered["value"]).strip()
    return None


def _echo(asked: str) -> str:
    if not asked:
        return "Hello, this is the scripted voice. Please go on."
    words = asked.split()[-ECHO_WORDS:]
    return f"You said: {' '.join(words).rstrip('.!?,; ')}. Please go on."


def _aloud(output: str) -> str:
    """Return a tool's output as words: text as it is, JSON as `name: value`."""
    try:
        value = msgspec.json.decode(output)
    except msgspec.DecodeError:
        return output.strip() or "The tool has said nothing."
    words = _flat(value).strip() or "The tool has said nothing"
    return words if words[-1] in ".!?" else f"{words}."


def _flat(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{_spaced(str(key))}: {_flat(part)}" for key, part in value.items())
        case list():
            return ", ".join(_flat(part) for part in value)
        case True | False | None:
            return {True: "yes", False: "no", None: "nothing"}[value]
        case _:
            return str(value)


# length

LENGTH = re.compile(
    r"\b(?:(?:in|with|use|only|exactly)? ?(?P<words>an?|one|a single|[\w-]+)[ -]words?\b(?! is| was|:)"
    r"|(?:in|with|only|exactly) (?P<sentences>an?|one|a single|[\w-]+) sentences?\b"
    r"|for (?:about |at least )?(?P<time>an?|[\w-]+) (?P<unit>second|minute)s?\b"
    r"|(?P<long>at (?:great )?length|in (?:great )?detail|keep talking|talk a lot"
    r"|(?:a )?(?:very )?long (?:[\w-]+ )?(?:story|answer|answers|reply|replies|explanation|poem|speech|text)"
    r"|tell (?:me |us )?(?:a|the|another) (?:[\w-]+ )?story))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Length:
    words: int | None = None
    sentences: int | None = None
    seconds: float | None = None


def _length(text: str) -> _Length | None:
    for match in LENGTH.finditer(text):
        if match["long"]:
            return _Length(sentences=STORY_SENTENCES)
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


def _fitted(text: str, word: str, length: _Length) -> str:
    """Return an answer of the length asked for: `word` when one is wanted, a story when many are."""
    if length.words == 1:
        return f"{word.split()[0].strip('.,;:!?')}."
    if length.words is not None:
        return " ".join((text + " " + _story(sentences=length.words)).split()[: length.words])
    if length.seconds is not None:
        return _story(chars=int(length.seconds * CHARS_PER_SECOND))
    if length.sentences is None:
        return text
    if length.sentences <= 1:
        return _sentences(text)[0]
    return _story(sentences=length.sentences)


def _story(*, sentences: int = 0, chars: int = 0) -> str:
    """Tell a story of so many sentences, or of so many characters, whichever is more."""
    told: list[str] = []
    while len(told) < sentences or sum(map(len, told)) < chars:
        told.append(STORY[len(told) % len(STORY)])
    return " ".join(told)
