"""What the desk can do: seven tools on the shop's books.

What the desk will not do it refuses with a sentence, which the model speaks. Who calls is settled by code, in
`customer_info`, for this one conversation: no prompt and no clever caller gets round it.
"""

from collections.abc import Callable, Sequence
from datetime import date
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from vivavoce import Card, Context, Tool, tool

from . import cards, rules
from .catalogue import find
from .rules import Refusal
from .shop import Callback, Customer, Order, OrderState, Return, books, now
from .times import moment, spoken

__all__ = ["TOOLS", "Field"]

Field = Literal["email", "phone", "address"]
P = ParamSpec("P")
R = TypeVar("R")


def refusing(work: Callable[P, R]) -> Callable[P, R | str]:
    """Tell the model why something is refused: that is an answer, and no failure."""

    @wraps(work)
    def done(*args: P.args, **kwargs: P.kwargs) -> R | str:
        try:
            return work(*args, **kwargs)
        except Refusal as refusal:
            return str(refusal)

    return done


@tool
@refusing
def customer_info(customer_id: str, postcode: str, context: Context) -> str:
    """Check who is calling, and look up what the shop knows of them.

    People say: "my customer number is 2017 and my postcode is 90210", "this is customer twenty thirty-one,
    postcode one four two oh five".

    Args:
        customer_id: the customer's number, four digits
        postcode: the postcode of their address
    """
    with books.begin() as session:
        customer = session.get(Customer, rules.number(customer_id, "customer"))
        if rules.locked(context.state) or customer is None or not rules.same(customer.postcode, postcode):
            return _wrong_try(session, customer, context)
        context.state["customer"] = customer.id
        return _about(customer)


@tool
@refusing
def order_status(order_id: str, context: Context) -> tuple[str, Card]:
    """Tell how far one of the caller's orders is, what it holds, and when it arrives.

    People say: "where is order 1042?", "has ten fifty-seven gone out yet?", "my package hasn't turned up".

    Args:
        order_id: the order's number, four digits
    """
    with books.begin() as session:
        order = _order(session, context, order_id)
        return rules.told(order), cards.order(order)


@tool
@refusing
def return_order(order_id: str, reason: str, context: Context) -> str:
    """Take back an order that was delivered, and refund it.

    People say: "I'd like to send back order 1042, it arrived broken", "the shoes of order ten fifty-seven are
    too small".

    Args:
        order_id: the order's number, four digits
        reason: what is wrong with it, in the caller's words
    """
    with books.begin() as session:
        order = _order(session, context, order_id)
        rules.may_return(order, now().date())
        order.returned = Return(reason=reason.strip(), asked_on=now().date())
        label = f"A label for the parcel goes to {order.customer.email}."
        return f"The return of order {order.id} is noted. {label} {rules.money(order.total)} are refunded."


@tool
@refusing
def product_info(product: str) -> str:
    """Describe a product that the shop sells: its price, whether it is in stock, and what it is like.

    People say: "do you have the blue kettle in stock?", "how much is the desk lamp?".

    Args:
        product: what it is called, in words
    """
    with books.begin() as session:
        return find(session, product)


@tool
@refusing
def update_account(field: Field, value: str, context: Context) -> str:
    """Change the caller's email address, phone number or postal address.

    People say: "my new email is ada@example.org", "change my phone number to 5550142", "we've moved".

    Args:
        field: what changes
        value: what it is from now on
    """
    with books.begin() as session:
        customer = _customer(session, context)
        value = rules.valid(field, value)
        setattr(customer, field, value)
        return f"Changed: the {field} of {customer.name} is now {value}."


@tool(confirm="Shall I cancel order {order_id}?")
@refusing
def cancel_order(order_id: str, context: Context, reason: str = "") -> tuple[str, Card]:
    """Cancel an order that has not left yet.

    People say: "please cancel order 1066", "I changed my mind about one oh five two, can you stop it?".

    Args:
        order_id: the order's number, four digits
        reason: why, if the caller said so
    """
    with books.begin() as session:
        order = _order(session, context, order_id)
        rules.may_cancel(order)
        order.state, order.cancelled_on, order.cancelled_because = OrderState.CANCELLED, now().date(), reason.strip()
        for line in order.lines:
            line.product.stock += line.count
        said = f"Order {order.id} is cancelled. {rules.money(order.total)} go back the way they were paid."
        return said, cards.cancellation(order)


@tool
@refusing
def schedule_callback(time: str, context: Context, phone: str = "") -> tuple[str, Card]:
    """Have a person of the shop call the caller back.

    People say: "can somebody call me back tomorrow at ten?", "ring me on Friday afternoon, on 5550199".

    Args:
        time: when, in words such as "tomorrow at ten", or as 2026-11-23 10:00
        phone: number to call, if it is another than the one that the shop knows
    """
    with books.begin() as session:
        at = rules.may_call(moment(time, now()), now())
        customer = _customer(session, context) if not phone else session.get(Customer, _caller(context))
        number = rules.valid("phone", phone) if customer is None or phone else customer.phone
        session.add(Callback(customer=customer, phone=number, at=at))
        return f"Noted: somebody calls {number} {spoken(at)}.", cards.callback(at, number)


TOOLS: Sequence[Tool] = (
    customer_info,
    order_status,
    return_order,
    product_info,
    update_account,
    cancel_order,
    schedule_callback,
)
"""All that the desk can do."""
