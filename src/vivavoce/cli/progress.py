"""Tells, line by line, how much of a model has been fetched."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

__all__ = ["Progress"]

STEP = 10


@dataclass
class Progress:
    """A `models.Report`: one sentence for every tenth of a model, from whichever thread."""

    tell: Callable[[str], None]
    _told: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, model: str, arrived: int, total: int) -> None:
        """Hear of the bytes that have arrived."""
        percent = arrived * 100 // max(total, 1)
        with self._lock:
            if percent < self._told.get(model, 0):
                return
            self._told[model] = percent + STEP
        self.tell(f"fetching {model}: {percent} % of {total / 1e6:.0f} MB")
