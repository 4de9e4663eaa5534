"""What an obedient speaker remembers of what it was told."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.providers.scripted.history import Said, sentences_of, stems

__all__ = ["Fact", "recalled"]

_AGAIN = re.compile(r"\b(?:say|repeat) (?:that|it)(?: again)?\b|\bwhat did you say\b", re.IGNORECASE)
_DID_I_SAY = re.compile(
    r"\bwhat (?:did i|have i|i) (?:just )?(?:say|said|tell|told|ask|asked)\b", re.IGNORECASE
)
_ASKS = re.compile(
    r"\b(?:what(?:'s| is| was| are| were)|who(?:'s| is)|where(?:'s| is)|when(?:'s| is)|tell me(?: again)?|"
    r"(?:do you )?(?:remember|recall|know)) (?:again )?(?P<whose>my|your|the|our|his|her) (?P<what>[\w' -]+?)"
    r"(?: called| named)?(?: again| now| then|,[^?]*)?[?.!]*$",
    re.IGNORECASE,
)
_WHO_AM_I = re.compile(r"\bwho am i\b|\bwhat am i called\b", re.IGNORECASE)
_TOLD = re.compile(
    r"\b(?:my|your|the|our|his|her) (?P<what>[\w' -]+?) (?:is|was|are|were) +(?:called |named )?"
    r"(?P<value>[^\s.,;!?][^.,;!?\n]*?)(?= and (?:my|your|the|our|i)\b|[.,;!?\n]|$)",
    re.IGNORECASE,
)
_NOTED = re.compile(r"my\b|our\b|the [\w ]*(?:code|word|password|secret|number)", re.IGNORECASE)
_NAMED = re.compile(r"\b(?i:i am|i'm|call me|this is) (?P<value>[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*)")
_REMEMBER = re.compile(
    r"\bremember (?:this|that|the (?:words?|number|code)|these)?\s*:?\s*(?P<value>[^.;!?\n]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Fact:
    """A sentence, and the part of it that says it in a word."""

    text: str
    value: str


def recalled(said: Said) -> Fact | None:
    """Answer a question about what was said before, or take note of what is said now."""
    before = [*said.earlier, said.rules]
    if _AGAIN.search(said.asked) and said.replies:
        return Fact(said.replies[0], said.replies[0].split(" ")[0])
    if _DID_I_SAY.search(said.asked):
        if not said.earlier:
            return Fact("You have not said anything before.", "Nothing")
        first = bool(re.search(r"\bfirst\b|\bat the beginning\b", said.asked, re.IGNORECASE))
        last = said.earlier[-1 if first else 0]
        return Fact(f"You said: {last}", last)
    if _WHO_AM_I.search(said.asked):
        return _fact("name", before)
    if asks := next(filter(None, map(_ASKS.search, sentences_of(said.asked))), None):
        return _fact(asks["what"].strip(), before)
    if (fact := _TOLD.search(said.asked)) and _NOTED.match(fact[0]):
        value = fact["value"].strip()
        return Fact(f"I will remember that your {fact['what'].strip()} is {value}.", value)
    if _REMEMBER.search(said.asked):
        return Fact("I will remember that.", "Yes")
    return None


def _fact(what: str, before: Sequence[str]) -> Fact:
    for text in before:
        for sentence in reversed(sentences_of(text)):
            value = _value(what, sentence)
            if value:
                return Fact(f"Your {what} is {value}.", value)
    return Fact(f"I do not know the {what}; nobody has told me.", "Unknown")


def _value(what: str, sentence: str) -> str | None:
    key = stems(what)
    for match in _TOLD.finditer(sentence):
        if key and key <= stems(match["what"]):
            return match["value"].strip()
    if "name" in what.lower() and (named := _NAMED.search(sentence)):
        return named["value"]
    if (remembered := _REMEMBER.search(sentence)) and (
        key & stems(sentence) or re.search(r"word|number|code|remember", what)
    ):
        return re.sub(r"^.*\b(?:is|are)\s+", "", remembered["value"]).strip()
    return None
