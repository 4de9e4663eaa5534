"""Two texts of the same speech, word by word: what differs, and how many words are wrong. Pure.

Words are compared as they are spoken, in English: "21" is "twenty one", and case, punctuation and fillers do
not count. Each letter of a script without blanks between words is a word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from itertools import takewhile
from typing import Any, Literal, TypeVar

from vivavoce.text.en.numbers import numeral, ordinal
from vivavoce.text.languages import UNSPACED, language_table

MOST_WORDS = 2000
"""words of a text that are compared; what is beyond them is not"""
_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:'[^\W_{UNSPACED}]+)*")
_PIECE = re.compile(rf"[{UNSPACED}]\s*|[^\s{UNSPACED}]+\s*")

T = TypeVar("T")


@dataclass(frozen=True)
class DiffPart:
    """A part of a text that is in both, or only in the first or the second."""

    kind: Literal["same", "removed", "added"]
    text: str


def normalize(text: str) -> list[str]:
    """Return the words as they are spoken: lower case, no punctuation or fillers, numbers in words."""
    text = text.lower().replace("’", "'").replace("y'know", "yknow")
    text = re.sub(r"(\d+):(\d\d)", r"\1 \2", text)
    words = [spelt for word in _WORD.findall(text) for spelt in _spelt(word)]
    return [word for word in words if word not in _spoken_alike()["fillers"]]


def _spelt(word: str) -> list[str]:
    if word.isdecimal():
        spoken = [numeral(int(word))] if int(word) < 100 else [numeral(int(digit)) for digit in word]
        return re.findall(r"[a-z]+", " ".join(spoken))
    if (match := re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)", word)) is not None:
        return re.findall(r"[a-z]+", ordinal(int(match[1])))
    if match := re.fullmatch(r"(\d+)([a-z]+)", word):
        return _spelt(match[1]) + _spelt(match[2])
    written: str = _spoken_alike()["written_out"].get(word, word)
    return written.split()


@cache
def _spoken_alike() -> dict[str, Any]:
    return language_table("en", "spoken_alike.toml")


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Return the number of missing, added or wrong words, and of words in the reference.

    The former divided by the latter is the word error rate; it is the fewest edits (Levenshtein).
    """
    wanted, found = normalize(reference)[:MOST_WORDS], normalize(hypothesis)[:MOST_WORDS]
    words = len(wanted)
    same = _common(wanted, found)
    wanted, found = wanted[same:], found[same:]
    if same := _common(wanted[::-1], found[::-1]):
        wanted, found = wanted[:-same], found[:-same]
    errors = list(range(len(found) + 1))
    for row, word in enumerate(wanted, 1):
        left, errors[0] = errors[0], row
        for column, other in enumerate(found, 1):
            above = errors[column]
            errors[column] = min(above + 1, errors[column - 1] + 1, left + (word != other))
            left = above
    return errors[-1], words


def _common(one: Sequence[T], other: Sequence[T]) -> int:
    """Return how many elements two sequences have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def word_diff(before: str, after: str) -> list[DiffPart]:
    """Return the parts of both texts, in order. What is only spelled otherwise is the same, as it is after."""
    pieces = [_PIECE.findall(text)[:MOST_WORDS] for text in (before, after)]
    keys = [[tuple(normalize(piece)) for piece in one] for one in pieces]
    parts = []
    for kind, begin, end, first, last in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        removed, added = "".join(pieces[0][begin:end]), "".join(pieces[1][first:last])
        if kind == "equal":
            parts.append(DiffPart("same", added))
        else:
            parts += [DiffPart("removed", removed), DiffPart("added", added)]
    return [part for part in parts if part.text]
