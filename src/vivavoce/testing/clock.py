"""A clock that jumps, for tests of whatever waits."""

import asyncio
import selectors


class JumpingClock(asyncio.SelectorEventLoop):
    """An event loop that does not wait: when nothing is left to do now, its time jumps to the next timer.

    A nine-second conversation plays in milliseconds and always the same. Threads and sockets of the outside
    world know nothing of its time: what needs them is tested with a real clock.
    """

    def __init__(self) -> None:
        super().__init__(_Jump(self))
        self._now = 0.0

    def time(self) -> float:
        """Return the seconds that have been jumped over."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let so much time have passed."""
        self._now += seconds


class _Jump(selectors.DefaultSelector):
    def __init__(self, clock: JumpingClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: everyone waits, and for nothing that will come")
            self._clock.jump(max(0.0, timeout))
        return ready
