"""What tools have answered, as it is said to the caller: word for word, where it is short enough to be said.

A small model that tells it in words of its own loses facts and adds others (see docs/providers/qwen.md). Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, Item, McpCall
from vivavoce.providers.dialogue import outcome

__all__ = ["results", "told"]

MOST_CHARS = 400
MOST_FIELDS = 8
"""What is longer, or has more parts, is for the model to sum up."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MARKUP = re.compile(r"[<>{}\[\]|`*#]|://|^\s*-\s", re.MULTILINE)
_ORDER = re.compile(
    r"(?:first |then |please )*ask (?:the caller )?(?:again )?for (?P<what>[^,]+?)"
    r"(?P<again> (?:once more|again))?(?:, and .*)?[.!]?",
    re.IGNORECASE,
)
_BAN = re.compile(r"(?:do not|don['’]t|never) (?:call|try|use|ask|say|tell|make)\b", re.IGNORECASE)
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d\S*)?")
_PERSON = re.compile(
    r"\b[Tt]he (?:caller|customer(?=['’]s| (?:is|was|has|does|wants|says)\b))"
    r"(?P<own>['’]s)?(?P<verb> (?:is|was|has|does|wants|says)\b)?(?!\w)"
)
_AGREED = ("ok", "success")
_VERBS = {" is": " are", " was": " were", " has": " have", " does": " do", " wants": " want", " says": " say"}


def results(items: Sequence[Item]) -> str | None:
    """Return what the tools have answered last, in spoken sentences; None if it is not to be read out."""
    parts = list(_answers(items))[::-1]
    said = [told(part) for part in parts]
    whole = " ".join(part for part in said if part)
    return whole if parts and None not in said and len(whole) <= MOST_CHARS else None


def _answers(items: Sequence[Item]) -> Iterator[str]:
    """Yield what tools answered since somebody spoke, the last first."""
    for item in reversed(items):
        match item:
            case FunctionCallOutput(output=output):
                yield output
            case McpCall():
                yield outcome(item)
            case FunctionCall():
                pass
            case _:
                return


def told(output: str) -> str | None:
    """Return one answer as it is said; None if that is too much, or nothing that can be read out."""
    try:
        known = msgspec.json.decode(output)
    except msgspec.DecodeError:
        known = output
    match known:
        case str() if len(known) <= MOST_CHARS and any(map(str.isalpha, known)) and not _MARKUP.search(known):
            return " ".join(_sentences(known)) or None
        case dict() if 0 < len(known) <= MOST_FIELDS and not any(map(_has_parts, known.values())):
            return _listed(known)
        case _:
            return None


def _has_parts(value: object) -> bool:
    return isinstance(value, list | dict)


def _listed(known: Mapping[str, object]) -> str:
    """Read an object out: `Order id 1042, status shipped.`"""
    values = {True: "yes", False: "no", None: "not known"}
    parts = [
        f"{name.replace('_', ' ')} {values[value] if value is None or isinstance(value, bool) else value}"
        for name, value in known.items()
        if not (name in _AGREED and value is True)
    ]
    listed = _MOMENT.sub(r"\1 at \2", ", ".join(parts)) or "done"
    return f"{listed[0].upper()}{listed[1:]}."


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, said to the caller: an order to ask for something becomes a question."""
    for line in filter(None, map(str.strip, text.splitlines())):
        for sentence in _SENTENCE.split(line):
            if order := _ORDER.fullmatch(sentence):
                yield _question(order)
            elif not _BAN.match(sentence):
                yield _PERSON.sub(_you, _ended(sentence))


def _ended(sentence: str) -> str:
    return sentence if sentence[-1] in ".!?" else f"{sentence}."


def _question(order: re.Match[str]) -> str:
    again = order["again"] or ""
    if order["what"].lower() in ("it", "both", "them", "that"):
        return f"Could you say {order['what']}{again or ' again'}?"
    return f"Could you tell me {order['what']}{again}?"


def _you(found: re.Match[str]) -> str:
    said, verb = "your" if found["own"] else "you", found["verb"] or ""
    return (said.capitalize() if found[0][0] == "T" else said) + (
        verb if found["own"] else _VERBS.get(verb, "")
    )
