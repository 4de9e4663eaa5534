"""What the seven tools do to the shop's database, and what they refuse."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from support_desk.rules import next_opening
from support_desk.seed import seed
from support_desk.shop import Callback, Customer, Line, Order, Product, Return, State, now, sessions
from support_desk.times import spoken_day, spoken_moment
from support_desk.tools import (
    TOOLS,
    cancel_order,
    customer_info,
    order_status,
    product_info,
    return_order,
    schedule_callback,
    update_account,
)
from vivavoce import Context, ToolError

pytestmark = pytest.mark.usefixtures("shop")

PERSONAL: list[Callable[[Context], object]] = [
    lambda call: order_status("1042", call),
    lambda call: return_order("1042", "It is broken.", call),
    lambda call: update_account("email", "thief@example.org", call),
    lambda call: cancel_order("1066", call),
    lambda call: schedule_callback(monday_at_ten(), call),
    lambda call: schedule_callback(monday_at_ten(), call, "5550142"),
]
NAMES = ["order_status", "return_order", "update_account", "cancel_order", "schedule_callback", "with a phone"]


def monday_at_ten() -> str:
    """The Monday after next: in opening hours, whatever the day and the hour at which the tests run."""
    days = 7 - now().weekday() + 7
    return f"{now().date() + timedelta(days=days)} 10:00"


def order(number: int) -> Order:
    with sessions() as session:
        found = session.get_one(Order, number)
        session.refresh(found, ["returned"])
        return found


def stock(product: str) -> int:
    with sessions() as session:
        return session.scalars(select(Product.stock).where(Product.name == product)).one()


def callbacks() -> list[Callback]:
    with sessions() as session:
        return list(session.scalars(select(Callback)))


# who is calling


def test_a_customer_shows_who_they_are_by_number_and_postcode(call: Context) -> None:
    told = customer_info("2017", "90210", call)
    orders = "1066 is paid; 1052 is paid; 1048 is sent; 1042 is delivered"
    assert told == f"Thank you, Grace Miller. Your orders: {orders}."
    assert order_status("1042", call)


def test_they_may_say_their_numbers_in_words(call: Context) -> None:
    assert "Ada Novak" in customer_info("twenty thirty-one", "one four two oh five", call)


@pytest.mark.parametrize("use", PERSONAL, ids=NAMES)
def test_nothing_personal_is_done_before_that(call: Context, use: Callable[[Context], object]) -> None:
    with pytest.raises(ToolError, match="First I need your customer number and your postcode"):
        use(call)
    assert order(1066).state is State.PAID
    assert callbacks() == []


@pytest.mark.parametrize("use", PERSONAL, ids=NAMES)
def test_a_wrong_postcode_opens_nothing(call: Context, use: Callable[[Context], object]) -> None:
    assert "do not belong together" in customer_info("2017", "90211", call)
    with pytest.raises(ToolError, match="First I need"):
        use(call)


def test_a_stranger_does_not_learn_who_is_a_customer(call: Context) -> None:
    known = customer_info("2017", "00000", call)
    assert customer_info("2999", "00000", replace(call, state={})) == known
    assert "Grace" not in known


def test_after_three_wrong_tries_a_colleague_calls_the_customer(call: Context) -> None:
    customer_info("2017", "90211", call)
    customer_info("2017", "90212", call)
    told = customer_info("2017", "90213", call)
    assert "A colleague calls the number that we know" in told
    (callback,) = callbacks()
    assert (callback.phone, callback.customer_id) == ("3105550176", 2017)
    assert callback.at == next_opening(now())
    assert spoken_moment(callback.at) in told


def test_then_nothing_is_right_any_more(call: Context) -> None:
    for postcode in ("1", "2", "3", "90210"):
        told = customer_info("2017", postcode, call)
    assert "nothing more can be checked" in told
    with pytest.raises(ToolError, match="First I need"):
        order_status("1042", call)
    assert len(callbacks()) == 1


def test_whoever_guesses_at_nobody_is_told_the_same(call: Context) -> None:
    for _ in range(3):
        told = customer_info("2999", "90210", call)
    assert "A colleague calls" in told
    assert callbacks() == []


def test_a_number_that_was_misheard_is_no_wrong_try(call: Context) -> None:
    for _ in range(5):
        with pytest.raises(ToolError, match="The customer number has four digits"):
            customer_info("201", "90210", call)
    assert "Grace Miller" in customer_info("2017", "90210", call)


def test_one_conversation_knows_nothing_of_another(call: Context) -> None:
    customer_info("2017", "90210", call)
    with pytest.raises(ToolError, match="First I need"):
        order_status("1042", replace(call, state={}))


# orders


@pytest.mark.parametrize("number", ["1057", "1099"], ids=["somebody else's", "nobody's"])
def test_only_their_own_orders_are_there(grace: Context, number: str) -> None:
    for use in (order_status, cancel_order):
        with pytest.raises(ToolError, match=f"Grace Miller has no order {number}"):
            use(number, grace)
    with pytest.raises(ToolError, match=f"Grace Miller has no order {number}"):
        return_order(number, "It is too small.", grace)


def test_an_order_number_has_four_digits(grace: Context) -> None:
    with pytest.raises(ToolError, match="The order number has four digits"):
        order_status("42", grace)


@pytest.mark.parametrize(
    ("customer", "number", "how_far"),
    [
        (2017, 1066, "is paid and waits to be packed. It is expected on {expected}."),
        (2031, 1071, "is packed and leaves on the next working day. It is expected on {expected}."),
        (2017, 1048, "is on its way. It is expected on {expected}."),
        (2031, 1063, "is on its way and late: it was expected on {expected}."),
        (2017, 1042, "was delivered on {delivered}."),
        (2012, 1034, "was cancelled on {cancelled}."),
        (2050, 1040, "is on its way back; its return was noted on {returned}."),
    ],
)
def test_they_are_told_how_far_an_order_is(call: Context, customer: int, number: int, how_far: str) -> None:
    told, card = order_status(str(number), replace(call, state={"customer": customer}))
    found = order(number)
    days = {
        "expected": found.expected_on,
        "delivered": found.delivered_on,
        "cancelled": found.cancelled_on,
        "returned": found.returned and found.returned.asked_on,
    }
    dates = {name: spoken_day(day) for name, day in days.items() if day}
    assert told.startswith(f"Order {number} {how_far.format(**dates)} It holds ")
    assert card.title == f"Order {number}"


def test_an_order_is_shown_as_a_table(grace: Context) -> None:
    told, card = order_status("ten sixty-six", grace)
    assert told.endswith("It holds 1 Desk lamp and 2 Water bottle, $77.00 together.")
    assert "| 2 | Water bottle | $38.00 |" in card.markdown
    assert "|  | **Together** | **$77.00** |" in card.markdown


def test_an_order_is_cancelled_and_its_goods_go_back(grace: Context) -> None:
    before = stock("Water bottle")
    told, card = cancel_order("1066", grace, "I found it cheaper.")
    assert told == "Order 1066 is cancelled. $77.00 go back the way they were paid."
    assert card.title == "Order 1066 is cancelled"
    found = order(1066)
    assert (found.state, found.cancelled_on) == (State.CANCELLED, now().date())
    assert found.cancelled_because == "I found it cheaper."
    assert stock("Water bottle") == before + 2


@pytest.mark.parametrize(("number", "why"), [("1048", "has left already"), ("1042", "was delivered")])
def test_an_order_that_has_left_is_not_cancelled(grace: Context, number: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        cancel_order(number, grace)
    assert order(int(number)).state is not State.CANCELLED


def test_an_order_that_two_cancel_at_once_is_cancelled_once(grace: Context) -> None:
    before = stock("Water bottle")
    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(cancel_order, "1066", grace) for _ in range(8)]
    failed = [str(one.exception()) for one in done if one.exception()]
    assert failed == ["Order 1066 is cancelled already."] * 7
    assert stock("Water bottle") == before + 2


def test_an_order_is_returned_once(grace: Context) -> None:
    told = return_order("1042", "  It arrived\nbroken. ", grace)
    assert "A label for the parcel goes to grace.miller@example.com" in told
    returned = order(1042).returned
    assert returned is not None
    assert (returned.reason, returned.asked_on) == ("It arrived broken.", now().date())
    with pytest.raises(ToolError, match="was noted already"):
        return_order("1042", "It is still broken.", grace)


def test_a_long_story_is_cut_where_the_book_ends(grace: Context) -> None:
    return_order("1042", "It broke. " * 1000, grace)
    returned = order(1042).returned
    assert returned is not None
    assert len(returned.reason) == 300


def test_an_old_order_is_not_returned(call: Context) -> None:
    with pytest.raises(ToolError, match="within 30 days, so this is too late"):
        return_order("1055", "I do not like it.", replace(call, state={"customer": 2031}))
    assert order(1055).returned is None


# products


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("blue kettle", "Blue kettle, $44.90. 14 are in stock."),
        ("that desk lamp of yours", "Desk lamp, $39.00."),
        ("wireless headfones", "Wireless headphones, $129.00."),
        ("a coffee grinder", "Coffee grinder"),
        ("the fountain pens", "Fountain pen, $36.00. It is out of stock."),
    ],
)
def test_everybody_may_ask_for_a_product(words: str, name: str) -> None:
    told = product_info(words)
    assert told.startswith(name)
    assert "\n" not in told


def test_where_several_fit_they_are_all_told() -> None:
    assert [line.split(",")[0] for line in product_info("kettle").splitlines()] == ["Blue kettle", "Red kettle"]


@pytest.mark.parametrize("words", ["a motorcycle", "", "of the", "100%"])
def test_what_the_shop_does_not_have_it_does_not_make_up(words: str) -> None:
    with pytest.raises(ToolError, match="The shop has no"):
        product_info(words)


# accounts and calls


@pytest.mark.parametrize(
    ("field", "said", "written"),
    [
        ("email", "ada at example dot org", "ada@example.org"),
        ("phone", "555 0142", "5550142"),
        ("address", "12 Mill Lane, Springfield", "12 Mill Lane, Springfield"),
    ],
)
def test_customers_change_what_the_shop_knows(grace: Context, field: str, said: str, written: str) -> None:
    assert update_account(field, said, grace) == f"The {field} of Grace Miller is now {written}."
    with sessions() as session:
        assert getattr(session.get_one(Customer, 2017), field) == written


def test_what_cannot_be_is_refused_and_nothing_changes(grace: Context) -> None:
    with pytest.raises(ToolError, match="'ada' is no email address"):
        update_account("email", "ada", grace)
    with sessions() as session:
        assert session.get_one(Customer, 2017).email == "grace.miller@example.com"


def test_a_colleague_calls_the_number_that_the_shop_knows(grace: Context) -> None:
    when = monday_at_ten()
    told, card = schedule_callback(when, grace)
    (callback,) = callbacks()
    assert (callback.phone, callback.customer_id) == ("3105550176", 2017)
    assert callback.at == datetime.fromisoformat(when)
    assert told == f"A colleague calls 3105550176 on {spoken_moment(callback.at)}."
    assert f"| {spoken_moment(callback.at)} | 3105550176 |" in card.markdown


def test_or_another_that_the_customer_gives(grace: Context) -> None:
    schedule_callback(monday_at_ten(), grace, "five five five oh one nine nine")
    assert [callback.phone for callback in callbacks()] == ["5550199"]


def test_the_same_call_is_noted_once(grace: Context) -> None:
    for _ in range(2):
        schedule_callback(monday_at_ten(), grace)
    assert len(callbacks()) == 1


@pytest.mark.parametrize(
    ("time", "phone", "why"),
    [
        ("on Sunday at ten", "", "do not call on Sunday"),
        ("sometime", "", "Could you tell me a day and a time"),
        ("Monday at ten", "123", "A phone number has 7 to 15 digits"),
    ],
)
def test_nobody_calls_at_another_time_or_nowhere(grace: Context, time: str, phone: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        schedule_callback(time, grace, phone)
    assert callbacks() == []


# the database itself


def test_the_shop_is_the_same_on_every_machine() -> None:
    tables = (Customer, Product, Order, Return)
    with sessions() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in tables]
        unpaid = session.scalar(select(func.count()).select_from(Line).where(Line.cents <= 0))
    assert (counts, unpaid) == ([12, 20, 30, 2], 0)


def test_books_that_were_begun_are_not_begun_again(grace: Context) -> None:
    cancel_order("1066", grace)
    with sessions.begin() as session:
        seed(session, now().date())
    assert order(1066).state is State.CANCELLED


@pytest.mark.parametrize(
    "wrong",
    [
        Return(order_id=1040, asked_on=now().date(), reason="Once more."),
        Line(order_id=1066, product_id=999, count=1, cents=100),
        Line(order_id=1066, product_id=101, count=0, cents=100),
        Product(id=121, name="Blue kettle", about="", cents=1, stock=1),
        Product(id=121, name="Debt", about="", cents=1, stock=-1),
        Order(
            id=1099, customer_id=2017, state=State.CANCELLED, ordered_on=now().date(), expected_on=now().date()
        ),
    ],
    ids=["two returns", "no product", "none of it", "same name", "less than none", "cancelled when?"],
)
def test_the_database_itself_refuses_what_cannot_be(wrong: object) -> None:
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.merge(wrong) if isinstance(wrong, Line) else session.add(wrong)


def test_only_what_cannot_be_undone_asks_for_a_yes() -> None:
    assert {tool.name: tool.confirm for tool in TOOLS if tool.confirm} == {
        "cancel_order": "Shall I cancel order {order_id}?"
    }
