"""Text normalization of American English: dates, times, money, units, numbers, addresses and abbreviations.

The rules and words are in `normalization.toml`. The functions in `_READERS` return the words for a rule's
match.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

from vivavoce.text.en.numbers import VALUES, amount, cardinal, decimal, digits, fraction, ordinal, year
from vivavoce.text.languages import language_table

Match: TypeAlias = re.Match[str]


class Rule(NamedTuple):
    """A pattern and the words in its place, or a function of the match that returns them."""

    pattern: re.Pattern[str]
    words: str | Callable[[Match], str]
    needs: re.Pattern[str] = re.compile("")
    """The rule is only applied to a text in which this is found, which is much faster to see."""


_TABLE = language_table("en", "normalization.toml")
_MONTHS: Sequence[str] = _TABLE["months"]


def compile_rules(*rules: tuple[str, str]) -> Sequence[Rule]:
    """Return rules of patterns and their replacements, compiled."""
    return tuple(Rule(re.compile(pattern), words) for pattern, words in rules)


@cache
def early_rules() -> Sequence[Rule]:
    """Return the rules for formulas, names and addresses; markup may be removed after these."""
    return _compile(_TABLE["early_rules"])


@cache
def word_rules() -> Sequence[Rule]:
    """Return the rules that spell out numbers, dates, amounts, abbreviations and symbols."""
    return _compile(_TABLE["rules"])


@cache
def _latex_rules() -> Sequence[Rule]:
    return _compile(_TABLE["latex_rules"])


def _compile(rows: Sequence[tuple[str, str]]) -> Sequence[Rule]:
    rules, needs = [], re.compile("")
    for pattern, words in rows:
        if pattern == "needs":
            needs = re.compile(_with_parts(words))
        else:
            reader = _READERS[words[1:-1]] if words.startswith("<") else words
            rules.append(Rule(re.compile(_with_parts(pattern)), reader, needs))
    return rules


def _with_parts(pattern: str) -> str:
    while "«" in pattern:
        pattern = re.sub("«(.+?)»", lambda name: _parts()[name[1]], pattern)
    return pattern


@cache
def _parts() -> Mapping[str, str]:
    full, short = "|".join(_MONTHS), _TABLE["parts"]["short_month"]
    spaced = {
        unit: f"(?<= ){unit}" for unit in ("A", "N", "J", "d", "t")
    }  # 105A is a house, 3d has three dimensions
    units = [spaced.get(unit, re.escape(unit)) for unit in sorted(_TABLE["units"], key=len, reverse=True)]
    return {
        **_TABLE["parts"],
        "full_month": f"(?:{full})",
        "months": rf"(?:(?:{full})\b|{short}\b\.?)",
        "month": rf"(?P<month>(?:{full})|{short}\b\.?)",
        "unit": "|".join(units),
        "number_word": "|".join(VALUES),  # X0 becomes "X zero", which is no tenth of its kind
        "currency": f"(?:{'|'.join(map(_sign, _longest('money')))})",
        **{name: "|".join(_longest(name)) for name in ("titles", "numbered")},
        "keys": "|".join([*_longest("keys"), *_TABLE["other_keys"], r"F\d\d?"]),
        **{
            name: "|".join(f"[{one[0]}{one[0].upper()}]{one[1:]}" for one in _longest(name))
            for name in ("before_words", "abbreviations")
        },
    }


def _sign(sign: str) -> str:
    """Return a pattern that begins with the sign itself, so that the search passes over most places at once."""
    sign = re.escape(sign)
    return rf"{sign}(?<![A-Za-z]{sign})(?![A-Za-z])" if sign.isalpha() else sign


def _longest(table: str) -> Sequence[str]:
    return sorted(_TABLE[table], key=len, reverse=True)


def plain_digits(char: str) -> str:
    """Return a digit of any script, a fraction or a power as plain digits or words; other signs unchanged."""
    if char.isascii():
        return char
    if char == "⁻":
        return "^-"
    if unicodedata.category(char)[0] != "N":
        return char
    plain = unicodedata.normalize("NFKC", char).replace("⁄", "/")
    if unicodedata.decomposition(char).startswith("<super>"):
        return f"^{plain}"
    if plain.isascii():
        return f" {plain}" if "/" in plain else plain
    return str(unicodedata.digit(char, " "))


# where the reading depends on what follows


@cache
def _open_ends() -> Mapping[str, re.Pattern[str]]:
    return {name: re.compile(_with_parts(pattern)) for name, pattern in _TABLE["ends"].items()}


def is_undecided(text: str) -> bool:
    """Return whether how the last word of `text` is read may depend on what follows."""
    ends = _open_ends()
    return not ends["decided"].search(text) or bool(ends["undecided"].search(text))


def ends_in_abbreviation(text: str) -> bool:
    """Return whether `text` ends in an abbreviation or a list's number, whose period ends no sentence."""
    return bool(_open_ends()["abbreviation"].search(text.rstrip()))


