"""Who is calling: settled by code, for one conversation, whatever a caller or a model says of it."""

from sqlalchemy.orm import Session

from vivavoce import Context, ToolError

from .callbacks import plan
from .rules import called, next_opening, same
from .shop import Customer, Order, now
from .times import spoken_moment

__all__ = ["WRONG_TRIES", "caller", "identify", "order_of_caller"]

WRONG_TRIES = 3


def identify(session: Session, context: Context, customer_id: str, postcode: str) -> Customer | str:
    """Return the customer whose number and postcode these are, and who calls from now on; or what is wrong.

    What is wrong does not tell whether there is such a customer. After `WRONG_TRIES` nothing is right any more,
    and a person of the shop calls the customer at whose postcode somebody has guessed.
    """
    customer = session.get(Customer, called(customer_id, "customer"))
    tries: int = context.state.get("wrong tries", 0)
    if customer and tries < WRONG_TRIES and same(customer.postcode, postcode):
        context.state["customer"] = customer.id
        return customer
    context.state["wrong tries"] = tries + 1
    if tries + 1 < WRONG_TRIES:
        return (
            "This customer number and this postcode do not belong together. Could you tell me both once more?"
        )
    at = next_opening(now())
    if customer and tries + 1 == WRONG_TRIES:
        plan(
            session, customer.phone, at, customer, about="Somebody tried to prove that it is them, and failed."
        )
    return (
        f"This was wrong {WRONG_TRIES} times, so nothing more can be checked in this conversation. "
        f"A colleague calls the number that we know, on {spoken_moment(at)}."
    )


def caller(session: Session, context: Context) -> Customer:
    """Return the customer who is calling. Raises `ToolError` as long as nobody knows who that is."""
    if (known := context.state.get("customer")) is None:
        raise ToolError("First I need your customer number and your postcode. Could you tell me both?")
    return session.get_one(Customer, known)


def order_of_caller(session: Session, context: Context, order_id: str) -> Order:
    """Return an order of the customer who is calling, which nobody else changes meanwhile.

    Raises `ToolError` if there is none, and does not tell whether it is somebody else's.
    """
    customer, number = caller(session, context), called(order_id, "order")
    order = session.get(Order, number, with_for_update=True)
    if order is None or order.customer_id != customer.id:
        raise ToolError(f"{customer.name} has no order {number}. Could you say the order number again?")
    return order
