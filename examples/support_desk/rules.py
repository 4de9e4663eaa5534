"""What the shop allows, and what it does not: each refusal is a sentence that can be read out as it is."""

import re
from datetime import date, datetime, time, timedelta
from typing import Literal

from vivavoce import ToolError

from .shop import Order, State
from .spoken_numbers import only_digits
from .times import spoken_day, spoken_moment

__all__ = [
    "RETURN_DAYS",
    "Field",
    "brief",
    "called",
    "may_call",
    "may_cancel",
    "may_return",
    "next_opening",
    "same",
    "valid",
]

Field = Literal["email", "phone", "address"]

RETURN_DAYS = 30
CALLBACK_DAYS = 30
HOURS = {**dict.fromkeys(range(5), (9, 18)), 5: (10, 14)}
"""when we call, by weekday, Monday being 0"""
SPOKEN_HOURS = "Monday to Friday from 9 am to 6 pm, and Saturday from 10 am to 2 pm"

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}")


def called(words: str, what: str) -> int:
    """Return the number of an order or a customer, which has four digits."""
    if len(number := only_digits(words)) != 4:
        raise ToolError(f"The {what} number has four digits. Could you say it again?")
    return int(number)


def same(postcode: str, said: str) -> bool:
    """Say whether this postcode was said, be it in digits, in words or in letters one by one."""
    return _letters(postcode) == _letters(said) or only_digits(said) == postcode


def _letters(postcode: str) -> str:
    return re.sub(r"[^a-z0-9]", "", postcode.lower())


def brief(words: str) -> str:
    """Return what a caller said, as long as there is room for it."""
    return " ".join(words.split())[:300]


def may_cancel(order: Order) -> None:
    """An order can be cancelled until it has left."""
    match order.state:
        case State.CANCELLED:
            raise ToolError(f"Order {order.id} is cancelled already.")
        case State.SENT:
            raise ToolError(
                f"Order {order.id} has left already and cannot be cancelled. "
                "It can be sent back when it has arrived."
            )
        case State.DELIVERED:
            raise ToolError(
                f"Order {order.id} was delivered and cannot be cancelled. It can be returned within "
                f"{RETURN_DAYS} days of its delivery."
            )
        case State.PAID | State.PACKED:
            return


def may_return(order: Order, today: date) -> None:
    """An order can be returned once, within `RETURN_DAYS` of its delivery."""
    if order.returned is not None:
        raise ToolError(
            f"The return of order {order.id} was noted already, on {spoken_day(order.returned.asked_on)}."
        )
    if order.state in (State.PAID, State.PACKED):
        raise ToolError(
            f"Order {order.id} has not left yet, so there is nothing to return. It can be cancelled."
        )
    if order.delivered_on is None:
        raise ToolError(
            f"Order {order.id} was not delivered, so there is nothing to return: it is {order.state}."
        )
    if today > order.delivered_on + timedelta(days=RETURN_DAYS):
        raise ToolError(
            f"Order {order.id} was delivered on {spoken_day(order.delivered_on)}. "
            f"Orders can be returned within {RETURN_DAYS} days, so this is too late."
        )


def may_call(at: datetime | None, now: datetime) -> datetime:
    """Return the time of a call, if we call at that time."""
    if at is None:
        raise ToolError(
            f"I cannot tell when that is. Today is {spoken_day(now.date())}, {now.date()}. "
            "Could you tell me a day and a time, such as tomorrow at ten?"
        )
    if at <= now:
        raise ToolError(f"{spoken_moment(at)} is over. Could you tell me another time?")
    if at > now + timedelta(days=CALLBACK_DAYS):
        raise ToolError(f"We plan calls {CALLBACK_DAYS} days ahead at most. Could you tell me an earlier day?")
    opens, closes = HOURS.get(at.weekday(), (0, 0))
    if not opens <= at.hour < closes:
        raise ToolError(f"We do not call on {spoken_moment(at)}. We call {SPOKEN_HOURS}.")
    return at


def next_opening(now: datetime) -> datetime:
    """Return when we begin to call on the next day on which we do."""
    days = (now.date() + timedelta(days=ahead) for ahead in range(1, 8))
    return next(datetime.combine(day, time(HOURS[day.weekday()][0])) for day in days if day.weekday() in HOURS)


def valid(field: Field, value: str) -> str:
    """Return what is written into the database, if it can be written to, or called."""
    match field:
        case "email":
            return _email(value)
        case "phone":
            return _phone(value)
        case "address":
            return _address(value)


def _email(value: str) -> str:
    written = re.sub(r"\s+(at|dot)\s+", lambda word: {"at": "@", "dot": "."}[word[1]], value.strip().lower())
    written = written.replace(" ", "").rstrip(".")
    if not _EMAIL.fullmatch(written) or len(written) > 120:
        raise ToolError(f"{value!r} is no email address. Could you spell it?")
    return written


def _phone(value: str) -> str:
    if not 7 <= len(number := only_digits(value)) <= 15:
        raise ToolError(
            f"A phone number has 7 to 15 digits, and {value!r} has {len(number)}. Could you say it again?"
        )
    return f"+{number}" if value.strip().startswith("+") else number


def _address(value: str) -> str:
    written = " ".join(value.split())
    if not 8 <= len(written) <= 200 or not only_digits(written):
        raise ToolError("An address has a street, a number and a town. Could you tell me all of it?")
    return written