# formulas, addresses and abbreviations


def _formula(match: Match) -> str:
    formula = next(group for group in match.groups() if group)
    for rule in _latex_rules():
        formula = rule.pattern.sub(rule.words, formula)
    return f" {formula.strip()} "


def _address(match: Match) -> str:
    whole, signs = match["address"], _TABLE["address_signs"]
    address = whole.rstrip(".,;:!?/")
    name, dot, ending = address.rpartition(".")
    if dot and ending.isalpha() and not re.search("[aeiouy]", ending):
        address = name + dot + ending.upper()  # letters, not a word
    address = re.sub(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", address)
    spelled = "".join(f" {signs[char]} " if char in signs else char for char in address)
    return spelled.strip() + whole[len(address) :].replace("/", "")


def _title(match: Match) -> str:
    title, before = match[1], match.string[: match.start()]
    if title in _STREETS:
        named = re.search(r"(?P<house>\d )?(?:[NSEW]\.? )?(?:[A-Z][\w'’]+|\d+(?:st|nd|rd|th)) $", before)
        after = re.match(r"\w+", match.string[match.end() :])
        if named and (named["house"] or (after and after[0] in _TABLE["beginnings"])):
            return f"{_STREETS[title]}{'' if named['house'] else '.'} "
    elif not match[0].endswith(". ") and title not in _TABLE["undotted_titles"]:
        return match[0]
    return f"{_TABLE['titles'][title]} "


_STREETS = {"St": "Street", "Dr": "Drive"}


def _abbreviation(match: Match) -> str:
    tables = {**_TABLE["before_words"], **_TABLE["abbreviations"]}
    words = tables.get(match[1]) or tables[match[1].lower()]
    return f"{words}{'' if match[1] in ('Mr', 'Mrs', 'Ms') else _full_stop(match)}"


def _letters(match: Match) -> str:
    after = re.match(r"\s+([A-Z]\w*)", match.string[match.end() :])
    is_end = after is None or after[1] in _TABLE["beginnings"]  # a name may follow
    return " ".join(re.findall("[A-Z]", match[0].upper())) + (_full_stop(match) if is_end else "")


def _full_stop(match: Match) -> str:
    """Return the period of a sentence, if an abbreviation's period also ends the sentence."""
    rest = match.string[match.end() :]
    return "." if match[0].endswith(".") and re.match(r"['\"”’)]*(?:\s*$|\s+[A-Z])", rest) else ""


def _spelled(text: str) -> str:
    """Return the letters and digits of a code one by one, with a short pause between its groups."""
    groups = re.split("[ -]+", text)
    return _groups_of(" ".join(digits(char) if char.isdigit() else char for char in group) for group in groups)


def _groups_of(groups: Iterable[str]) -> str:
    return re.sub(r"\b([A-Z]),(?= [a-z])", r"\1", ", ".join(groups))  # no pause from letters to digits


def _alphanumeric(match: Match) -> str:
    """Spell a code, but not short names such as MP3, COVID-19 or 16GB, which are words and numbers."""
    groups = re.findall(r"[A-Z]+|\d+", match[0])
    figures = sum(len(group) for group in groups if group.isdigit())
    if all(re.fullmatch(r"\d+[A-Z]{1,3}", part) for part in match[0].split("-")):
        return match[0]
    if len(groups) == 2 and figures <= 2:
        return match[0]
    parts = match[0].split("-")
    return _groups_of(part if len(part) > 3 and part.isalpha() else _spelled(part) for part in parts)


def _chemical(match: Match) -> str:
    if re.fullmatch(r"[A-Z]{1,2}\d{3,}|[A-Z]{4,}\d+", match[0]):
        return match[0]  # a code or a name
    return " ".join(
        _short_number(part) if part.isdigit() else " ".join(part.upper())
        for part in re.findall(r"\d+|[A-Z][a-z]?", match[0])
    )


def _short_number(number: str) -> str:
    """Return a short number in words, and a longer one or one with a leading zero digit by digit."""
    return digits(number) if len(number) > 2 or number.startswith("0") else cardinal(int(number))


# Roman numerals


def _roman_value(roman: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[sign] for sign in roman]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))


