"""Finds what a caller means among the shop's products: words are enough, and some may be misheard."""

from difflib import get_close_matches

from sqlalchemy import select
from sqlalchemy.orm import Session

from vivavoce import ToolError

from .shop import Product

__all__ = ["find"]

_MOST = 3
_IDLE = frozenset("a an the that this your yours our of do you have any one in with for please some it".split())


def find(session: Session, words: str) -> list[Product]:
    """Return the products that fit the words best, three at most. Raises `ToolError` if none does."""
    products = session.scalars(select(Product).order_by(Product.name)).all()
    known = {part for product in products for part in _parts(product.name)}
    asked = {near for part in _parts(words) for near in get_close_matches(part, known, 1, cutoff=0.8)}
    fitting = {product: len(asked & _parts(product.name)) for product in products}
    best = max(fitting.values(), default=0)
    if not best:
        raise ToolError(f"The shop has no {words.strip()!r}. Could you say what you look for in other words?")
    return [product for product, hits in fitting.items() if hits == best][:_MOST]


def _parts(words: str) -> frozenset[str]:
    letters = "".join(letter if letter.isalnum() else " " for letter in words.lower())
    return frozenset(letters.split()) - _IDLE
