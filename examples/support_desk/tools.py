"""What the desk can do: seven tools on the shop's database.

What the desk will not do it refuses by a `ToolError`, a sentence that the model reads. Who calls is settled
by code, in `customer_info`, for this one conversation: no prompt and no clever caller gets round it.
"""

from collections.abc import Sequence

from vivavoce import Card, Context, Tool, tool

from . import rules
from .callbacks import plan
from .cards import callback_card, cancellation_card, order_card
from .catalogue import find
from .descriptions import describe_customer, describe_order, describe_product, money
from .identity import caller, identify, order_of_caller
from .shop import Return, State, now, sessions
from .times import moment, spoken_moment

__all__ = [
    "TOOLS",
    "cancel_order",
    "customer_info",
    "order_status",
    "product_info",
    "return_order",
    "schedule_callback",
    "update_account",
]


@tool
def customer_info(customer_id: str, postcode: str, context: Context) -> str:
    """Check who is calling, and look up what the shop knows of them.

    People say: "I'm customer 2001, postcode 10115", "my number with you is two oh one five, the postcode
    94110".

    Args:
        customer_id: the customer's number, four digits
        postcode: the postcode of their address
    """
    with sessions.begin() as session:
        known = identify(session, context, customer_id, postcode)
        return known if isinstance(known, str) else describe_customer(known)


@tool
def order_status(order_id: str, context: Context) -> tuple[str, Card]:
    """Tell how far one of the caller's orders is, what it holds, and when it arrives.

    People say: "where is my parcel?", "when does order 1040 come?", "is it shipped?".

    Args:
        order_id: the order's number, four digits
    """
    with sessions.begin() as session:
        order = order_of_caller(session, context, order_id)
        return describe_order(order, now().date()), order_card(order)


@tool
def return_order(order_id: str, reason: str, context: Context) -> str:
    """Take back an order that was delivered, and refund it.

    People say: "the jacket doesn't fit, how do I return it?", "take 1044 back, it's the wrong size".

    Args:
        order_id: the order's number, four digits
        reason: what is wrong with it, in the caller's words
    """
    today = now().date()
    with sessions.begin() as session:
        order = order_of_caller(session, context, order_id)
        rules.may_return(order, today)
        order.returned = Return(reason=rules.brief(reason), asked_on=today)
        return (
            f"The return of order {order.id} is noted. A label for the parcel goes to {order.customer.email}; "
            f"when the parcel is here, {money(order.cents)} go back the way they were paid."
        )


@tool
def product_info(product: str) -> str:
    """Describe a product that the shop sells: its price, whether it is in stock, and what it is like.

    People say: "what does the garden chair cost?", "do you sell umbrellas?".

    Args:
        product: what it is called, in words
    """
    with sessions.begin() as session:
        return "\n".join(describe_product(found) for found in find(session, product))


@tool
def update_account(field: rules.Field, value: str, context: Context) -> str:
    """Change the caller's email address, phone number or postal address.

    People say: "my address is now 5 High Street", "use jo@example.com from now on", "I have another phone".

    Args:
        field: what changes
        value: what it is from now on
    """
    with sessions.begin() as session:
        customer = caller(session, context)
        written = rules.valid(field, value)
        setattr(customer, field, written)
        return f"The {field} of {customer.name} is now {written}."


# [start:cancel]
def can_be_cancelled(order_id: str, context: Context) -> None:
    """Before the caller is asked: is it their order, and has it not left yet?"""
    with sessions.begin() as session:
        rules.may_cancel(order_of_caller(session, context, order_id))


@tool(confirm="Shall I cancel order {order_id}?", check=can_be_cancelled)
def cancel_order(order_id: str, context: Context, reason: str = "") -> tuple[str, Card]:
    """Cancel an order that has not left yet.

    People say: "cancel my order", "I don't need 1043 after all, don't send it".

    Args:
        order_id: the order's number, four digits
        reason: why, if the caller said so
    """
    with sessions.begin() as session:
        order = order_of_caller(session, context, order_id)
        rules.may_cancel(order)
        order.state, order.cancelled_on = State.CANCELLED, now().date()
        order.cancelled_because = rules.brief(reason)
        for line in order.lines:
            line.product.stock += line.count
        output = f"Order {order.id} is cancelled. {money(order.cents)} go back the way they were paid."
        return output, cancellation_card(order)


# [end:cancel]


@tool
def schedule_callback(time: str, context: Context, phone: str = "") -> tuple[str, Card]:
    """Have a person of the shop call the caller back.

    People say: "could a colleague phone me on Tuesday at noon?", "call 5550100 this evening".

    Args:
        time: when, in words such as "tomorrow at ten", or as 2026-11-23 10:00
        phone: the number to call, if it is another than the one that the shop knows
    """
    at = rules.may_call(moment(time, now()), now())
    with sessions.begin() as session:
        customer = caller(session, context)
        number = rules.valid("phone", phone) if phone else customer.phone
        plan(session, number, at, customer)
        return f"A colleague calls {number} on {spoken_moment(at)}.", callback_card(at, number)


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
