"""How long to wait before calling again."""

from collections.abc import Callable
from random import random

__all__ = ["backoff"]

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30
DOUBLINGS = 16
"""more of them make no difference, only large numbers"""


def backoff(attempt: int, chance: Callable[[], float] = random) -> float:
    """Return how many seconds to wait after so many attempts that failed (from 1): twice as long each time.

    At most half of that is left to `chance` (0 to 1), so that not all who lost one server come back at once.
    """
    doubled: float = FIRST_SECONDS * 2 ** min(attempt, DOUBLINGS)
    return min(doubled, LONGEST_SECONDS) * (1 + chance()) / 2
