"""The shop's data: its customers, products and orders, and what becomes of them, in a database.

SQLite keeps them in a file beside wherever the desk is started; `DESK_DATABASE` names any other database as
SQLAlchemy does. What must never be, such as a second return of an order, the database itself refuses.
"""

import os
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    Connection,
    Engine,
    Enum,
    ForeignKey,
    String,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

__all__ = [
    "Base",
    "Callback",
    "Customer",
    "Line",
    "Order",
    "Product",
    "Return",
    "State",
    "now",
    "open_database",
    "sessions",
]

DATABASE = "sqlite:///support_desk.sqlite3"

sessions = sessionmaker()
"""Makes sessions of the database that `open_database` has opened: `with sessions.begin() as session`."""


def open_database(url: str | None = None) -> Engine:
    """Return the database at `url` (or `DESK_DATABASE`), with its tables; `sessions` use it from now on."""
    engine = create_engine(url or os.environ.get("DESK_DATABASE") or DATABASE)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _one_after_the_other)
    Base.metadata.create_all(engine)
    sessions.configure(bind=engine)
    return engine


def _leave_transactions_to_us(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Python's module would begin them at the first writing; and SQLite minds keys only when it is told to."""
    connection.isolation_level = None
    connection.cursor().execute("PRAGMA foreign_keys = ON")


def _one_after_the_other(connection: Connection) -> None:
    """Who looks first, and writes then, must find what they saw: two such at once would fail each other."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def now() -> datetime:
    """Return the time by the shop's own clock (`TZ`), which is what callers mean."""
    return datetime.now().astimezone().replace(microsecond=0, tzinfo=None)  # noqa: TID251


class Base(DeclarativeBase):
    """All tables."""


class Customer(Base):
    """Somebody who buys here. The number is what they are asked for; the postcode shows that it is theirs."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    postcode: Mapped[str] = mapped_column(String(12))
    address: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(120))
    phone: Mapped[str] = mapped_column(String(20))
    orders: Mapped[list["Order"]] = relationship(back_populates="customer", order_by="Order.id.desc()")


class Product(Base):
    """Something that the shop sells."""

    __tablename__ = "products"
    __table_args__ = (CheckConstraint("stock >= 0"), CheckConstraint("cents > 0"))

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    about: Mapped[str] = mapped_column(String(300))
    cents: Mapped[int]
    stock: Mapped[int]


class State(StrEnum):
    """How far an order is."""

    PAID = "paid"
    PACKED = "packed"
    SENT = "sent"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class Order(Base):
    """What a customer has bought at once."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("(state = 'delivered') = (delivered_on IS NOT NULL)"),
        CheckConstraint("(state = 'cancelled') = (cancelled_on IS NOT NULL)"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    state: Mapped[State] = mapped_column(
        Enum(State, native_enum=False, create_constraint=True, values_callable=lambda states: list(states))
    )
    ordered_on: Mapped[date]
    expected_on: Mapped[date]
    delivered_on: Mapped[date | None]
    cancelled_on: Mapped[date | None]
    cancelled_because: Mapped[str] = mapped_column(String(300), default="")
    customer: Mapped[Customer] = relationship(back_populates="orders")
    lines: Mapped[list["Line"]] = relationship(back_populates="order")
    returned: Mapped["Return | None"] = relationship(back_populates="order")

    @property
    def cents(self) -> int:
        """What all of it costs."""
        return sum(line.count * line.cents for line in self.lines)


class Line(Base):
    """One product in an order, at the price of that day."""

    __tablename__ = "order_lines"
    __table_args__ = (CheckConstraint("count > 0"),)

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)
    count: Mapped[int]
    cents: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="lines")
    product: Mapped[Product] = relationship()


class Return(Base):
    """An order on its way back; there can be one return of each."""

    __tablename__ = "returns"

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    asked_on: Mapped[date]
    reason: Mapped[str] = mapped_column(String(300))
    order: Mapped[Order] = relationship(back_populates="returned")


class Callback(Base):
    """A call that somebody of the shop is to make, by the shop's clock."""

    __tablename__ = "callbacks"
    __table_args__ = (UniqueConstraint("phone", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"))
    phone: Mapped[str] = mapped_column(String(20))
    at: Mapped[datetime]
    about: Mapped[str] = mapped_column(String(300), default="")
    customer: Mapped[Customer | None] = relationship()
