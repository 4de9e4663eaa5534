"""What an obedient speaker says: word for word, counted, remembered, or an echo."""

import re
from collections.abc import Iterable

import msgspec

from vivavoce.providers.scripted.history import Said, sentences_of, spaced
from vivavoce.providers.scripted.length import Length, fitted, length_in
from vivavoce.providers.scripted.memory import recalled
from vivavoce.text.en.numbers import number_from, numeral

__all__ = ["answer_to"]

_ECHO_WORDS = 20
_WHEN = re.compile(r"\b(?:when|whenever|if|before|after|until|once)\b", re.IGNORECASE)
_EXACTLY = re.compile(
    r"(?:please |always |now |only )*"
    r"(?:repeat after me|repeat|say|(?:reply|answer|respond)(?= only with| with| exactly|:| [\"“']))"
    r"(?: only| just| always| aloud)*(?: with)?(?: exactly| only| just)*(?: this| the following)?"
    r"(?: (?:the )?(?:words?|sentence|phrase))?\s*[:,]?\s+(?P<words>.+)",
    re.IGNORECASE | re.DOTALL,
)
_VAGUE = re.compile(
    r"(?:a|an|it|in|at|that|what|how|whether|more|something|anything|nothing|again|your|my)\b", re.IGNORECASE
)
_QUOTED = re.compile(r"[\"“'](.+?)[\"”'](?=\W|$)", re.DOTALL)
_COUNT = re.compile(
    r"\bcount (?:aloud )?(?:from (?P<low>[\w-]+) )?(?:up )?to (?P<high>[\w-]+(?: hundred)?)", re.IGNORECASE
)


def answer_to(said: Said) -> str:
    """Return the words of the answer, cut or drawn out to the length that was asked for."""
    if said.outputs:
        return " ".join(_aloud(output) for output in said.outputs)
    length = length_in(said.asked) or length_in(said.rules) or Length()
    sources = [sentences_of(said.asked), sentences_of(said.rules)]
    for sentences in sources:
        if (exact := _exactly(sentences)) is not None:
            return exact
        if (count := _counting(" ".join(sentences))) is not None:
            return count
    if said.images:
        return f"I see {' and '.join(said.images)}."
    if (fact := recalled(said)) is not None:
        return fitted(fact.text, fact.value, length)
    return fitted(_echo(said.asked), "Yes", length)


def _exactly(sentences: Iterable[str]) -> str | None:
    """Return what shall be said word for word: the rest of the text from the words on."""
    rest = list(sentences)
    for index, sentence in enumerate(rest):
        if not (match := _EXACTLY.fullmatch(sentence)) or _VAGUE.match(match["words"]):
            continue
        words = match["words"].strip()
        if re.match(r"[\"“']", words):
            whole = " ".join([words, *rest[index + 1 :]])
            if (quoted := _QUOTED.match(whole)) and not _WHEN.search(words[quoted.end() :]):
                return quoted[1]
        elif "exactly" in sentence.lower() or not _WHEN.search(words):
            return words
    return None


def _counting(text: str) -> str | None:
    """Count as asked, ten numbers to a sentence."""
    if not (match := _COUNT.search(text)):
        return None
    low, high = number_from(match["low"] or "one"), number_from(match["high"].split("-to")[0])
    if not isinstance(low, int) or not isinstance(high, int) or not 0 <= low <= high <= 999:
        return None
    numbers = [numeral(number) for number in range(low, high + 1)]
    tens = (", ".join(numbers[start : start + 10]) for start in range(0, len(numbers), 10))
    return " ".join(f"{ten.capitalize()}." for ten in tens)


def _echo(asked: str) -> str:
    if not asked:
        return "Hello, this is the scripted voice. Please go on."
    words = asked.split()[-_ECHO_WORDS:]
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
            return ", ".join(f"{spaced(str(key))}: {_flat(part)}" for key, part in value.items())
        case list():
            return ", ".join(_flat(part) for part in value)
        case True | False | None:
            return {True: "yes", False: "no", None: "nothing"}[value]
        case _:
            return str(value)
