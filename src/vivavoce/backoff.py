"""Exponential back-off with jitter."""

from collections.abc import Callable
from random import random

DOUBLINGS = 16
"""the greatest exponent: more failures do not lengthen the wait"""


def backoff(attempt: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after a number of failures (from 1): `first`, doubled with each failure."""
    doubled: float = first * 2 ** min(attempt - 1, DOUBLINGS)
    return min(doubled, longest)


def jittered(seconds: float, chance: Callable[[], float] = random) -> float:
    """Reduce a wait by up to half, by `chance` (0 to 1), so that clients do not reconnect simultaneously."""
    return seconds * (1 + chance()) / 2
