"""Numbers as Americans say them: how many, which one, what year, digit by digit, money."""

from vivavoce.text.en.numerals import numeral

__all__ = ["amount", "cardinal", "decimal", "digits", "fraction", "ordinal", "year"]

SCALES = ("", " thousand", " million", " billion", " trillion", " quadrillion")
IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """Say how many: 1249 is `one thousand two hundred forty-nine`. From a quintillion on, digit by digit."""
    if number == 0:
        return "zero"
    if number >= 1000 ** len(SCALES):
        return digits(str(number))
    groups = []
    for scale in SCALES:
        number, rest = divmod(number, 1000)
        if rest:
            groups.append(numeral(rest) + scale)
    return " ".join(reversed(groups))


def digits(text: str) -> str:
    """Say each digit of `text`: 0134 is `zero one three four`."""
    return " ".join(numeral(int(digit)) for digit in text)


def decimal(text: str) -> str:
    """Say a number as it is written, with or without commas and a point: 1,249.50, .5, 007."""
    whole, point, rest = text.replace(",", "").partition(".")
    spelled = len(whole) > 18 or (len(whole) > 1 and whole.startswith("0"))
    said = digits(whole) if spelled else cardinal(int(whole or "0"))
    return f"{said} point {digits(rest)}" if point and rest else said


def ordinal(number: int) -> str:
    """Say which one: 22 is `twenty-second`."""
    words = cardinal(number)
    start = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[start:]
    if last in IRREGULAR:
        return words[:start] + IRREGULAR[last]
    return words[:start] + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def year(number: int) -> str:
    """Say a year of four digits: 1905 is `nineteen oh five`, 2025 `twenty twenty-five`."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(number)
    if rest == 0:
        return f"{numeral(century)} hundred"
    return f"{numeral(century)} {'oh ' if rest < 10 else ''}{numeral(rest)}"


def fraction(over: int, under: int) -> str:
    """Say a fraction: 1/2 is `one half`, 3/4 `three quarters`, 5/37 `five over thirty-seven`."""
    if under < 2 or under > 20:
        return f"{cardinal(over)} over {cardinal(under)}"
    part = {2: "half", 4: "quarter"}.get(under) or ordinal(under)
    if over == 1:
        return f"one {part}"
    return f"{cardinal(over)} {'halves' if under == 2 else part + 's'}"


def amount(number: str, one: str, many: str, cent: str, cents: str) -> str:
    """Say money: 1,249.50 is `one thousand two hundred forty-nine dollars and fifty cents`."""
    whole, _, rest = number.replace(",", "").partition(".")
    if len(rest) not in (0, 2) or not cent or len(whole) > 18:
        return f"{decimal(number)} {one if number == '1' else many}"
    parts = []
    if int(whole or "0") or not int(rest or "0"):
        parts.append(f"{cardinal(int(whole or '0'))} {one if int(whole or '0') == 1 else many}")
    if int(rest or "0"):
        parts.append(f"{cardinal(int(rest))} {cent if int(rest) == 1 else cents}")
    return " and ".join(parts)
