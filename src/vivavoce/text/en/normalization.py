"""How English is read: what dates, times, money, units, numbers, addresses and abbreviations sound like."""

import re
import unicodedata
from collections.abc import Callable
from typing import TypeAlias

from vivavoce.text.en.spoken_numbers import amount, cardinal, decimal, digits, fraction, ordinal, year

__all__ = ["ADDRESSES", "ENGLISH", "plain_digits", "rules"]

Found: TypeAlias = re.Match[str]
Words: TypeAlias = str | Callable[[Found], str]


def rules(*given: tuple[str, Words]) -> tuple[tuple[re.Pattern[str], Words], ...]:
    """Make rules of patterns and what is said instead."""
    return tuple((re.compile(pattern), words) for pattern, words in given)


def plain_digits(char: str) -> str:
    """Return a digit of any script, a fraction or a power in plain digits or words; other signs as they are."""
    if char.isascii() or unicodedata.category(char)[0] != "N":
        return char
    if power := {"²": " squared", "³": " cubed"}.get(char):
        return power
    plain = unicodedata.normalize("NFKC", char).replace("⁄", "/")
    if plain.isascii():
        return f" {plain}" if "/" in plain else plain
    return str(unicodedata.digit(char, " "))


def _table(entries: str) -> dict[str, str]:
    return dict(entry.strip().split(": ") for entry in entries.split(","))


# --- addresses ---

SIGNS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "=": "equals", "&": "and"}
SIGNS |= {"?": "question mark", ":": "colon", "#": "hash", "%": "percent", "+": "plus", "~": "tilde"}


def _address(found: Found) -> str:
    whole = found["address"]
    address = whole.rstrip(".,;:!?/")
    spelled = "".join(f" {SIGNS[char]} " if char in SIGNS else char for char in address)
    return spelled.strip() + whole[len(address) :].replace("/", "")


_PATH = r"[^\s<>\[\](){}\"*`|\\]*"
ADDRESSES = rules(
    (r"(?<![\w.+-])(?P<address>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)", _address),
    (rf"(?i)(?:\bhttps?://(?:www\.)?|\bwww\.)(?P<address>\w{_PATH})", _address),
    (
        rf"(?<![\w.@/-])(?P<address>[A-Za-z0-9][\w-]*(?:\.[A-Za-z0-9][\w-]*)*"
        rf"\.(?:com|org|net|io|dev|gov|edu|ai|app|uk|de|eu)(?:/{_PATH})?)(?![\w@-])",
        _address,
    ),
)

# --- abbreviations ---

BEFORE_A_NAME = {"Dr": "Doctor", "Prof": "Professor", "St": "Saint", "Mt": "Mount"}
ANYWHERE = _table(
    "Mr: Mister, Mrs: Missus, Ms: Ms, etc: et cetera, approx: approximately, vs: versus, dept: department,"
    "max: maximum, min: minimum, incl: including, Inc: Incorporated, Ltd: Limited, Jr: Junior, Sr: Senior,"
    "St: Street, Ave: Avenue, Blvd: Boulevard, Rd: Road, Dr: Drive"
)


def _stop(found: Found) -> str:
    """Return the point that ends a sentence, if the one that ends an abbreviation did so too."""
    rest = found.string[found.end() :]
    return "." if found[0].endswith(".") and re.match(r"['\"”’)]*(?:\s*$|\s+[A-Z])", rest) else ""


def _abbreviation(found: Found) -> str:
    return ANYWHERE[found[1]] + ("" if found[1] in ("Mr", "Mrs", "Ms") else _stop(found))


# --- dates and times ---

MONTHS = ["January", "February", "March", "April", "May", "June", "July"]
MONTHS += ["August", "September", "October", "November", "December"]
_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|(?:{'|'.join(month[:3] for month in MONTHS)}|Sept)\b\.?)"
_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?P<year>[12]\d{3})"


def _month(found: Found) -> str:
    return next(month for month in MONTHS if month.startswith(found["month"][:3]))


def _in_year(found: Found) -> str:
    return f", {year(int(found['year']))}" if found["year"] else ""


