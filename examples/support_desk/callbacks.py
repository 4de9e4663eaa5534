"""The calls that people of the shop are to make: one at a time to each number."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from .shop import Callback, Customer

__all__ = ["plan"]


def plan(session: Session, phone: str, at: datetime, customer: Customer | None, about: str = "") -> Callback:
    """Note a call, unless the same is noted already."""
    same = select(Callback).where(Callback.phone == phone, Callback.at == at)
    if (known := session.scalar(same)) is not None:
        return known
    callback = Callback(customer=customer, phone=phone, at=at, about=about)
    session.add(callback)
    return callback
