"""What words alone tell about a turn: whether a sentence can end here, and whether it was only an `uh-huh`."""

import re

__all__ = ["completeness", "is_backchannel", "spelling"]


def _these(words: str) -> frozenset[str]:
    return frozenset(words.split())


GOES_ON = _these(
    "a an the and or but so because if that of to in on at for from with by as than my your his her our their is"
    " are was were be am i we they he she um uh er erm well like"
)
BACKCHANNELS = _these(
    "ah aha alright cool exactly great hm hmm huh mhm mm mmm nice oh ok okay right sure true uh uhhuh uhuh um"
    " wow yeah yep yes yup"
)
DIGITS = _these("zero oh one two three four five six seven eight nine double triple")


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold())


def completeness(text: str) -> float:
    """Say how far this text is a whole thing to say: 0 surely goes on, 1 is complete, 0.5 cannot be told."""
    words = _words(text)
    if not words:
        return 0.5
    if words[-1] in GOES_ON or text.rstrip().endswith((",", "-", "...", "…")):
        return 0.0
    return 1.0 if text.rstrip().endswith((".", "?", "!")) else 0.5


def is_backchannel(text: str) -> bool:
    """Say whether these words only tell that someone listens. No words tell nothing: False."""
    words = _words(text)
    return bool(words) and all(word in BACKCHANNELS for word in words)


def spelling(text: str) -> bool:
    """Say whether this ends in digits or letters told one by one."""
    words = _words(text)
    return bool(words) and (words[-1] in DIGITS or words[-1].isdigit())