def _numbered_date(found: Found) -> str:
    return f"{MONTHS[int(found['month']) - 1]} {ordinal(int(found['day']))}{_in_year(found)}"


def _slashed_date(found: Found) -> str:
    month, day, at = int(found[1]), int(found[2]), int(found[3])
    if month > 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return " ".join(decimal(part) for part in found.groups())
    return f"{MONTHS[month - 1]} {ordinal(day)}, {year(at if len(found[3]) == 4 else 2000 + at)}"


def _month_day(found: Found) -> str:
    return f"{_month(found)} {ordinal(int(found['day']))}{_in_year(found)}"


def _day_month(found: Found) -> str:
    return f"{ordinal(int(found['day']))} of {_month(found)}{_in_year(found)}"


def _month_year(found: Found) -> str:
    return f"{_month(found)} {year(int(found['year']))}"


def _years(found: Found) -> str:
    return f"{year(int(found[1]))} to {year(int(found[2]))}"


def _decade(found: Found) -> str:
    said = year(int(found[1])) if len(found[1]) == 4 else cardinal(int(found[1]))
    return said[:-1] + "ies" if said.endswith("y") else said + "s"


def _time(found: Found) -> str:
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    half = (found["half"] or "").upper()
    if not half and (hour > 12 or hour == 0):
        half = "P" if 12 < hour < 24 else "A"
    said = cardinal(hour % 12 or 12)
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif not half:
        said += " o'clock"
    return said + (f" {half}M" if half else "") + _stop(found)


def _clock(found: Found) -> str:
    hour, minute, second = (cardinal(int(part)) for part in found.groups())
    return f"{hour} {'oh ' if int(found[2]) < 10 else ''}{minute} and {second} seconds"


_HOUR = r"(?<![\w:.,])(?P<hour>[01]?\d|2[0-4])"
_HALF = r"\s?(?P<half>[AaPp])(?:\.\s?[Mm]\.|[Mm]\b)"

# --- amounts ---

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_PER = r"(?P<per>\s?/\s?(?=[A-Za-z]))?"
_DOLLAR, _EURO = ("dollar", "dollars", "cent", "cents"), ("euro", "euros", "cent", "cents")
_POUND, _YEN = ("pound", "pounds", "penny", "pence"), ("yen", "yen", "", "")
MONEY = {"$": _DOLLAR, "USD": _DOLLAR, "€": _EURO, "EUR": _EURO, "£": _POUND, "GBP": _POUND, "¥": _YEN}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
_SCALE = r"(?:\s?(?P<scale>[kK]|[mM]n?|[bB]n?|thousand|million|billion|trillion)\b)?"
UNITS = _table(
    "km: kilometer, cm: centimeter, mm: millimeter, m: meter, mi: mile, yd: yard, kg: kilogram,"
    "mg: milligram, g: gram, lbs: pound, lb: pound, oz: ounce, ml: milliliter, mL: milliliter, l: liter,"
    "L: liter, W: watt, kW: kilowatt, kWh: kilowatt hour, V: volt, KB: kilobyte, kB: kilobyte,"
    "MB: megabyte, GB: gigabyte, TB: terabyte, ms: millisecond, s: second, sec: second, min: minute,"
    "h: hour, hr: hour, hrs: hour"
)
MANY = {unit: word + "s" for unit, word in UNITS.items()}
UNITS |= _table("ft: foot, mph: mile per hour, kph: kilometer per hour, km/h: kilometer per hour")
MANY |= _table("ft: feet, mph: miles per hour, kph: kilometers per hour, km/h: kilometers per hour")
UNITS |= (hertz := _table("Hz: hertz, kHz: kilohertz, MHz: megahertz, GHz: gigahertz"))
MANY |= hertz
_UNIT = "|".join(sorted((re.escape(unit) for unit in UNITS), key=len, reverse=True))


def _per(found: Found) -> str:
    return " per " if found["per"] else ""


def _money(found: Found) -> str:
    one, many, cent, cents = MONEY[found["sign"]]
    if scale := found["scale"]:
        return f"{decimal(found['number'])} {SCALES.get(scale.lower(), scale)} {many}{_per(found)}"
    return amount(found["number"], one, many, cent, cents) + _per(found)


