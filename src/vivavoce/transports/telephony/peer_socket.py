"""The WebSocket of a telephone peer, and the audio that comes by it: its order, and its codec."""

import logging
from collections import Counter
from collections.abc import AsyncIterator

import anyio
from starlette.types import Receive, Send

from vivavoce.audio import g711
from vivavoce.audio.sample_aligner import SampleAligner
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.transports.base import EventRate

log = logging.getLogger(__name__)

NOT_UNDERSTOOD, TRY_AGAIN_LATER = 1003, 1013
"""close codes (RFC 6455)"""
REASON_BYTES = 123
"""bytes of the reason with which a WebSocket is closed (RFC 6455, section 5.5)"""
RESTART = 50
"""chunks by which a number may be behind as a late one; further back, counting has begun anew"""


class PeerSocket:
    """An accepted WebSocket: messages both ways, and a count of those that meant nothing."""

    def __init__(self, receive: Receive, send: Send, limits: Limits) -> None:
        """What comes faster than `limits.events_per_second` waits; a peer has `limits.send_seconds` to read."""
        self._receive, self._send, self._limits = receive, send, limits
        self._rate = EventRate(limits.events_per_second)
        self.is_open = True
        self._ignored = Counter[str]()

    async def receive(self) -> AsyncIterator[bytes | str]:
        """Yield messages, binary ones as bytes, until the WebSocket is closed."""
        while (message := await self._receive())["type"] == "websocket.receive":
            await self._rate.count()
            if (binary := message.get("bytes")) is not None:
                yield binary
            else:
                text = message.get("text") or ""  # our server passes text on as it was received
                yield text.decode(errors="replace") if isinstance(text, bytes) else text
        self.is_open = False

    async def send(self, message: bytes | str) -> None:
        """Send a message, unless the WebSocket is closed. Raises `TimeoutError` if the peer does not read."""
        if self.is_open:
            kind = "bytes" if isinstance(message, bytes) else "text"
            with anyio.fail_after(self._limits.send_seconds):
                await self._send({"type": "websocket.send", kind: message})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, if it is open."""
        if self.is_open:
            self.is_open = False
            short = reason.encode()[:REASON_BYTES].decode(errors="ignore")
            await self._send({"type": "websocket.close", "code": code, "reason": short})

    async def hang_up(self, refusal: ProtocolError | None) -> None:
        """Close the WebSocket of a call that is over, or that was refused."""
        if refusal:
            await self.close(TRY_AGAIN_LATER, refusal.message)
        else:
            await self.close()

    def ignore(self, what: str) -> None:
        """Count a message that means nothing here; an empty text is one that need not be counted."""
        if what:
            self._ignored[what] += 1

    def report(self, call_id: str) -> None:
        """Log what was ignored."""
        if self._ignored:
            counts = ", ".join(f"{what} ({count})" for what, count in self._ignored.most_common())
            log.info("call %s: ignored %s", call_id, counts)


class StreamCodec:
    """Decodes and encodes a peer's audio: G.711 by a law, or 16-bit little-endian PCM as it is."""

    def __init__(self, law: g711.Law | None) -> None:
        self._law, self._aligner = law, SampleAligner()

    @property
    def sample_bytes(self) -> int:
        """The bytes of a sample, as the peer has it."""
        return 1 if self._law else 2

    def decode(self, audio: bytes) -> bytes:
        """Return a message's PCM. Half a sample waits for the rest of it."""
        return g711.decode(audio, self._law) if self._law else self._aligner.push_message(audio)

    def encode(self, pcm: bytes) -> bytes:
        """Return PCM as the peer has it."""
        return g711.encode(pcm, self._law) if self._law else pcm


class ChunkOrder:
    """Puts chunks of PCM into the order of their numbers; those that are lost become silence.

    Up to `depth` later chunks are kept while an earlier one may still come. Gaps are filled with `most` bytes
    of silence at most.
    """

    def __init__(self, depth: int, most: int) -> None:
        self._depth, self._most = depth, most // 2 * 2
        self._next: int | None = None
        self._waiting: dict[int, bytes] = {}

    def push(self, number: int, audio: bytes) -> bytes:
        """Return the audio that is next: of this chunk, of some, or none while an earlier one may come."""
        if self._next is None or number < self._next - RESTART:
            self._next, self._waiting = number, {}
        if number < self._next:
            return b""  # it came twice, or too late
        self._waiting[number] = audio
        found = bytearray()
        while self._waiting:
            first = min(self._waiting)
            lost = first - self._next
            if lost and len(self._waiting) <= self._depth:
                break
            audio = self._waiting.pop(first)
            found += bytes(min(lost * len(audio), self._most)) + audio
            self._next = first + 1
        return bytes(found)
