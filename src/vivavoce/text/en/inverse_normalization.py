"""Inverse text normalization: writes spoken numbers as digits, and spoken mail addresses with their symbols.

`order ten forty-two` becomes order 1042, `five double one` 511, `ada at example dot org` ada@example.org. A
single word is unchanged (`two of them`), and so is a time (`at ten thirty`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from vivavoce.text.en.numbers import VALUES
from vivavoce.text.languages import language_table

_DICTATED = language_table("en", "numbers.toml")["dictated"]
ZERO: Sequence[str] = _DICTATED["zero"]
TIMES: Mapping[str, int] = _DICTATED["times"]
SCALES: Mapping[str, int] = _DICTATED["scales"]
MIN_DIGITS = 3
"""Shorter numbers are amounts or hours."""
WHOLE_DIGITS = 4
"""With this many digits on both sides, a comma separates two numbers."""

_WORD = "|".join([*VALUES, *ZERO, *TIMES, *SCALES, r"\d"])
_LINK = "[ -]|, |(?<=hundred) and |(?<=thousand) and "
_RUN = re.compile(rf"(?<![\w-])(?:{_WORD})(?:(?:{_LINK})(?:{_WORD})(?![\w'’]))+(?![\w'’-])", re.IGNORECASE)
_MAIL = re.compile(
    r"(?P<who>[\w+-]+(?:(?: (?:dot|underscore|dash) |\.)[\w+-]+)*) at "
    r"(?P<where>[\w-]+(?:(?: (?:dot|dash) |\.)[\w-]+)*(?: dot |\.)(?P<top>[a-z]{2,6}))\b",
    re.IGNORECASE,
)
_SIGNS = {" dot ": ".", " underscore ": "_", " dash ": "-"}
_BEFORE_TIMES = re.compile(
    r"\b(?:at|around|about|by|until|till|before|after|past|(?:to|yester)day|tomorrow|morning|afternoon|evening|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day)\W*$",
    re.IGNORECASE,
)
_AFTER_TIMES = re.compile(r"^\W*(?:[ap]\.?m\b|o['’]?clock|in the (?:morning|afternoon|evening))", re.IGNORECASE)


def as_written(text: str) -> str:
    """Return `text` with its long numbers in digits, and its mail addresses as they are typed."""
    return _MAIL.sub(_mail, _RUN.sub(_number, text))


def _mail(found: re.Match[str]) -> str:
    address = f"{found['who']}@{found['where']}".lower()
    for word, sign in _SIGNS.items():
        address = address.replace(word, sign)
    return address


def _number(found: re.Match[str]) -> str:
    parts = [_digits(_pieces(part)) for part in found[0].split(", ")]
    if any(part is None for part in parts):
        return found[0]
    kept = [part for part in parts if part is not None]
    if len(kept) > 1 and all(len(part) >= WHOLE_DIGITS for part in kept):
        return ", ".join(kept)
    number = "".join(kept)
    return found[0] if len(number) < MIN_DIGITS or _is_time(found, number) else number


def _is_time(found: re.Match[str], number: str) -> bool:
    """Return whether these words are hours and minutes: `at ten thirty`."""
    hours, minutes = int(number[:-2]), int(number[-2:])
    spelled = len(number) > len(
        re.findall(r"\w+", found[0])
    )  # more digits than words: not dictated digit by digit
    near = _BEFORE_TIMES.search(found.string[: found.start()]) or _AFTER_TIMES.search(
        found.string[found.end() :]
    )
    return spelled and len(number) <= 4 and hours <= 24 and minutes < 60 and near is not None


def _pieces(run: str) -> Sequence[str]:
    return [word for word in re.split(r"[\s-]+", run.lower()) if word != "and"]


def _digits(words: Sequence[str]) -> str | None:
    """Return the dictated digits; None if the words are no number."""
    if any(word in SCALES for word in words):
        return _amount(words)
    parts = list(_digit_groups(words))
    return None if None in parts else "".join(part for part in parts if part is not None)


def _amount(words: Sequence[str]) -> str | None:
    total = part = 0
    for word in words:
        if word in VALUES or word.isdigit():
            part += VALUES[word] if word in VALUES else int(word)
        elif word in SCALES:
            part = max(part, 1) * SCALES[word]
            if word == "thousand":
                total, part = total + part, 0
        else:
            return None
    return str(total + part)


def _digit_groups(words: Sequence[str]) -> Iterator[str | None]:
    """Yield the digits of each word or pair of words; None for a `double` without a digit after it."""
    left = list(words)
    while left:
        word = left.pop(0)
        if word in TIMES:
            digit = _one(left.pop(0)) if left else None
            yield digit * TIMES[word] if digit and len(digit) == 1 else None
        elif _one(word) in _TENS and left and _one(left[0]) in _ONES:
            yield str(int(_one(word)) + int(_one(left.pop(0))))
        else:
            yield _one(word)


_TENS = {str(tens) for tens in range(20, 100, 10)}
_ONES = {str(ones) for ones in range(1, 10)}


def _one(word: str) -> str:
    return "0" if word in ZERO else str(VALUES.get(word, word))
