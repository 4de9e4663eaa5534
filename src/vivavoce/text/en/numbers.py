"""Numbers in American English: parsing of words, and spelling as amounts, ordinals, years and money."""

import re
from collections.abc import Iterator

from vivavoce.text.languages import language_table

_WORDS = language_table("en", "numbers.toml")
_ONES, _TENS, _SCALES, _ORDINALS = (_WORDS[name] for name in ("ones", "tens", "scales", "ordinals"))

VALUES: dict[str, int] = dict(zip(_ONES, range(20), strict=True)) | dict(
    zip(_TENS, range(20, 100, 10), strict=True)
)
"""Values of single number words: `forty` is 40."""
_WORD = "|".join(sorted(VALUES, key=len, reverse=True))
_NUMBER = re.compile(
    rf"(?<![\w.-])-?\d+(?:\.\d+)?(?![\w-])|\b(?:{_WORD}|a hundred)(?:[\s-]+(?:hundred|and|{_WORD})\b)*\b",
    re.IGNORECASE,
)


def number_from(words: str) -> int | float | None:
    """Return the value of number words or digits (`50`, `3.5`, `forty-two`), or None. Words go up to 999."""
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
    """Yield the numbers in `text`, whether in digits or in words, in order."""
    found = (number_from(match[0].strip()) for match in _NUMBER.finditer(text))
    yield from (number for number in found if number is not None)


def numeral(number: int) -> str:
    """Return `number` (0 to 999) in words: `forty-two`. Raises `ValueError` for others."""
    if not 0 <= number <= 999:
        raise ValueError(f"{number} is not between 0 and 999")
    hundreds, rest = divmod(number, 100)
    if hundreds:
        return f"{_ONES[hundreds]} hundred" + (f" {numeral(rest)}" if rest else "")
    if number < 20:
        return str(_ONES[number])
    tens, ones = divmod(number, 10)
    return f"{_TENS[tens - 2]}-{_ONES[ones]}" if ones else str(_TENS[tens - 2])


def cardinal(number: int) -> str:
    """Return a cardinal number in words: `one thousand two hundred forty-nine`; digit by digit from 10^18."""
    if number == 0:
        return "zero"
    if number >= 1000 ** len(_SCALES):
        return digits(str(number))
    groups = []
    for scale in _SCALES:
        number, rest = divmod(number, 1000)
        if rest:
            groups.append(numeral(rest) + scale)
    return " ".join(reversed(groups))


def digits(text: str) -> str:
    """Return the digits of `text` in words: 0134 is `zero one three four`."""
    return " ".join(numeral(int(digit)) for digit in text)


def decimal(text: str) -> str:
    """Return a number with commas or a decimal point in words: 1,249.50, .5, 007."""
    whole, point, rest = text.replace(",", "").partition(".")
    spelled = len(whole) > 18 or (len(whole) > 1 and whole.startswith("0"))
    words = digits(whole) if spelled else cardinal(int(whole or "0"))
    return f"{words} point {digits(rest)}" if point and rest else words


def ordinal(number: int) -> str:
    """Return an ordinal number in words: 22 is `twenty-second`."""
    words = cardinal(number)
    start = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[start:]
    if last in _ORDINALS:
        return words[:start] + str(_ORDINALS[last])
    return words[:start] + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def year(number: int) -> str:
    """Return a year of four digits in words: 1905 is `nineteen oh five`, 2025 `twenty twenty-five`."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(number)
    if rest == 0:
        return f"{numeral(century)} hundred"
    return f"{numeral(century)} {'oh ' if rest < 10 else ''}{numeral(rest)}"


def fraction(over: int, under: int) -> str:
    """Return a fraction in words: 1/2 is `one half`, 3/4 `three quarters`, 5/37 `five over thirty-seven`."""
    if under < 2 or under > 20:
        return f"{cardinal(over)} over {cardinal(under)}"
    part = {2: "half", 4: "quarter"}.get(under) or ordinal(under)
    if over == 1:
        return f"one {part}"
    return f"{cardinal(over)} {'halves' if under == 2 else part + 's'}"


def amount(number: str, one: str, many: str, cent: str, cents: str) -> str:
    """Return money in words: 1,249.50 is `one thousand two hundred forty-nine dollars and fifty cents`."""
    whole, _, rest = number.replace(",", "").partition(".")
    if len(rest) not in (0, 2) or not cent or len(whole) > 18:
        return f"{decimal(number)} {one if number == '1' else many}"
    units, hundredths = int(whole or "0"), int(rest or "0")
    parts = []
    if units or not hundredths:
        parts.append(f"{cardinal(units)} {one if units == 1 else many}")
    if hundredths:
        parts.append(f"{cardinal(hundredths)} {cent if hundredths == 1 else cents}")
    return " and ".join(parts)
