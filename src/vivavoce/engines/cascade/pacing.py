"""The pacing of a response: audio is sent only a little ahead of real time, so that it can be stopped."""

from math import inf

import anyio

_PLAYOUT_LAG = 0.25
"""seconds by which playback may be delayed: network, buffers, the room"""
_MAX_PAUSE = 2.0
"""seconds after which a pause ends by itself"""


class Pacing:
    """Decides when the next audio of a response may be sent, and estimates how much was played."""

    def __init__(self, ahead: float) -> None:
        """Send audio at most `ahead` seconds before its time; `inf` means without pacing."""
        self._ahead = ahead
        self._sent = 0.0
        self._due: float | None = None
        self._running = anyio.Event()
        self._running.set()

    async def wait(self, seconds: float) -> None:
        """Return when audio of this length may be sent."""
        await self._wait_while_paused()
        due = max(self._due or 0.0, anyio.current_time())
        if self._ahead < due - anyio.current_time():
            await anyio.sleep_until(due - self._ahead)
            await self._wait_while_paused()
            due = max(due, anyio.current_time())
        self._due, self._sent = due + seconds, self._sent + seconds

    async def _wait_while_paused(self) -> None:
        """Wait while paused, with a limit: if the client sends no more audio, nothing would end the pause."""
        with anyio.move_on_after(_MAX_PAUSE):
            await self._running.wait()
        self._running.set()

    def pause(self) -> None:
        """Stop sending, until `resume`."""
        if self._running.is_set():
            self._running = anyio.Event()

    def resume(self) -> None:
        """Continue, if paused."""
        self._running.set()

    @property
    def started(self) -> bool:
        """Whether any audio was sent."""
        return self._due is not None

    @property
    def ends_in(self) -> float:
        """Seconds until all that was sent has been played; negative afterwards."""
        return self._due - anyio.current_time() if self._due is not None else -inf

    @property
    def audible(self) -> bool:
        """Whether the response is being played, or would be if it were not paused."""
        return self.started and (not self._running.is_set() or self.ends_in > -_PLAYOUT_LAG)

    def drop(self) -> None:
        """Count audio that was sent but not yet played as never played: the caller has interrupted."""
        if self._due is not None:
            self._sent, self._due = self.heard_ms / 1000, anyio.current_time() - _PLAYOUT_LAG

    @property
    def heard_ms(self) -> float:
        """Milliseconds of audio that were played by now, if the client plays audio as it arrives."""
        return (self._sent - max(0.0, self.ends_in)) * 1000 if self.started else 0.0
