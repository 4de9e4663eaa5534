"""Text normalization of American English: dates, times, money, units, numbers, addresses and abbreviations.

The rules and words are in `normalization.toml`. The functions in `_READERS` return the words for a rule's
match.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from vivavoce.text.en.numbers import amount, cardinal, decimal, digits, fraction, ordinal, year
from vivavoce.text.languages import language_table

Match: TypeAlias = re.Match[str]
Rule: TypeAlias = tuple[re.Pattern[str], str | Callable[[Match], str]]

_TABLE = language_table("en", "normalization.toml")
_MONTHS: Sequence[str] = _TABLE["months"]


def compile_rules(*rules: tuple[str, str]) -> Sequence[Rule]:
    """Return rules of patterns and their replacements, compiled."""
    return tuple((re.compile(pattern), words) for pattern, words in rules)


@cache
def address_rules() -> Sequence[Rule]:
    """Return the rules that spell out mail and web addresses; markup may be removed after these."""
    return _compile(_TABLE["address_rules"])


@cache
def word_rules() -> Sequence[Rule]:
    """Return the rules that spell out numbers, dates, amounts, abbreviations and symbols."""
    return _compile(_TABLE["rules"])


def _compile(rules: Sequence[tuple[str, str]]) -> Sequence[Rule]:
    parts = _parts()
    return tuple(
        (
            re.compile(re.sub("«(.+?)»", lambda name: parts[name[1]], pattern)),
            _READERS[words[1:-1]] if words.startswith("<") else words,
        )
        for pattern, words in rules
    )


def _parts() -> Mapping[str, str]:
    short_months = "|".join(month[:3] for month in _MONTHS)
    units = sorted((re.escape(unit) for unit in _TABLE["units"]), key=len, reverse=True)
    return {
        **_TABLE["parts"],
        "month": rf"(?P<month>{'|'.join(_MONTHS)}|(?:{short_months}|Sept)\b\.?)",
        "titles": "|".join(_TABLE["titles"]),
        "abbreviations": "|".join(_TABLE["abbreviations"]),
        "unit": "|".join(units),
    }


def plain_digits(char: str) -> str:
    """Return a digit of any script, a fraction or a power as plain digits or words; other signs unchanged."""
    if char.isascii() or unicodedata.category(char)[0] != "N":
        return char
    if power := {"²": " squared", "³": " cubed"}.get(char):
        return power
    plain = unicodedata.normalize("NFKC", char).replace("⁄", "/")
    if plain.isascii():
        return f" {plain}" if "/" in plain else plain
    return str(unicodedata.digit(char, " "))


# addresses and abbreviations


def _address(match: Match) -> str:
    whole, signs = match["address"], _TABLE["address_signs"]
    address = whole.rstrip(".,;:!?/")
    spelled = "".join(f" {signs[char]} " if char in signs else char for char in address)
    return spelled.strip() + whole[len(address) :].replace("/", "")


def _title(match: Match) -> str:
    return f"{_TABLE['titles'][match[1]]} "


def _abbreviation(match: Match) -> str:
    words: str = _TABLE["abbreviations"][match[1]]
    return words + ("" if match[1] in ("Mr", "Mrs", "Ms") else _full_stop(match))


def _full_stop(match: Match) -> str:
    """Return the period of a sentence, if an abbreviation's period also ends the sentence."""
    rest = match.string[match.end() :]
    return "." if match[0].endswith(".") and re.match(r"['\"”’)]*(?:\s*$|\s+[A-Z])", rest) else ""


# dates and times


def _month(match: Match) -> str:
    return next(month for month in _MONTHS if month.startswith(match["month"][:3]))


def _in_year(match: Match) -> str:
    return f", {year(int(match['year']))}" if match["year"] else ""


def _numbered_date(match: Match) -> str:
    return f"{_MONTHS[int(match['month']) - 1]} {ordinal(int(match['day']))}{_in_year(match)}"


def _slashed_date(match: Match) -> str:
    month, day, at = int(match[1]), int(match[2]), int(match[3])
    if month > 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return " ".join(decimal(part) for part in match.groups())
    return f"{_MONTHS[month - 1]} {ordinal(day)}, {year(at if len(match[3]) == 4 else 2000 + at)}"