def _unit(found: Found) -> str:
    words = UNITS if found["number"] == "1" else MANY
    return f"{decimal(found['number'])} {words[found['unit']]}{_per(found)}"


def _degrees(found: Found) -> str:
    scale = {"F": " Fahrenheit", "C": " Celsius", None: ""}[found["scale"]]
    return f"{decimal(found['number'])} degree{'' if found['number'] == '1' else 's'}{scale}"


# --- numbers ---

_NAMED = (
    r"\b(?:code|pin|passcode|password|number|extension|ext|room|flight|gate|account|zip|id|ticket|invoice"
    r"|confirmation|reference)(?: (?:number|code|id|is))*[.:]? ?(?:[A-Z]{1,3}[ -]?)?"
)


def _code(found: Found) -> str:
    return f"{found['name']}{digits(found['code'])}"


def _groups(found: Found) -> str:
    said = ", ".join(digits(group) for group in re.findall(r"\d+", found[0]))
    return f"plus {said}" if found[0].startswith("+") else said


def _version(found: Found) -> str:
    said = " point ".join(cardinal(int(part)) for part in found["number"].split("."))
    if not found["v"]:
        return said
    return f"{'Version' if found['v'].startswith('Version') else 'version'} {said}"


def _fraction(found: Found) -> str:
    whole, over, under = found.groups()
    said = fraction(int(over), int(under))
    if whole:
        return f"{decimal(whole)} and {'a' + said[3:] if said.startswith('one ') else said}"
    return said


def _house(found: Found) -> str:
    hundreds, rest = divmod(int(found[1]), 100)
    if rest == 0:
        return f"{cardinal(int(found[1]))} {found[2]}"
    return f"{cardinal(hundreds)} {'oh ' if rest < 10 else ''}{cardinal(rest)} {found[2]}"


def _number(found: Found) -> str:
    text = found[0]
    if text.isdigit() and (
        len(text) > 15
        or (len(text) >= 7 and not text.endswith("000"))
        or (len(text) >= 5 and not text.endswith("00"))
    ):
        return digits(text)
    if len(text) == 4 and "1900" <= text < "2100":
        return year(int(text))
    return decimal(text)


