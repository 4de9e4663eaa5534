"""An event loop whose clock jumps to the next timer, for tests that would otherwise wait."""

import asyncio
import selectors


class JumpingClock(asyncio.SelectorEventLoop):
    """An event loop that does not wait: when no task is ready, its time jumps to the next timer.

    A conversation of nine seconds runs in milliseconds, and deterministically. Threads and sockets do not
    follow this clock: tests that use them need a real one.
    """

    def __init__(self) -> None:
        super().__init__(_Jump(self))
        self._now = 0.0

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Advance the simulated time."""
        self._now += seconds


class _Jump(selectors.DefaultSelector):
    def __init__(self, clock: JumpingClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: all tasks wait, and there is no timer")
            self._clock.jump(max(0.0, timeout))
        return ready
