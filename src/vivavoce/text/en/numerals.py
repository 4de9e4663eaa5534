"""Numbers as English words, up to 999, and back."""

import re
from collections.abc import Iterator

__all__ = ["number_from", "numbers_in", "numeral"]

SMALL = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
VALUES = {word: value for value, word in enumerate(SMALL)} | {
    word: 10 * value for value, word in enumerate(TENS, start=2)
}
_WORD = "|".join(sorted(VALUES, key=len, reverse=True))
NUMBER = re.compile(
    rf"(?<![\w.-])-?\d+(?:\.\d+)?(?![\w-])|\b(?:{_WORD}|a hundred)(?:[\s-]+(?:hundred|and|{_WORD})\b)*\b",
    re.IGNORECASE,
)


def numeral(number: int) -> str:
    """Return `number` (0 to 999) in words: `forty-two`."""
    if not 0 <= number <= 999:
        raise ValueError(f"{number} is not between 0 and 999")
    if number < 20:
        return SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{SMALL[hundreds]} hundred" + (f" {numeral(rest)}" if rest else "")


def number_from(words: str) -> int | float | None:
    """Return the number that `words` are (`50`, `3.5`, `forty-two`), or None."""
    if re.fullmatch(r"-?\d+", words):
        return int(words)
    if re.fullmatch(r"-?\d+\.\d+", words):
        return float(words)
    total = None
    for word in re.split(r"[\s-]+", words.lower()):
        if word in VALUES:
            total = (total or 0) + VALUES[word]
        elif word == "hundred":
            total = (total or 1) * 100
        elif word not in ("and", "a"):
            return None
    return total


def numbers_in(text: str) -> Iterator[int | float]:
    """Yield the numbers that stand in `text`, in digits or in words, in order."""
    for match in NUMBER.finditer(text):
        number = number_from(match[0].strip())
        if number is not None:
            yield number
