"""Playing audio to a telephone peer, by our clock or by its own, so that it is known what was heard."""

from collections import deque
from collections.abc import Callable

import anyio

from vivavoce.transports.playout import Playout
from vivavoce.transports.telephony.leg import Leg
from vivavoce.transports.webrtc.pacer import FRAME_SECONDS, Pacer

TAIL_SECONDS = 0.4
"""seconds of silence that are sent behind audio by our clock, so that a gap in it has no gap of frames"""
LEAD_SECONDS = 1.5
"""seconds of audio that a peer with a clock may be sent ahead"""
CHUNK_SECONDS = 0.2
"""seconds of audio between two marks: as exactly as that it is known what was heard, and often more exactly"""
LOW_SECONDS = 0.1
"""seconds of audio that a peer has left when the rest of a frame is filled with silence, if no more has come"""
STEP_SECONDS = 0.05
"""seconds between two looks at what a peer has played meanwhile"""


class OurClock:
    """Sends 20 ms every 20 ms, by absolute deadlines. What was sent counts as played."""

    def __init__(self, leg: Leg, playout: Playout, on_played: Callable[[], None]) -> None:
        """`on_played` is called when the playout was read, which may have made events."""
        self._leg, self._playout, self._on_played = leg, playout, on_played
        self._frame = round(FRAME_SECONDS * leg.rate) * 2
        self._queued = anyio.Event()

    def wake(self) -> None:
        """Note that there is audio to play."""
        self._queued.set()

    def settle(self) -> None:
        """Count what was played; there is nothing to be done here."""

    async def clear(self) -> None:
        """Drop what the peer has not played: it has nothing."""

    async def run(self) -> None:
        """Play until cancelled. Silence is sent for a moment after audio, then as often as the peer needs."""
        pacer, tail = Pacer(anyio.current_time()), 0.0
        while True:
            pacer.skip_late(anyio.current_time())
            audio = self._playout.read(self._frame)
            self._on_played()
            tail = TAIL_SECONDS if audio else tail - FRAME_SECONDS
            if tail > 0:
                await self._leg.send_audio(audio.ljust(self._frame, b"\0"))
                pacer.sent(silent=not audio)
                await anyio.sleep_until(pacer.due)
            elif not self._queued.is_set():
                await self._idle()
                pacer = Pacer(anyio.current_time())
            if not audio:
                self._queued = anyio.Event()

    async def _idle(self) -> None:
        """Return when there is audio; meanwhile keep the call alive."""
        while True:
            with anyio.move_on_after(self._leg.keep_alive_seconds):
                await self._queued.wait()
                return
            await self._leg.send_audio(bytes(self._frame))


class PeerClock:
    """Sends audio ahead to a peer that plays it by its own clock, and follows that clock.

    The position is that of the last mark that came back, and the time since, up to the next mark. Of a peer
    without marks, it is the time since the peer had something to play.
    """

    def __init__(self, leg: Leg, playout: Playout, on_played: Callable[[], None]) -> None:
        """`on_played` is called when the playout was read, which may have made events."""
        self._leg, self._playout, self._on_played = leg, playout, on_played
        self._per_second = 2 * leg.rate
        self._changed = anyio.Event()
        self._sent = self._heard = self._marked = 0
        """bytes since the beginning: sent, read from the playout as heard, before the last mark that came"""
        self._since = 0.0
        self._marks: deque[tuple[str, int]] = deque()
        self._count = self._clears = 0
        self._is_sending = False

    def wake(self) -> None:
        """Note that there is audio to play, or that a mark has come."""
        self._changed.set()

    def on_mark(self, name: str) -> None:
        """Note that the peer has played everything before this mark. One that was cleared is ignored."""
        if any(known == name for known, _ in self._marks):
            while self._marks[0][0] != name:
                self._marks.popleft()
            self._marked, self._since = self._marks.popleft()[1], anyio.current_time()
            self.settle()
            self.wake()

    def settle(self) -> None:
        """Count what the peer has played by now."""
        elapsed = anyio.current_time() - self._since
        position = self._marked + int(elapsed * self._per_second) // 2 * 2
        limit = self._marks[0][1] if self._marks else self._sent
        played = min(position, limit) - self._heard
        if played > 0:
            self._playout.read(played)
            self._heard += played
            self._on_played()

    async def clear(self) -> None:
        """Have the peer drop what it has not played. One without marks may have some that we believe played."""
        self.settle()
        if self._heard < self._sent or self._is_sending or self._marks or not self._leg.has_marks:
            self._clears += 1
            self._marks.clear()
            self._heard = self._marked = self._sent
            await self._leg.clear()

    async def run(self) -> None:
        """Send audio as soon as it is there, until cancelled."""
        rest, rest_since = 0, 0.0
        while True:
            self.settle()
            ahead = self._sent - self._heard
            audio = self._next(ahead)
            whole = len(audio) // self._leg.frame_bytes * self._leg.frame_bytes
            if not whole and len(audio) != rest:  # more of a frame has come
                rest, rest_since = len(audio), anyio.current_time()
            elif not whole and ahead <= LOW_SECONDS * self._per_second:  # perhaps this is the end
                whole = rest if anyio.current_time() - rest_since >= STEP_SECONDS else 0
            if whole:
                rest = 0
                await self._send(audio[:whole])
                continue
            with anyio.move_on_after(STEP_SECONDS if ahead or audio else None):
                await self._changed.wait()
            self._changed = anyio.Event()

    def _next(self, ahead: int) -> bytes:
        """Return what may be sent now."""
        if ahead >= LEAD_SECONDS * self._per_second:
            return b""
        return self._playout.peek(ahead, round(CHUNK_SECONDS * self._per_second))

    async def _send(self, audio: bytes) -> None:
        frame, clears = self._leg.frame_bytes, self._clears
        self._is_sending = True
        await self._leg.send_audio(audio.ljust(-(-len(audio) // frame) * frame, b"\0"))
        self._is_sending = False
        if clears != self._clears:
            return  # the peer did not take it in time, and has been told to drop it
        if self._heard == self._sent:
            self._marked, self._since = self._sent, anyio.current_time()
        self._sent += len(audio)
        if self._leg.has_marks:
            self._count += 1
            self._marks.append((str(self._count), self._sent))
            await self._leg.send_mark(str(self._count))
