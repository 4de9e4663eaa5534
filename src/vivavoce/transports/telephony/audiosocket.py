"""Asterisk's AudioSocket: frames of audio and keys over TCP, one connection a call. Asterisk is the client.

A frame is a type, the length of its payload (two bytes, big-endian), and that (Asterisk 22.10,
`res_audiosocket.c`). The types of audio name the sample rate. Asterisk plays what it receives at once, without
a queue, and drops a call in which neither side has sent anything for two seconds.
"""

import asyncio
import logging
import socket
from asyncio import StreamReader, StreamWriter
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from enum import IntEnum
from functools import partial
from typing import NamedTuple
from uuid import UUID

import anyio

from vivavoce.audio import g711
from vivavoce.audio.g711_detection import EncodingDetector, is_constant
from vivavoce.audio.rates import G711_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.audio.sample_aligner import SampleAligner
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.transports.base import EventRate
from vivavoce.transports.telephony.ami import Ami
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import ID_CHARS, KEYS, CallDetails, KeyPressed, LegEvent, printable
from vivavoce.transports.telephony.peers import MayCall, notice_gone_peer

log = logging.getLogger(__name__)


class FrameType(IntEnum):
    """The types of frames, but for `RATES`."""

    HANG_UP = 0x00
    ID = 0x01
    KEY = 0x03
    ERROR = 0xFF


