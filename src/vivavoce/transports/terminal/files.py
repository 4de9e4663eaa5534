"""Files as microphone and loudspeaker, in real time: for conversations that can be repeated, and kept."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread

from vivavoce.transports.playout import Playout
from vivavoce.transports.terminal.transport import FRAME_BYTES, beats

__all__ = ["FileLoudspeaker", "FileMicrophone"]

_RATE = 24_000


class FileMicrophone:
    """Hears a recording as if it were spoken now."""

    def __init__(self, sound: bytes) -> None:
        """Take mono PCM16 at 24 kHz."""
        self._sound = sound

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield 20 ms every 20 ms, until the recording ends."""
        at = 0
        async for _ in beats():
            if at >= len(self._sound):
                return
            yield self._sound[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
            at += FRAME_BYTES


class FileLoudspeaker:
    """Plays into a WAV file, silences included, so that it lies beside the recording of the caller."""

    lag_ms = 0.0

    def __init__(self, path: Path) -> None:
        """Play into this file, which is written anew."""
        self._path = path

    async def play(self, playout: Playout) -> None:
        """Write 20 ms every 20 ms, until cancelled; the file is whole at any time after that."""
        one = anyio.CapacityLimiter(1)
        with wave.open(str(self._path), "wb") as file:
            file.setparams((1, 2, _RATE, 0, "NONE", ""))
            async for _ in beats():
                await anyio.to_thread.run_sync(file.writeframesraw, playout.take(FRAME_BYTES), limiter=one)
