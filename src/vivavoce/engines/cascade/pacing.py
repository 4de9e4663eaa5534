"""Speech goes out no faster than it is heard, but for a little in advance, so that it can still be stopped."""

from math import inf

import anyio

__all__ = ["Pacing"]

_PLAYOUT_LAG = 0.25
"""Seconds after its time at which sound may still be heard: network, buffers, the room."""
_HELD_AT_MOST = 2.0


class Pacing:
    """Knows when the next sound of an answer may go, and how much of it the caller has heard by now."""

    def __init__(self, ahead: float) -> None:
        """Let sound go at most `ahead` seconds before its time; `inf` does not pace at all."""
        self._ahead = ahead
        self._sent = 0.0
        self._due: float | None = None
        self._free = anyio.Event()
        self._free.set()

    async def wait(self, seconds: float) -> None:
        """Return when sound of this length may be sent."""
        await self._wait_free()
        due = max(self._due or 0.0, anyio.current_time())
        if self._ahead < due - anyio.current_time():
            await anyio.sleep_until(due - self._ahead)
            await self._wait_free()
            due = max(due, anyio.current_time())
        self._due, self._sent = due + seconds, self._sent + seconds

    async def _wait_free(self) -> None:
        """Wait while held, but not for ever: a client that sends no more sound cannot settle the matter."""
        with anyio.move_on_after(_HELD_AT_MOST):
            await self._free.wait()
        self._free.set()

    def hold(self) -> None:
        """Let nothing more go for now."""
        if self._free.is_set():
            self._free = anyio.Event()

    def release(self) -> None:
        """Go on, if held."""
        self._free.set()

    @property
    def begun(self) -> bool:
        """Whether any sound has gone."""
        return self._due is not None

    @property
    def ends_in(self) -> float:
        """Seconds until the caller has heard all that has gone; negative when that is past."""
        return self._due - anyio.current_time() if self._due is not None else -inf

    @property
    def audible(self) -> bool:
        """Whether the caller still hears us, or would if we were not held."""
        return self.begun and (not self._free.is_set() or self.ends_in > -_PLAYOUT_LAG)

    def drop(self) -> None:
        """Count what has gone and was not yet heard as never played: the caller has silenced us."""
        if self._due is not None:
            self._sent, self._due = self.heard_ms / 1000, anyio.current_time() - _PLAYOUT_LAG

    @property
    def heard_ms(self) -> float:
        """Milliseconds of our sound that the caller has heard by now, if it is played as it comes."""
        return (self._sent - max(0.0, self.ends_in)) * 1000 if self.begun else 0.0
