"""What callers mean by the times and numbers that they say."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_desk.spoken_numbers import only_digits, with_digits
from support_desk.times import moment, spoken_day, spoken_moment

SATURDAY = datetime(2026, 11, 21, 17, 0)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("tomorrow at ten", "2026-11-22 10:00"),
        ("Tomorrow, at ten o'clock.", "2026-11-22 10:00"),
        ("10 am tomorrow", "2026-11-22 10:00"),
        ("tomorrow at 10 p.m.", "2026-11-22 22:00"),
        ("tomorrow morning", "2026-11-22 10:00"),
        ("the day after tomorrow at noon", "2026-11-23 12:00"),
        ("on Friday afternoon", "2026-11-27 15:00"),
        ("Friday at four in the afternoon", "2026-11-27 16:00"),
        ("Monday morning around nine", "2026-11-23 09:00"),
        ("maybe on monday morning around nine", "2026-11-23 09:00"),
        ("next Tuesday at 2 pm", "2026-11-24 14:00"),
        ("Saturday at 12", "2026-11-28 12:00"),
        ("later today at half past five", "2026-11-21 17:30"),
        ("half past four", "2026-11-22 16:30"),
        ("this evening at seven thirty", "2026-11-21 19:30"),
        ("quarter past nine on Monday", "2026-11-23 09:15"),
        ("Monday at a quarter to one", "2026-11-23 12:45"),
        ("tomorrow at twenty-five to five", "2026-11-22 16:35"),
        ("ten minutes past four tomorrow", "2026-11-22 16:10"),
        ("today at 18.45", "2026-11-21 18:45"),
        ("3 December at 11", "2026-12-03 11:00"),
        ("January 4th at 9:30", "2027-01-04 09:30"),
        ("the 2nd of january at ten", "2027-01-02 10:00"),
        ("in two hours", "2026-11-21 19:00"),
        ("in half an hour", "2026-11-21 17:30"),
        ("in an hour and a half", "2026-11-21 18:30"),
        ("2026-11-23 10:00", "2026-11-23 10:00"),
        ("2026-11-23T10:00:00Z", "2026-11-23 10:00"),
        ("2026-11-23 at ten", "2026-11-23 10:00"),
    ],
)
def test_people_say_when(words: str, meant: str) -> None:
    assert moment(words, SATURDAY) == datetime.fromisoformat(meant)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "soon",
        "tomorrow",
        "when my mother is out",
        "tomorrow at ten or eleven",
        "Monday, December 25 at ten",
        "tomorrow at 25",
        "tomorrow at 10:75",
        "February 30 at ten",
        "2026-02-30 at ten",
        "कल दस बजे",
    ],
)
def test_what_is_not_understood_is_not_guessed(words: str) -> None:
    assert moment(words, SATURDAY) is None


@given(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)), st.integers(1, 6), st.integers(0, 24 * 60 - 1))
def test_what_the_desk_says_it_also_understands(now: datetime, days: int, minute: int) -> None:
    at = datetime.combine(now.date() + timedelta(days=days), datetime.min.time()) + timedelta(minutes=minute)
    assert moment(spoken_moment(at), now) == at


@given(st.text(max_size=40), st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)))
def test_no_words_break_it(words: str, now: datetime) -> None:
    assert moment(words, now) is None or isinstance(moment(words, now), datetime)


def test_times_sound_well() -> None:
    assert spoken_moment(datetime(2026, 11, 23, 10, 0)) == "Monday, November 23 at 10 am"
    assert spoken_moment(datetime(2026, 11, 23, 12, 5)) == "Monday, November 23 at 12:05 pm"
    assert spoken_day(SATURDAY.date()) == "Saturday, November 21"


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("1042", "1042"),
        ("order #1042.", "1042"),
        ("ten forty-two", "1042"),
        ("ten forty two", "1042"),
        ("one oh five two", "1052"),
        ("twenty thirty-one", "2031"),
        ("Two zero one seven", "2017"),
        ("five five five, oh one double seven", "5550177"),
        ("triple five 0142", "5550142"),
        ("none", ""),
    ],
)
def test_people_say_numbers(words: str, digits: str) -> None:
    assert only_digits(words) == digits


def test_words_beside_numbers_stay() -> None:
    assert with_digits("Half past Four, at number twenty-five") == "half past 4, at number 25"