ENGLISH = rules(
    (r"[\u00ad\u200b-\u200f\u2060\ufeff]", ""),
    (r"(?i)(?<![\w.])e\.\s?g\.,?", "for example,"),
    (r"(?i)(?<![\w.])i\.\s?e\.,?", "that is,"),
    (r"(?i)(?<![\w.])a\.k\.a\.", "also known as"),
    (r"(?<!\w)w/o\b", "without"),
    (r"(?<!\w)w/(?=[\sA-Za-z])\s?", "with "),
    (rf"\b({'|'.join(BEFORE_A_NAME)})\. (?=[A-Z])", lambda found: BEFORE_A_NAME[found[1]] + " "),
    (r"(?i)\bnos?\. ?(?=\d)", "number "),
    (
        r"(?<!\d)(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])(?=T?(?!\d))",
        _numbered_date,
    ),
    (r"(?<![\w/.])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/])", _slashed_date),
    (rf"\b{_MONTH} {_DAY}(?:st|nd|rd|th)?\b(?![:.,]?\d)(?:,? {_YEAR}\b)?", _month_day),
    (rf"(?<![\w.,:]){_DAY}(?:st|nd|rd|th)? (?:of )?{_MONTH}(?![a-z])(?:,? {_YEAR}\b)?", _day_month),
    (rf"\b{_MONTH},? {_YEAR}\b", _month_year),
    (r"(?<![\w.,])(\d{2}|[12]\d{2}0)['’]?s\b", _decade),
    (r"(?<![\w.,-])(1[1-9]\d{2}|20\d{2})\s?[-–—]\s?(1[1-9]\d{2}|20\d{2})(?![\w.,-]\d|\w)", _years),
    (
        r"(?i)(?<=\bin )(1[1-9]\d{2}|20\d{2})(?![\w%°:/]|[,.:-]\d)"
        r"|(?<=\bsince )1[1-9]\d{2}\b|(?<=\()1[1-9]\d{2}(?=\))",
        lambda found: year(int(found[0])),
    ),
    (r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-]|\.\d)", _groups),
    (r"(?<![\w.-])\d{3}-\d{4}(?![\w-]|\.\d)", _groups),
    (r"(?<!\w)\+\d(?:[ ()-]{0,2}\d){6,}", _groups),
    (r"(?<![\w.-])\d+(?:-\d+){2,}(?![\w-]|\.\d)", _groups),
    (r"(?<![\w.])\d{4}(?: \d{4}){3,}(?!\w|\.\d)", _groups),
    (rf"(?P<name>(?i:{_NAMED}))(?P<code>\d{{3,}})(?!\w|[,.:-]\d)", _code),
    (r"\b(?P<v>[vV](?:ersion)?\.? ?)?(?P<number>\d{1,9}(?:\.\d{1,9}){2,})(?!\w)", _version),
    (r"\b(?P<v>[vV])(?P<number>\d{1,9}(?:\.\d{1,9})?)(?!\w)", _version),
    (r"(?<=\d)\s?[–—]\s?(?=[$€£]?\.?\d)|(?<=\d)-(?=[$€£]?\.?\d)", " to "),
    (r"(?<![\w:])(\d{1,2}):([0-5]\d):([0-5]\d)(?![\w:])", _clock),
    (rf"{_HOUR}(?::(?P<minute>[0-5]\d))?{_HALF}", _time),
    (rf"{_HOUR}:(?P<minute>[0-5]\d)(?P<half>)(?![\w:])", _time),
    (r"(?<=\d):(?=\d)", " to "),
    (r"(?<![\w)\]])[-−](?=[$€£¥]?\.?\d)", "minus "),
    (r"(?<=\d) [-−] (?=\d)", " minus "),
    (rf"(?P<sign>[$€£¥]) ?(?P<number>{_NUMBER}){_SCALE}{_PER}", _money),
    (rf"(?<![\d.,])(?P<number>{_NUMBER}){_SCALE} ?(?P<sign>[$€£¥]|(?:USD|EUR|GBP)\b){_PER}", _money),
    (rf"(?<![\d.,])(?P<number>{_NUMBER})\s?°\s?(?P<scale>[FC]\b)?", _degrees),
    (r"\s?%", " percent"),
    (rf"(?<![\w.])(?P<number>{_NUMBER})[ -]?(?P<unit>{_UNIT})(?!\w|['’]\w)(?:\.(?=\s+[a-z]))?{_PER}", _unit),
    (r"\b24/7\b", "twenty-four seven"),
    (r"(?<![\w./])(?:(\d{1,6}) )?(\d{1,6})/(\d{1,6})(?![\w/]|\.\d)", _fraction),
    (r"\b(\d{1,15})(?:st|nd|rd|th)\b", lambda found: ordinal(int(found[1]))),
    (r"(?<![\w.,])([1-9]\d{2})([A-Z])\b", _house),
    (r"(?<=\d)k\b", " thousand"),
    (r"(?<=\d)x(?=\d)", " by "),
    (r"(?<=\d)\^(?=\d)", " to the power of "),
    (r"(?<=[^\W\d])-?(?=\d)|(?<=\d)(?=[^\W\d])", " "),
    (_NUMBER, _number),
    (rf"(?<![\w.])({'|'.join(ANYWHERE)})\.", _abbreviation),
    (r"\band/or\b", "and or"),
    (r"(?<=[^\W\d])\s?/\s?(?=[^\W\d])", " or "),
    (r"~(?=\s?\w)", "about "),
    *(
        (re.escape(sign), f" {word} ")
        for sign, word in {
            "&": "and",
            "@": "at",
            "+": "plus",
            "=": "equals",
            "×": "times",
            "÷": "divided by",
            "±": "plus or minus",
            "≈": "is about",
            "≤": "at most",
            "≥": "at least",
            "≠": "is not",
            "≺": "less than",
            "≻": "greater than",
            "°": "degrees",
            "§": "section",
            "$": "dollars",
            "€": "euros",
            "£": "pounds",
            "¥": "yen",
        }.items()
    ),
    (r"[/^~−→←√∞∑]", " "),
)
