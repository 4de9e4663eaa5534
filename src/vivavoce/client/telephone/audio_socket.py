"""Asterisk's AudioSocket: TCP, frames of type, length and payload. Asterisk calls, and queues nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar
from urllib.parse import urlsplit
from uuid import UUID

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from vivavoce.audio.resample import Resampler
from vivavoce.client.telephone.peer import HUNG_UP, CallOptions, CallRecord
from vivavoce.connect.websocket import CONNECT_SECONDS
from vivavoce.errors import ConfigError, ProviderError, connection_problem

HANG_UP, UUID_FRAME, DTMF, AUDIO = 0x00, 0x01, 0x03, 0x10
RATES = {0x10: 8, 0x11: 12, 0x12: 16, 0x13: 24, 0x14: 32, 0x15: 44.1, 0x16: 48, 0x17: 96, 0x18: 192}
"""kHz of the types of audio"""
PORT = 9092
FRAME_MS = 20


@asynccontextmanager
async def dial(url: str, options: CallOptions) -> AsyncIterator["AudioSocket"]:
    """Call `tcp://host:9092`, or `tcp://host:9092/UUID`. Raises `ProviderError` if nobody answers."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    call_id = _uuid(parts.path.strip("/") or options.call_id)
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            stream = await anyio.connect_tcp(parts.hostname or "", parts.port or PORT)
    except (OSError, TimeoutError) as error:
        raise ProviderError(host, f"cannot be reached ({connection_problem(error)})") from error
    async with stream:
        call = AudioSocket(stream, host, options.codec.rate)
        await call.write(UUID_FRAME, call_id.bytes)
        yield call


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        example = "40325ec2-5efd-4bd3-805f-53576e581d13"
        raise ConfigError(f"{text!r} is no UUID; write for example tcp://127.0.0.1:9092/{example}") from None


class AudioSocket:
    """One call by AudioSocket. With the codec `ulaw` it sends mu-law as `Dial` without `c(slin)` does."""

    queue_seconds: ClassVar[float] = 0.2
    """Asterisk sends on at once what it gets; a telephone's jitter buffer holds about this much."""
    keys_pause_audio: ClassVar[bool] = True

    def __init__(self, stream: ByteStream, host: str, rate: int) -> None:
        self._stream, self._host, self._rate = stream, host, rate
        self._writing = anyio.Lock()  # audio and keys come from two tasks
        self._type = next(kind for kind, khz in RATES.items() if khz * 1000 == rate)
        self._resampler, self._received_type = Resampler(rate, rate), self._type

    async def write(self, kind: int, payload: bytes) -> None:
        """Send a frame in one piece."""
        async with self._writing:
            await self._stream.send(bytes([kind]) + len(payload).to_bytes(2, "big") + payload)

    async def send(self, audio: bytes) -> None:
        """Send audio."""
        await self.write(self._type, audio)

    async def press(self, key: str) -> None:
        """Send a key."""
        await self.write(DTMF, key.encode())

    async def hang_up(self) -> None:
        """Close the connection; Asterisk sends no frame that says so."""
        await self._stream.aclose()

    async def listen(self, record: CallRecord) -> None:
        """Receive until the server hangs up. Raises `ProviderError` for what makes Asterisk drop the call."""
        buffered = BufferedByteReceiveStream(self._stream)
        try:
            while True:
                head = await buffered.receive_exactly(3)
                kind, size = head[0], int.from_bytes(head[1:], "big")
                payload = await buffered.receive_exactly(size) if size else b""
                if kind == HANG_UP:
                    return
                self._receive(kind, payload, record)
        except anyio.IncompleteRead:
            return
        except HUNG_UP as error:
            raise ProviderError(self._host, "broke the connection") from error

    def _receive(self, kind: int, payload: bytes, record: CallRecord) -> None:
        if kind not in RATES or not payload:
            what = "audio without samples" if kind in RATES else f"a frame of type 0x{kind:02x}"
            raise ProviderError(self._host, f"sent {what}, at which Asterisk drops the call")
        if len(payload) % 2:
            record.problem("A frame has half a sample, which is noise from there on.")
            payload = payload[:-1]
        if len(payload) / 2 / RATES[kind] > FRAME_MS:
            record.problem(f"A frame has more than {FRAME_MS} ms, which Asterisk sends on as one packet.")
        if kind != self._received_type:
            self._resampler, self._received_type = Resampler(round(RATES[kind] * 1000), self._rate), kind
        record.audio(self._resampler.push(payload))
