"""What people mean by "tomorrow at ten": words become a date and a time, and times become words.

It knows, in English, how callers speak of the next weeks; models that speak another language give date and time
in digits (ISO 8601). Words that it does not know it does not pass over: better to ask once more than to call at
the wrong time, which is what the libraries for this were found to do.
"""

import re
from datetime import date, datetime, time, timedelta

from .spoken_numbers import with_digits

__all__ = ["moment", "spoken_day", "spoken_moment", "spoken_time"]

_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTHS = "january february march april may june july august september october november december".split()
_PARTS = {"morning": 10, "noon": 12, "midday": 12, "afternoon": 15, "evening": 17, "tonight": 17}
_FIRST_HOUR = 8
"""a bare hour before it is one of the afternoon: nobody has themselves called at three in the night"""

_AWAY = re.compile(r"in (?:about )?(\d+|an?|half an)( and a half)? (minute|hour)s?( and a half)?")
_DATE = re.compile(
    rf"(?:(\d+)(?:st|nd|rd|th)?(?: of)? )?\b({'|'.join(_MONTHS)})\b(?: (\d+)(?:st|nd|rd|th)?\b)?"
)
_WEEKDAY = re.compile(rf"\b({'|'.join(_DAYS)})\b")
_PART = re.compile(rf"\b({'|'.join(_PARTS)})\b")
_CLOCK = re.compile(r"\b(\d{1,2})(?::(\d\d))? ?(am|pm)?(?: o'?clock)?\b")
_IDLE = re.compile(
    r"\b(?:on|at|around|about|maybe|perhaps|please|the|in|of|later|this|next|for|by|say|o'?clock)\b"
)


def moment(words: str, now: datetime) -> datetime | None:
    """Return the time that is meant, seen from `now`; None if the words do not say it, or say more."""
    try:
        return datetime.fromisoformat(words.strip()).replace(tzinfo=None)
    except ValueError:
        words = _plain(words)
    if away := _AWAY.fullmatch(words):
        return now + _distance(*away.groups())
    try:
        on, words = _day(words, now.date())
        at, words = _time(words)
    except ValueError:
        return None
    if at is None or _IDLE.sub("", words).strip():
        return None
    meant = datetime.combine(on or now.date(), at)
    return meant + timedelta(days=1) if on is None and meant <= now else meant


def _plain(words: str) -> str:
    """Write numbers in digits, and every time of the clock as hour:minutes."""
    words = re.sub(r"\b([ap])\.? ?m\b\.?", r"\1m", with_digits(words))
    words = re.sub(r"[,.!?;]+(?!\d)", " ", words)
    words = " ".join(words.split())
    words = re.sub(r"\bhalf (?:past )?(\d+)\b", r"\1:30", words)
    words = re.sub(r"\b(?:a )?quarter (past|to)\b", r"15 \1", words)
    words = re.sub(r"\b(\d+)(?: minutes)? past (\d+)\b", lambda m: f"{m[2]}:{m[1]:>02}", words)
    words = re.sub(
        r"\b(\d+)(?: minutes)? to (\d+)\b", lambda m: f"{(int(m[2]) - 2) % 12 + 1}:{60 - int(m[1]):02}", words
    )
    return re.sub(r"\b(\d{1,2})[ .](\d\d)\b", r"\1:\2", words)


def _distance(number: str, half: str | None, unit: str, half_after: str | None) -> timedelta:
    count = {"a": 1.0, "an": 1.0, "half an": 0.5}.get(number) or float(number)
    return timedelta(**{f"{unit}s": count + (0.5 if half or half_after else 0)})


def _day(words: str, today: date) -> tuple[date | None, str]:
    """Return the day that is meant, and the words that are left. Raises `ValueError` for one that is none."""
    for said, days in (("day after tomorrow", 2), ("tomorrow", 1), ("today", 0)):
        if said in words:
            return today + timedelta(days=days), words.replace(said, "", 1)
    on, words = _date(words, today)
    if weekday := _WEEKDAY.search(words):
        ahead = (_DAYS.index(weekday[0]) - today.weekday() - 1) % 7 + 1
        if on is not None and on.weekday() != _DAYS.index(weekday[0]):
            raise ValueError("this date is no such weekday")
        return on or today + timedelta(days=ahead), words.replace(weekday[0], "", 1)
    return on or (today if re.search(r"\b(?:this|tonight)\b", words) else None), words


def _date(words: str, today: date) -> tuple[date | None, str]:
    """Return the day of the month that is meant, and the words that are left."""
    if exact := re.search(r"\b\d{4}-\d\d-\d\d\b", words):
        return date.fromisoformat(exact[0]), words.replace(exact[0], "", 1)
    if (named := _DATE.search(words)) and (number := named[1] or named[3]):
        this_year = date(today.year, _MONTHS.index(named[2]) + 1, int(number))
        on = this_year if this_year >= today else this_year.replace(year=today.year + 1)
        return on, words.replace(named[0], "", 1)
    return None, words


def _time(words: str) -> tuple[time | None, str]:
    """Return the time that is meant, and the words that are left. Raises `ValueError` for one that is none."""
    part, clock = _PART.search(words), _CLOCK.search(words)
    words = words.replace(part[0], "", 1) if part else words
    if clock is None:
        return (time(_PARTS[part[0]]) if part else None), words
    hour = _hour(int(clock[1]), clock[3] or "", part[0] if part else "")
    return time(hour, int(clock[2] or 0)), words.replace(clock[0], "", 1)


def _hour(hour: int, half: str, part: str) -> int:
    """Return the hour of 24 that is meant by one of twelve, with am or pm, or in a part of the day."""
    if hour > 12:
        return hour
    after_noon = half == "pm" or (not half and part in ("afternoon", "evening", "tonight"))
    before_noon = half == "am" or (not half and part == "morning")
    if before_noon:
        return hour % 12
    return hour % 12 + 12 if after_noon or hour < _FIRST_HOUR else hour


def spoken_day(day: date) -> str:
    """Say a day: Monday, November 23."""
    return f"{day:%A}, {day:%B} {day.day}"


def spoken_time(at: time) -> str:
    """Say a time: 10 am, or 4:30 pm."""
    return f"{(at.hour - 1) % 12 + 1}{f':{at:%M}' if at.minute else ''} {'pm' if at.hour >= 12 else 'am'}"


def spoken_moment(at: datetime) -> str:
    """Say day and time: Monday, November 23 at 10 am."""
    return f"{spoken_day(at.date())} at {spoken_time(at.time())}"