def _roman(match: Match) -> str:
    return f"{match['before']}{cardinal(_roman_value(match['roman']))}"


def _regnal(match: Match) -> str:
    return f"{match['before']}the {ordinal(_roman_value(match['roman']))}"


# dates and times


def _named(names: Sequence[str], short: str) -> str:
    return next(name for name in names if name.startswith(short[:3]))


def _month(match: Match) -> str:
    return _named(_MONTHS, match["month"])


def _pair(names: Sequence[str], match: Match) -> str:
    """Return two months or days of the week with what is between them; a dash is a range."""
    link = match["link"] if any(char.isalpha() for char in match["link"]) or "," in match["link"] else " to "
    return f"{_named(names, match['first'])}{link}{_named(names, match['second'])}"


def _days(match: Match) -> str:
    words = ordinal(int(match["day"]))
    return f"{words} to {ordinal(int(match['last']))}" if match["last"] else words


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
    return f"{_month(match)} {_days(match)}{_in_year(match)}"


def _day_month(match: Match) -> str:
    return f"{_days(match)} of {_month(match)}{_in_year(match)}"


def _month_year(match: Match) -> str:
    return f"{_month(match)} {year(int(match['year']))}"


def _years(match: Match) -> str:
    end = match[2]
    words = year(int(end)) if len(end) == 4 else f"{'oh ' if end[0] == '0' else ''}{cardinal(int(end))}"
    return f"{year(int(match[1]))} to {words}"


def _decade(number: str) -> str:
    words = year(int(number)) if len(number) == 4 else cardinal(int(number))
    return _plural(words)


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


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


def _duration(match: Match) -> str:
    parts = {
        "hour": match["hours"],
        "minute": match["minutes"] or match["only_minutes"],
        "second": match["seconds"] or match["only_seconds"],
    }
    return " ".join(_counted(number, unit) for unit, number in parts.items() if number)


def _counted(number: str, one: str, many: str = "") -> str:
    return f"{decimal(number)} {one if number == '1' else many or one + 's'}"


# amounts


def _per(match: Match) -> str:
    return " per " if match["per"] else ""


def _money(match: Match) -> str:
    one, many, cent, cents = _TABLE["money"][match["sign"]]
    if scale := match["scale"]:
        return f"{decimal(match['number'])} {_scale(scale)} {many}{_per(match)}"
    return amount(match["number"], one, many, cent, cents) + _per(match)


def _scale(scale: str) -> str:
    return str(_TABLE["money_scales"].get(scale.lower(), scale))


