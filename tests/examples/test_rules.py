"""What the shop allows, to the day and the hour."""

from datetime import date, datetime, timedelta

import pytest

from support_desk.rules import may_call, may_cancel, may_return, next_opening, same, valid
from support_desk.shop import Order, Return, State
from vivavoce import ToolError

TODAY = date(2026, 11, 21)
SATURDAY = datetime(2026, 11, 21, 17, 0)


def order(state: State, delivered_days_ago: int | None = None, returned: Return | None = None) -> Order:
    delivered = None if delivered_days_ago is None else TODAY - timedelta(days=delivered_days_ago)
    return Order(id=1042, state=state, delivered_on=delivered, returned=returned)


@pytest.mark.parametrize("state", [State.PAID, State.PACKED])
def test_an_order_that_is_still_here_can_be_cancelled(state: State) -> None:
    may_cancel(order(state))


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (State.SENT, "has left already and cannot be cancelled. It can be sent back"),
        (State.DELIVERED, "was delivered and cannot be cancelled. It can be returned within 30 days"),
        (State.CANCELLED, "is cancelled already"),
    ],
)
def test_an_order_that_has_left_cannot_be_cancelled(state: State, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        may_cancel(order(state))


@pytest.mark.parametrize("days", [0, 1, 30])
def test_an_order_can_be_returned_for_thirty_days(days: int) -> None:
    may_return(order(State.DELIVERED, days), TODAY)


def test_after_thirty_days_it_is_too_late() -> None:
    with pytest.raises(ToolError, match=r"was delivered on Wednesday, October 21\. .* within 30 days"):
        may_return(order(State.DELIVERED, 31), TODAY)


def test_an_order_can_be_returned_once() -> None:
    before = Return(asked_on=TODAY, reason="It is blunt.")
    with pytest.raises(ToolError, match="noted already, on Saturday, November 21"):
        may_return(order(State.DELIVERED, 3, before), TODAY)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (State.PAID, "has not left yet, so there is nothing to return. It can be cancelled."),
        (State.PACKED, "has not left yet"),
        (State.SENT, "was not delivered, so there is nothing to return: it is sent"),
        (State.CANCELLED, "was not delivered, so there is nothing to return: it is cancelled"),
    ],
)
def test_what_has_not_arrived_cannot_be_returned(state: State, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        may_return(order(state), TODAY)


@pytest.mark.parametrize("at", ["2026-11-23 09:00", "2026-11-27 17:59", "2026-11-28 10:00", "2026-12-21 12:00"])
def test_people_are_called_in_opening_hours(at: str) -> None:
    when = datetime.fromisoformat(at)
    assert may_call(when, SATURDAY) == when


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (
            "2026-11-23 08:59",
            "do not call on Monday, November 23 at 8:59 am. We call Monday to Friday from 9 am",
        ),
        ("2026-11-23 18:00", "do not call on Monday"),
        ("2026-11-22 12:00", "do not call on Sunday"),
        ("2026-11-28 14:00", "do not call on Saturday"),
        ("2026-11-21 12:00", "is over"),
        ("2026-12-22 12:00", "30 days ahead at most"),
    ],
)
def test_nobody_is_called_at_other_times(at: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        may_call(datetime.fromisoformat(at), SATURDAY)


def test_a_time_that_nobody_understood_is_asked_for_again() -> None:
    with pytest.raises(
        ToolError, match=r"Today is Saturday, November 21, 2026-11-21\. Could you tell me a day"
    ):
        may_call(None, SATURDAY)


@pytest.mark.parametrize(
    ("now", "opening"),
    [("2026-11-21 17:00", "2026-11-23 09:00"), ("2026-11-20 08:00", "2026-11-21 10:00")],
)
def test_the_next_opening_is_on_another_day(now: str, opening: str) -> None:
    assert next_opening(datetime.fromisoformat(now)) == datetime.fromisoformat(opening)


@pytest.mark.parametrize(
    ("postcode", "said"),
    [("90210", "90210"), ("90210", "9 0 2 1 0"), ("14205", "one four two oh five"), ("SW1A 1AA", "sw1a1aa")],
)
def test_a_postcode_may_be_said_in_many_ways(postcode: str, said: str) -> None:
    assert same(postcode, said)


@pytest.mark.parametrize("said", ["", "90211", "9021", "902100", "none", "SW1A"])
def test_another_postcode_is_another(said: str) -> None:
    assert not same("90210", said)
    assert not same("SW1A 1AA", said)


@pytest.mark.parametrize(
    ("field", "said", "written"),
    [
        ("email", "Ada@Example.org", "ada@example.org"),
        ("email", "ada at example dot org", "ada@example.org"),
        ("email", "bob.lee@example.co.uk.", "bob.lee@example.co.uk"),
        ("phone", "555-0142", "5550142"),
        ("phone", "five five five, oh one double seven", "5550177"),
        ("phone", "+49 30 123456", "+4930123456"),
        ("address", " 12 Mill Lane,\nSpringfield ", "12 Mill Lane, Springfield"),
    ],
)
def test_what_callers_say_is_written_down_as_it_is_written(field: str, said: str, written: str) -> None:
    assert valid(field, said) == written


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("email", "ada"),
        ("email", "ada@example"),
        ("email", "ada@@example.org"),
        ("email", f"{'a' * 120}@example.org"),
        ("phone", "123"),
        ("phone", "1" * 16),
        ("phone", "my mother's"),
        ("address", "nowhere"),
        ("address", "somewhere in the hills"),
        ("address", "1 " + "long " * 50 + "road"),
    ],
)
def test_what_cannot_be_is_not_written_down(field: str, said: str) -> None:
    with pytest.raises(ToolError):
        valid(field, said)
