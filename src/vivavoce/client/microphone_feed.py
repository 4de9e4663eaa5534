"""Sends sound as a microphone does: in real time, and silence where nothing is said."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import anyio

FRAME_SECONDS = 0.02
FRAME_BYTES = 960
"""20 ms of 16-bit mono PCM at 24 kHz"""


class MicrophoneFeed:
    """Sends a frame every 20 ms, by an absolute schedule: of what `play` was given, else of `idle`, in turn.

    `began` is when the first frame begins, by the event loop's clock; `lag` is the greatest delay of a frame,
    in seconds.
    """

    def __init__(
        self, send: Callable[[bytes], Awaitable[None]], idle: Sequence[bytes] = (bytes(FRAME_BYTES),)
    ) -> None:
        self.lag = 0.0
        self._send, self._idle = send, idle
        self._queue = deque[bytes]()
        self.began, self._frames = anyio.current_time(), 0

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            due = self.began + (self._frames + 1) * FRAME_SECONDS
            await anyio.sleep_until(due)
            self.lag = max(self.lag, anyio.current_time() - due)
            frame = self._queue.popleft() if self._queue else self._idle[self._frames % len(self._idle)]
            self._frames += 1
            await self._send(frame)

    def play(self, frames: Iterable[bytes]) -> float:
        """Append frames; return when the first of them begins, by the event loop's clock."""
        start = self.began + (self._frames + len(self._queue)) * FRAME_SECONDS
        self._queue.extend(frames)
        return start

    def stop(self) -> None:
        """Drop what was not sent yet."""
        self._queue.clear()


def frames_of(audio: bytes, size: int = FRAME_BYTES) -> list[bytes]:
    """Cut 16-bit mono PCM, by default at 24 kHz, into frames of 20 ms, the last filled up with silence."""
    starts = range(0, len(audio), size)
    return [audio[start : start + size].ljust(size, b"\0") for start in starts]