def _money_range(match: Match) -> str:
    """Read 5 to 10 dollars: the unit is said once, and so is a scale that is the same or only written once."""
    many, low, high = (
        _TABLE["money"][match["sign"]][1],
        _scale(match["low_scale"].strip()),
        _scale(match["scale"] or ""),
    )
    low = f" {low}" if low and low != high else ""
    return f"{decimal(match['low'])}{low} to {decimal(match['high'])}{high and ' '}{high} {many}{_per(match)}"


def _unit_name(unit: str, *, single: bool, power: str = "") -> str:
    one, *many = _TABLE["units"].get(unit, ["inch", "inches"])
    return f"{power and power + ' '}{one if single else ''.join(many) or one + 's'}"


def _power(match: Match) -> str:
    return {"s": "square", "c": "cubic", "2": "square", "3": "cubic", "f": "fluid"}.get(
        (match.groupdict().get("power") or match["raised"].strip(" ^"))[:1], ""
    )


def _unit(match: Match) -> str:
    single = match["number"] == "1" or match["hyphen"] == "-"
    name = _unit_name(match["unit"], single=single, power=_power(match))
    return f"{decimal(match['number'])} {name}{_per(match)}"


def _per_unit(match: Match) -> str:
    if match["unit"] == "s":
        return "second" + {"2": " squared", "3": " cubed"}.get(match["raised"][-1:], "")
    return _unit_name(match["unit"], single=True, power=_power(match))


def _degrees(match: Match) -> str:
    scale = match["scale"] and f" {_TABLE['degrees'][match['scale']]}"
    return f"{_counted(match['number'], 'degree')}{scale or ''}"


def _position(match: Match) -> str:
    parts = {"degree": match["number"], "minute": match["minutes"], "second": match["seconds"]}
    direction = match["direction"] and f" {_TABLE['degrees'][match['direction']]}"
    return " ".join(_counted(number, unit) for unit, number in parts.items() if number) + (direction or "")


def _inches(match: Match) -> str:
    if '"' in match[0] and match.string[: match.start()].count('"') % 2:
        return match[0]  # the end of what is quoted
    return _counted(match["number"], "inch", "inch" if match["noun"] is not None else "inches")


# numbers


def _groups(match: Match) -> str:
    words = ", ".join(digits(group) for group in re.findall(r"\d+", match[0]))
    return f"plus {words}" if match[0].startswith("+") else words


def _code(match: Match) -> str:
    letters = " ".join(match["letters"].strip(" -"))
    code = re.sub(r"\d+", lambda figures: digits(figures[0]), re.sub(r"(?<=\d)[ -](?=\d)", ", ", match["code"]))
    return f"{match['name']}{letters and letters + ' '}{code}"


def _internet_address(match: Match) -> str:
    address, _, rest = match[0].partition(":")
    address, _, bits = address.partition("/")
    words = " dot ".join(_short_number(part) for part in address.split("."))
    return words + (f" port {digits(rest)}" if rest else "") + (f" slash {_short_number(bits)}" if bits else "")


def _version(match: Match) -> str:
    words = re.sub(r"\d[\d.]*", _version_number, match["number"])
    if (before := match.groupdict().get("v")) and before.lower().startswith("v"):
        words = f"{'Version' if before.startswith('Version') else 'version'} {words}"
    else:
        words = f"{(before or match.groupdict().get('software') or '').strip()} {words}".strip()
    if pre := match["pre"]:
        name, number = re.findall("[a-z]+", pre)[0], re.findall(r"\d+", pre)
        words += f" {'R C' if name == 'rc' else name}" + "".join(f" {cardinal(int(one))}" for one in number)
    return words


def _version_number(match: Match) -> str:
    first, *rest = match[0].split(".")
    return " point ".join([decimal(first), *(_short_number(part) for part in rest)])


def _european(match: Match) -> str:
    """Write 1.234,56 and 1 234,56 as 1,234.56."""
    return match[0].strip().translate(str.maketrans(". ,", ",,."))


