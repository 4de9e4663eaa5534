"""What two sides said to each other, and the place for complaints about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Complaints", "Direction", "Event", "Score"]

Direction = Literal["client", "server"]
Event = dict[str, Any]
Score = Sequence[tuple[Direction, Event]]


@dataclass
class Complaints:
    """Collects what is wrong with a score, each with the event where it shows."""

    found: list[str] = field(default_factory=list)
    _where: str = ""

    def now_at(self, index: int, event: Event) -> None:
        self._where = f"#{index} {event.get('type')}"

    def expect(self, holds: object, rule: str) -> None:
        """Complain at this event unless the rule holds."""
        if not holds:
            self.found.append(f"{self._where}: {rule}")
