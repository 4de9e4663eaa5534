"""A bell: rung when something has changed, for all who wait for what it has changed into."""

from collections.abc import Callable

import anyio

__all__ = ["Notifier"]


class Notifier:
    """Wakes whoever waits. Ringing it waits for nobody."""

    def __init__(self) -> None:
        self.next = anyio.Event()
        """set when it rings for the next time"""

    def ring(self) -> None:
        """Something has changed."""
        self.next.set()
        self.next = anyio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once this holds; it is asked again whenever something has changed."""
        while not holds():
            await self.next.wait()