SLIN = 0x10
RATES: Mapping[int, int] = {
    SLIN: G711_RATE,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
"""sample rates by type; 0x10 also holds what Asterisk does not transcode, such as G.711"""
_KINDS = {rate: kind for kind, rate in RATES.items()}
_HEAD_BYTES = 3
READ_BYTES = 4096

ID_SECONDS = 5
"""seconds in which the first frame has to say which call this is"""
NUMBERS_SECONDS = 0.5
"""seconds that Asterisk has to say who calls; the call begins without it"""
SILENCE = bytes(2 * OUTPUT_RATE // 50)
"""a frame of it: 20 ms, as the call hears it"""
EARLY_FRAMES = 500
"""frames that may come before the first that means anything; 10 s of audio"""
KEEP_ALIVE_SECONDS = 1.0
"""seconds of our silence after which a frame of it is sent; Asterisk waits two"""
LEAD_SECONDS = 0.2
"""seconds of audio that may wait to be sent to a peer that reads slowly; more is dropped"""
GOODBYE_SECONDS = 1.0
"""seconds that a peer has to close the connection once it was told to hang up"""
UNKNOWN_PIECES = 25
"""pieces of audio of an unknown encoding after which the log says what to do: half a second"""
BACKLOG = 1024


class Frame(NamedTuple):
    """A frame, whatever it means."""

    kind: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return its bytes."""
        return bytes((self.kind,)) + len(self.payload).to_bytes(2, "big") + self.payload


class FrameParser:
    """Splits a stream of bytes into frames, however it is cut. No I/O."""

    def __init__(self) -> None:
        self._data = bytearray()

    def push(self, data: bytes) -> list[Frame]:
        """Append bytes; return the frames that are complete now. Any bytes are frames, of some type."""
        self._data += data
        frames, at = list[Frame](), 0
        while len(self._data) - at >= _HEAD_BYTES:
            begin = at + _HEAD_BYTES
            end = begin + int.from_bytes(self._data[at + 1 : begin], "big")
            if end > len(self._data):
                break
            frames.append(Frame(self._data[at], bytes(self._data[begin:end])))
            at = end
        del self._data[:at]
        return frames


def is_other_protocol(head: bytes) -> bool:
    """Return whether a connection begins like one of TLS (a handshake) or HTTP (a method)."""
    return head.startswith(b"\x16\x03") or (
        len(head) >= _HEAD_BYTES and head[:3].isalpha() and head[:3].isupper()
    )


class _Frames:
    """The frames that arrive on a connection."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader, self._parser = reader, FrameParser()
        self._arrived = deque[Frame]()
        self.has_ended = False
        self._head: bytes | None = b""

    async def next(self) -> Frame | None:
        """Return the next frame; None when the peer has closed, or speaks another protocol."""
        while not self._arrived:
            data = await self._reader.read(READ_BYTES)
            self.has_ended = not data or (self._head is not None and self._is_other(data))
            if self.has_ended:
                return None
            self._arrived.extend(self._parser.push(data))
        return self._arrived.popleft()

    def _is_other(self, data: bytes) -> bool:
        self._head = (self._head or b"") + data
        if is_other_protocol(self._head):
            log.info("a connection for AudioSocket speaks HTTP or TLS, and is closed")
            return True
        if len(self._head) >= _HEAD_BYTES:
            self._head = None
        return False

    async def drain(self) -> None:
        """Read what still comes until the peer closes."""
        while await self._reader.read(READ_BYTES):
            pass


class AudioSocketLeg:
    """A call over AudioSocket, by our clock.

    To the call, its audio is always `OUTPUT_RATE`. To the peer it is linear PCM at the rate of what came from
    it last; at 8 kHz, which Asterisk transcodes, until something has come.
    """

    name = "audiosocket"
    rate = OUTPUT_RATE
    has_clock = has_marks = False
    keep_alive_seconds: float | None = KEEP_ALIVE_SECONDS
    frame_bytes = 2

    def __init__(
        self, details: CallDetails, frames: _Frames, writer: StreamWriter, limits: Limits, ami: Ami | None
    ) -> None:
        self.details = details
        self.refer = partial(ami.redirect, details.id) if ami else None
        self._frames, self._writer, self._limits, self._ami = frames, writer, limits, ami
        self._wire_rate = G711_RATE
        self._from_wire = Resampler(G711_RATE, OUTPUT_RATE)
        self._to_wire = Resampler(OUTPUT_RATE, G711_RATE)
        self._encoding = EncodingDetector()
        self._aligner = SampleAligner()
        self._stuck_since: float | None = None
        self._faults = Counter[str]()
        """what was wrong on this connection, and how often; told when the call is over"""

    # from the peer

    async def receive(self) -> AsyncIterator[LegEvent]:
        """Yield audio and keys. Frames that mean nothing are counted, and harm nothing."""
        rate = EventRate(self._limits.events_per_second)
        while (frame := await self._frames.next()) is not None:
            await rate.count()
            match frame:
                case Frame(kind=kind, payload=payload) if kind in RATES:
                    if audio := self._decode(kind, payload):
                        yield audio
                case Frame(kind=FrameType.KEY, payload=payload) if (
                    key := payload.decode("latin-1").upper()
                ) in KEYS:
                    yield KeyPressed(key)
                case Frame(kind=FrameType.HANG_UP):
                    return
                case Frame(kind=FrameType.ERROR, payload=payload):
                    self._faults[f"error 0x{payload[:1].hex()} of the peer"] += 1
                case Frame(kind=kind):
                    self._faults[f"unexpected frame of type 0x{kind:02x}"] += 1

    def _decode(self, kind: int, payload: bytes) -> bytes:
        """Return a frame's audio as the call wants it."""
        self._tune(RATES[kind])
        if not payload:
            self._faults["empty frame of audio"] += 1
            return b""
        encoding = self._encoding.push(payload) if kind == SLIN else "linear"
        if encoding is None:
            return self._unknown(payload)
        if encoding != "linear":
            return self._from_wire.push(g711.decode(payload, encoding))
        if len(payload) % 2:
            self._faults["frame with half a sample"] += 1
        return self._from_wire.push(self._aligner.push_message(payload))

    def _unknown(self, payload: bytes) -> bytes:
        """Return silence in place of audio that cannot be read."""
        if self._encoding.unknown == UNKNOWN_PIECES and not is_constant(payload):
            log.warning(
                "call %s: its audio (frames of %d bytes) is neither linear PCM nor G.711, so the caller is not "
                "heard; set c(slin) or c(slin16) in the dialplan",
                self.details.id,
                len(payload),
            )
        return SILENCE

    def _tune(self, rate: int) -> None:
        if rate != self._wire_rate:
            self._wire_rate = rate
            self._from_wire, self._to_wire = Resampler(rate, OUTPUT_RATE), Resampler(OUTPUT_RATE, rate)

    # to the peer

    async def answer(self) -> None:
        """There is nothing to be said: Asterisk has answered."""

    async def send_audio(self, audio: bytes) -> None:
        """Send a frame, in one write. If too much waits to be sent, it is dropped.

        Raises `TimeoutError` when the peer has read nothing for `limits.send_seconds`.
        """
        payload = self._to_wire.push(audio)
        if self._writer.transport.get_write_buffer_size() <= LEAD_SECONDS * 2 * self._wire_rate:
            self._stuck_since = None
            self._write(Frame(_KINDS[self._wire_rate], payload))
            return
        self._faults["frame dropped, since the peer reads too slowly"] += 1
        now = anyio.current_time()
        self._stuck_since = self._stuck_since or now
        if now - self._stuck_since > self._limits.send_seconds:
            raise TimeoutError("the peer does not read")

    def _write(self, frame: Frame) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(frame.encode())

    async def send_mark(self, name: str) -> None:
        """There are no marks."""

    async def clear(self) -> None:
        """Nothing was sent ahead."""

    async def on_event(self, event: e.Event) -> None:
        """There is no room for events."""

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        """Have the dialplan go on, or by AMI end the channel, and wait a moment for Asterisk to close.

        Were we to close while audio of the caller's waits to be read, the system would reset the connection.
        """
        if self._faults:
            faults = ", ".join(f"{fault} ({count} times)" for fault, count in self._faults.items())
            log.info("call %s: %s", self.details.id, faults)
        if self._frames.has_ended:
            return
        if self._ami and not refusal:
            await self._ami.end(self.details.id)
        self._write(Frame(FrameType.HANG_UP))
        with anyio.move_on_after(GOODBYE_SECONDS):
            await self._frames.drain()


class AudioSocketServer:
    """Accepts connections of Asterisk, whose calls `transport` runs."""

    def __init__(
        self,
        transport: TelephoneTransport,
        may_call: MayCall = lambda address: True,
        ami: Ami | None = None,
    ) -> None:
        """`may_call` says whether a peer of this IP address may call; `ami` transfers calls."""
        self._transport, self._may_call, self.ami = transport, may_call, ami
        self._limits = transport.limits
        self._connections = 0
        self._open = Counter[str]()
        """calls by UUID"""

    async def serve(self, listening: socket.socket) -> None:
        """Serve until cancelled, which breaks calls off; `transport.hang_up` ends them before."""
        async with anyio.create_task_group() as tasks:

            def on_connect(reader: StreamReader, writer: StreamWriter) -> None:
                tasks.start_soon(self._serve, reader, writer)

            server = await asyncio.start_server(on_connect, sock=listening, limit=READ_BYTES, backlog=BACKLOG)
            try:
                await anyio.sleep_forever()
            finally:
                server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Hold one connection. What goes wrong in it ends no other."""
        address = (writer.get_extra_info("peername") or ("",))[0]
        self._connections += 1
        try:
            if self._is_welcome(address):
                _configure(writer.get_extra_info("socket"))
                await self._accept(address, _Frames(reader), writer)
        except ProtocolError as refusal:
            log.info("an AudioSocket call from %s was refused: %s", address, refusal)
        except OSError as error:
            log.info("an AudioSocket connection from %s broke: %s", address, error)
        except Exception:
            log.exception("an AudioSocket call from %s failed", address)
        finally:
            self._connections -= 1
            writer.transport.abort()  # what was to be sent was sent, or had its time

    def _is_welcome(self, address: str) -> bool:
        if not self._may_call(address):
            log.warning("%s may not call by AudioSocket; name it in [telephone] peers", address)
            return False
        if self._connections > self._limits.conversations + self._limits.ringing_calls:
            log.warning("an AudioSocket connection from %s is one too many (limits.conversations)", address)
            return False
        return True

    async def _accept(self, address: str, frames: _Frames, writer: StreamWriter) -> None:
        uuid: str | None = None
        with anyio.move_on_after(ID_SECONDS) as waiting:
            uuid = await _first_id(frames)
        if uuid is None:
            if waiting.cancelled_caught:
                log.info(
                    "an AudioSocket connection from %s has not said in %d s which call it is",
                    address,
                    ID_SECONDS,
                )
            return
        self._open[uuid] += 1
        if self._open[uuid] > 1:
            log.warning("call %s: there is another with this UUID; each has a conversation of its own", uuid)
        try:
            leg = AudioSocketLeg(CallDetails(uuid, address=address), frames, writer, self._limits, self.ami)
            await leg.send_audio(SILENCE)  # at once: Asterisk waits no more than two seconds
            if self.ami:
                leg.details = await _with_numbers(leg.details, self.ami)
            await self._transport.accept(leg)
        finally:
            self._open[uuid] -= 1
            if not self._open[uuid]:
                del self._open[uuid]


async def _first_id(frames: _Frames) -> str | None:
    """Return the call's UUID. What comes before it is passed over, within bounds."""
    for _ in range(EARLY_FRAMES):
        frame = await frames.next()
        if frame is None:
            return None
        if frame.kind == FrameType.ID and len(frame.payload) == 16:
            return str(UUID(bytes=frame.payload))
    return None


async def _with_numbers(details: CallDetails, ami: Ami) -> CallDetails:
    """Return details with the numbers that Asterisk knows, if it says them in time."""
    with anyio.move_on_after(NUMBERS_SECONDS):
        try:
            caller, called = await ami.numbers(details.id)
            return replace(details, caller=printable(caller, ID_CHARS), called=printable(called, ID_CHARS))
        except ProviderError as error:
            log.info("call %s: its numbers are not known: %s", details.id, error)
    return details


def _configure(connection: socket.socket) -> None:
    """Notice a peer that is gone, and let no more audio than is useful wait in the system."""
    notice_gone_peer(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, round(LEAD_SECONDS * 2 * OUTPUT_RATE))