def _fraction(match: Match) -> str:
    whole, over, under = match.groups()[:3]
    words = fraction(int(over), int(under))
    if whole:
        return f"{decimal(whole)} and {'a' + words[3:] if words.startswith('one ') else words}"
    return words


def _fraction_unit(match: Match) -> str:
    single = not match[1] and int(match[2]) < int(match[3])
    return f"{_fraction(match)} {_unit_name(match['unit'], single=single)}"


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
    if len(text) == 4 and text.isdigit() and "1900" <= text < "2100":
        return year(int(text))
    return decimal(text)


_READERS: Mapping[str, Callable[[Match], str]] = {
    "abbreviation": _abbreviation,
    "address": _address,
    "alphanumeric": _alphanumeric,
    "bits": lambda match: " and ".join("ones" if bit[0] == "1" else "zeros" for bit in match[0].split(" and ")),
    "cents": lambda match: _counted(match["number"], "cent"),
    "chemical": _chemical,
    "clock": _clock,
    "code": _code,
    "colour": lambda match: f"hash {_spelled(match['code'].upper())}",
    "day_month": _day_month,
    "decade": lambda match: _decade(match[1]),
    "decades": lambda match: f"{_decade(match[1])} and {_decade(match[2])}",
    "degrees": _degrees,
    "duration": _duration,
    "european": _european,
    "feet": lambda match: f"{decimal(match['number'])} {'foot' if match['number'] == '1' else 'feet'}",
    "formula": _formula,
    "fraction": _fraction,
    "fraction_unit": _fraction_unit,
    "greek": lambda match: f" {_TABLE['greek'][match[1]]} ",
    "groups": _groups,
    "height": lambda match: f"{decimal(match['feet'])} foot {decimal(match['inches'])}",
    "house": _house,
    "inches": _inches,
    "initials": lambda match: " and ".join(" ".join(part) for part in match[0].split("&")),
    "internet_address": _internet_address,
    "keys": lambda match: " ".join(_TABLE["keys"].get(key, key) for key in re.split(r" ?[+-] ?", match[0])),
    "letters": _letters,
    "mixed": lambda match: _spelled(match[0]),
    "money": _money,
    "money_range": _money_range,
    "month": lambda match: _month(match) + _full_stop(match),
    "month_day": _month_day,
    "month_year": _month_year,
    "months": lambda match: _pair(_MONTHS, match),
    "negative_money": lambda match: f"minus {match['sign']}",
    "number": _number,
    "numbered": lambda match: f"{_TABLE['numbered'][match[1].lower()]} ",
    "numbered_date": _numbered_date,
    "ordinal": lambda match: ordinal(int(match[1].replace(",", ""))),
    "out_of": lambda match: f"{cardinal(int(match['same']))} out of {cardinal(int(match['same']))}",
    "per_money": lambda match: str(_TABLE["money"][match["sign"]][0]),
    "per_unit": _per_unit,
    "plural": lambda match: _plural(cardinal(int(match[1] or match[2]))),
    "position": _position,
    "regnal": _regnal,
    "roman": _roman,
    "roman_ordinal": lambda match: ordinal(_roman_value(match["roman"])),
    "side_by_side": lambda match: " ".join(cardinal(int(part)) for part in match[0].split("/")),
    "slashed_date": _slashed_date,
    "spaced": lambda match: re.sub(r"\D", ",", match[0]),
    "spelled": lambda match: _spelled(match[0]),
    "street": lambda match: str(_TABLE["abbreviations"][match[0]]),
    "time": _time,
    "title": _title,
    "toll_free": lambda match: f"{_groups(match)}, ",
    "unit": _unit,
    "version": _version,
    "weekday": lambda match: _named(_TABLE["weekdays"], match["first"]) + _full_stop(match),
    "weekdays": lambda match: _pair(_TABLE["weekdays"], match),
    "year": lambda match: year(int(match[0])),
    "year_month": lambda match: f"{_MONTHS[int(match['month']) - 1]} {year(int(match['year']))}",
    "years": _years,
}
