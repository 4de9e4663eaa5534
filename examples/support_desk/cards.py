"""What a page shows while the desk speaks."""

from collections.abc import Sequence
from datetime import datetime

from vivavoce import Card

from .descriptions import money, order_state
from .shop import Order
from .times import spoken_day, spoken_moment

__all__ = ["callback_card", "cancellation_card", "order_card"]


def order_card(order: Order) -> Card:
    """An order: how far it is, and what is in it."""
    when = f"**{order_state(order).capitalize()}**, ordered on {spoken_day(order.ordered_on)}"
    return Card(f"Order {order.id}", markdown=f"{when}\n\n{_lines(order)}")


def cancellation_card(order: Order) -> Card:
    """An order that is not sent after all."""
    back = f"{money(order.cents)} go back the way they were paid."
    return Card(f"Order {order.id} is cancelled", markdown=f"{back}\n\n{_lines(order)}")


def callback_card(at: datetime, phone: str) -> Card:
    """A call that is to be made."""
    return Card("We call you back", markdown=_table(("When", "Number"), [(spoken_moment(at), phone)]))


def _lines(order: Order) -> str:
    rows = [(str(line.count), line.product.name, money(line.count * line.cents)) for line in order.lines]
    return _table(("", "Product", "Price"), [*rows, ("", "**Together**", f"**{money(order.cents)}**")])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table in Markdown."""
    ruled = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in ruled)
