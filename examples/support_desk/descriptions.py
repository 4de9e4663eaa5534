"""What is in the database, in a few short sentences that sound well in any voice."""

from datetime import date

from .shop import Customer, Order, Product, State
from .times import spoken_day

__all__ = ["describe_customer", "describe_order", "describe_product", "money", "order_state"]


def money(cents: int) -> str:
    """Say a price: $44.90."""
    return f"${cents / 100:,.2f}"


def describe_customer(customer: Customer) -> str:
    """Say who somebody is, and what they have ordered; where they live they know, and others may listen."""
    orders = "; ".join(f"{order.id} is {order_state(order)}" for order in customer.orders) or "none"
    return f"Thank you, {customer.name}. Your orders: {orders}."


def order_state(order: Order) -> str:
    """Say in a word how far an order is."""
    return "being returned" if order.returned else str(order.state)


def describe_order(order: Order, today: date) -> str:
    """Say how far an order is, and what is in it."""
    holds = f"It holds {_contents(order)}, {money(order.cents)} together."
    return f"Order {order.id} {_how_far(order, today)}. {holds}"


def _how_far(order: Order, today: date) -> str:
    due = f"is expected on {spoken_day(order.expected_on)}"
    if order.returned:
        return f"is on its way back; its return was noted on {spoken_day(order.returned.asked_on)}"
    match order.state:
        case State.PAID:
            return f"is paid and waits to be packed. It {due}"
        case State.PACKED:
            return f"is packed and leaves on the next working day. It {due}"
        case State.SENT if order.expected_on < today:
            return f"is on its way and late: it was expected on {spoken_day(order.expected_on)}"
        case State.SENT:
            return f"is on its way. It {due}"
        case State.DELIVERED:
            return f"was delivered on {spoken_day(order.delivered_on or order.expected_on)}"
        case State.CANCELLED:
            return f"was cancelled on {spoken_day(order.cancelled_on or order.ordered_on)}"


def _contents(order: Order) -> str:
    """Say what is in an order: 3 Notebook and 1 Fountain pen."""
    parts = [f"{line.count} {line.product.name}" for line in order.lines]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def describe_product(product: Product) -> str:
    """Say what a product is, what it costs, and whether it can be had."""
    stock = f"{product.stock} are in stock" if product.stock else "It is out of stock"
    return f"{product.name}, {money(product.cents)}. {stock}. {product.about}"
