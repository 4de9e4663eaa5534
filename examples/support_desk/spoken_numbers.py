"""Numbers as callers say them: "ten forty-two" is 1042, and "five five five, oh double seven" is 555077."""

import re

__all__ = ["only_digits", "with_digits"]

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
)
_SMALL += "seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: value for value, word in enumerate(_SMALL.split())} | {"oh": 0}
_VALUES |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
_WORD = re.compile(
    rf"\b({'|'.join(_TENS.split())})[ -]({'|'.join(_SMALL.split()[1:10])})\b|\b({'|'.join(_VALUES)})\b"
)
_TWICE = re.compile(r"\b(double|triple) (\d)\b")


def with_digits(words: str) -> str:
    """Return the words, in lower case, with every number in digits, each as it was said: "10 42"."""
    said = _WORD.sub(lambda number: str(sum(_VALUES[part] for part in number.groups() if part)), words.lower())
    return _TWICE.sub(lambda more: more[2] * (2 if more[1] == "double" else 3), said)


def only_digits(words: str) -> str:
    """Return the digits of all numbers in the words, in order and together: "1042"."""
    return re.sub(r"\D", "", with_digits(words))