def _month_day(match: Match) -> str:
    return f"{_month(match)} {ordinal(int(match['day']))}{_in_year(match)}"


def _day_month(match: Match) -> str:
    return f"{ordinal(int(match['day']))} of {_month(match)}{_in_year(match)}"


def _month_year(match: Match) -> str:
    return f"{_month(match)} {year(int(match['year']))}"


def _years(match: Match) -> str:
    return f"{year(int(match[1]))} to {year(int(match[2]))}"


def _decade(match: Match) -> str:
    words = year(int(match[1])) if len(match[1]) == 4 else cardinal(int(match[1]))
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _time(match: Match) -> str:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = (match["half"] or "").upper()
    if not half and (hour > 12 or hour == 0):
        half = "P" if 12 < hour < 24 else "A"
    words = cardinal(hour % 12 or 12)
    if minute:
        words += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif not half:
        words += " o'clock"
    return words + (f" {half}M" if half else "") + _full_stop(match)


def _clock(match: Match) -> str:
    hour, minute, second = (cardinal(int(part)) for part in match.groups())
    return f"{hour} {'oh ' if int(match[2]) < 10 else ''}{minute} and {second} seconds"


# amounts


def _per(match: Match) -> str:
    return " per " if match["per"] else ""


def _money(match: Match) -> str:
    one, many, cent, cents = _TABLE["money"][match["sign"]]
    if scale := match["scale"]:
        scale = _TABLE["money_scales"].get(scale.lower(), scale)
        return f"{decimal(match['number'])} {scale} {many}{_per(match)}"
    return amount(match["number"], one, many, cent, cents) + _per(match)


def _unit(match: Match) -> str:
    one, *many = _TABLE["units"][match["unit"]]
    words = one if match["number"] == "1" else "".join(many) or f"{one}s"
    return f"{decimal(match['number'])} {words}{_per(match)}"


def _degrees(match: Match) -> str:
    scale = {"F": " Fahrenheit", "C": " Celsius", None: ""}[match["scale"]]
    return f"{decimal(match['number'])} degree{'' if match['number'] == '1' else 's'}{scale}"


# numbers


def _groups(match: Match) -> str:
    words = ", ".join(digits(group) for group in re.findall(r"\d+", match[0]))
    return f"plus {words}" if match[0].startswith("+") else words


def _version(match: Match) -> str:
    words = " point ".join(cardinal(int(part)) for part in match["number"].split("."))
    if not match["v"]:
        return words
    return f"{'Version' if match['v'].startswith('Version') else 'version'} {words}"


def _fraction(match: Match) -> str:
    whole, over, under = match.groups()
    words = fraction(int(over), int(under))
    if whole:
        return f"{decimal(whole)} and {'a' + words[3:] if words.startswith('one ') else words}"
    return words


def _house(match: Match) -> str:
    hundreds, rest = divmod(int(match[1]), 100)
    if rest == 0:
        return f"{cardinal(int(match[1]))} {match[2]}"
    return f"{cardinal(hundreds)} {'oh ' if rest < 10 else ''}{cardinal(rest)} {match[2]}"


def _number(match: Match) -> str:
    text = match[0]
    if text.isdigit() and (
        len(text) > 15
        or (len(text) >= 7 and not text.endswith("000"))
        or (len(text) >= 5 and not text.endswith("00"))
    ):
        return digits(text)
    if len(text) == 4 and "1900" <= text < "2100":
        return year(int(text))
    return decimal(text)


_READERS: Mapping[str, Callable[[Match], str]] = {
    "abbreviation": _abbreviation,
    "address": _address,
    "clock": _clock,
    "code": lambda match: f"{match['name']}{digits(match['code'])}",
    "day_month": _day_month,
    "decade": _decade,
    "degrees": _degrees,
    "fraction": _fraction,
    "groups": _groups,
    "house": _house,
    "money": _money,
    "month_day": _month_day,
    "month_year": _month_year,
    "number": _number,
    "numbered_date": _numbered_date,
    "ordinal": lambda match: ordinal(int(match[1])),
    "slashed_date": _slashed_date,
    "time": _time,
    "title": _title,
    "unit": _unit,
    "version": _version,
    "year": lambda match: year(int(match[0])),
    "years": _years,
}
