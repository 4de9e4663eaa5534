"""How long to wait before something that failed is tried again."""

from collections.abc import Callable
from random import random

DOUBLINGS = 16
"""more of them make no difference, only large numbers"""


def backoff(attempt: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after so many failures (from 1): `first`, then twice as long each time."""
    doubled: float = first * 2 ** min(attempt - 1, DOUBLINGS)
    return min(doubled, longest)


def jittered(seconds: float, chance: Callable[[], float] = random) -> float:
    """Leave half of a wait to `chance` (0 to 1), so that not all who lost one server come back at once."""
    return seconds * (1 + chance()) / 2
