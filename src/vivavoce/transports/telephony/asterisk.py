"""Asterisk's `chan_websocket`: Asterisk opens a WebSocket for each call, with audio in binary messages.

Text messages are events and commands: JSON (`f(json)` in the dial string; Asterisk 20.18, 22.8, 23.2 and
newer), or lines of words, which older ones have, and which know no marks. Asterisk queues audio, and plays it
by its own clock. It reads no more than 128 bytes of a command.

https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from functools import partial
from urllib.parse import parse_qsl

import anyio
import msgspec
from starlette.types import Receive, Scope, Send

from vivavoce.audio import g711
from vivavoce.audio.rates import G711_RATE, INPUT_RATE, OUTPUT_RATE
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.transports.base import address_of
from vivavoce.transports.telephony.ami import Ami
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import (
    ID_CHARS,
    KEYS,
    CallDetails,
    KeyPressed,
    LegEvent,
    MarkPlayed,
    printable,
    printable_metadata,
)
from vivavoce.transports.telephony.peer_socket import NOT_UNDERSTOOD, PeerSocket, StreamCodec
from vivavoce.transports.webrtc.pacer import FRAME_SECONDS

log = logging.getLogger(__name__)

SUBPROTOCOL = "media"
START_SECONDS = 10
"""seconds in which Asterisk has to say `MEDIA_START`"""
MAX_FRAME_BYTES = 16_000

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

FORMATS: Mapping[str, tuple[g711.Law | None, int]] = {
    "slin": (None, G711_RATE),
    "slin16": (None, INPUT_RATE),
    "slin24": (None, OUTPUT_RATE),
    "ulaw": ("ulaw", G711_RATE),
    "alaw": ("alaw", G711_RATE),
}
"""by Asterisk's name: the law of G.711, or PCM, and the sample rate in Hz"""


class AsteriskServer:
    """An ASGI application for the WebSockets of Asterisk, whose calls `transport` runs."""

    def __init__(self, transport: TelephoneTransport, ami: Ami | None = None) -> None:
        """`ami` transfers calls, since `chan_websocket` cannot."""
        self._transport, self._ami = transport, ami

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        await receive()  # `websocket.connect`
        chosen = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        socket = PeerSocket(receive, send, self._transport.limits)
        messages = socket.receive()
        try:
            start: str | None = None
            with anyio.move_on_after(START_SECONDS):
                start = await _receive_start(messages, socket)
            if start is None:
                message = f"A call begins with MEDIA_START, within {START_SECONDS} seconds."
                return await socket.close(NOT_UNDERSTOOD, message)
            await self._transport.accept(AsteriskLeg(start, scope, socket, messages, self._ami))
        except ProtocolError as refusal:
            log.warning("a call by asterisk was refused: %s", refusal)
            await socket.close(NOT_UNDERSTOOD, refusal.message)


class AsteriskLeg:
    """A call by `chan_websocket`. Raises `ProtocolError` for audio that is not understood."""

    name = "asterisk"
    has_clock = True
    keep_alive_seconds: float | None = None

    def __init__(
        self,
        start: str,
        scope: Scope,
        socket: PeerSocket,
        messages: AsyncIterator[bytes | str],
        ami: Ami | None,
    ) -> None:
        """`start` is the message `MEDIA_START`."""
        _, fields = read_event(start)
        self.has_marks = self._has_json = start.lstrip().startswith("{")
        kind = str(fields.get("format"))
        if kind not in FORMATS:
            problem = (
                f"The format is {printable(kind, ID_CHARS)}; set one of c({'), c('.join(FORMATS)}) in Dial()."
            )
            raise ProtocolError(problem, code="invalid_value", param="format")
        law, self.rate = FORMATS[kind]
        self._codec = StreamCodec(law)
        self.frame_bytes = _frame_bytes(fields, self._codec, self.rate)
        self.details = _details(fields, scope)
        self._socket, self._messages = socket, messages
        uuid = self.details.id.lower()
        self._uuid, self._ami = uuid, ami if _UUID.fullmatch(uuid) else None  # AMI finds it by no other id
        self.refer = partial(self._ami.redirect, uuid) if self._ami else None
        self._may_send, self._flushes = anyio.Event(), 0
        self._may_send.set()

    async def receive(self) -> AsyncIterator[LegEvent]:
        """Yield audio, keys and marks. Messages that mean nothing are counted, and harm nothing."""
        async for message in self._messages:
            if isinstance(message, bytes):
                if audio := self._codec.decode(message):
                    yield audio
                continue
            match read_event(message):
                case "DTMF_END", {"digit": str(digit)} if digit.upper() in KEYS:
                    yield KeyPressed(digit.upper())
                case "MEDIA_MARK_PROCESSED", {"correlation_id": str(name)}:
                    yield MarkPlayed(name)
                case "MEDIA_XOFF", _:
                    self._may_send = anyio.Event()
                case "MEDIA_XON", _:
                    self._may_send.set()
                case "ERROR", fields:
                    log.warning("call %s: Asterisk reports %s", self.details.id, printable(str(fields)))
                case event, _:
                    self._socket.ignore(event if event in ("MEDIA_START", "DTMF_END") else "other messages")
        self._socket.report(self.details.id)

    async def answer(self) -> None:
        """Answer the channel, which is so already unless `Dial()` has `n`."""
        await self._command("ANSWER")

    async def send_audio(self, audio: bytes) -> None:
        """Send PCM, of whole frames, since Asterisk throws the rest away. Waits while its queue is full."""
        flushes = self._flushes
        await self._may_send.wait()
        if flushes == self._flushes:
            await self._socket.send(self._codec.encode(audio))

    async def send_mark(self, name: str) -> None:
        """Have Asterisk say when all audio before this was played."""
        await self._command("MARK_MEDIA", correlation_id=name)

    async def clear(self) -> None:
        """Have Asterisk drop what it has not played."""
        self._flushes += 1
        self._may_send.set()
        await self._command("FLUSH_MEDIA")

    async def on_event(self, event: e.Event) -> None:
        """There is no room for events."""

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        """Hang the channel up: then Asterisk goes on in its dialplan behind `Dial()`, unless AMI ends that."""
        if self._ami and self._socket.is_open and not refusal:
            await self._ami.end(self._uuid)
        await self._command("HANGUP")
        await self._socket.hang_up(refusal)

    async def _command(self, name: str, **values: str) -> None:
        text = (
            msgspec.json.encode({"command": name, **values}).decode()
            if self._has_json
            else " ".join((name, *values.values()))
        )
        await self._socket.send(text)


def read_event(text: str) -> tuple[str, Mapping[str, object]]:
    """Return an event and its fields, of JSON or of a line such as `DTMF_END digit:5`; "" is none."""
    if not text.lstrip().startswith("{"):
        name, *words = text.split()[:64] or [""]
        return name, dict(word.partition(":")[::2] for word in words)
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return "", {}
    name = fields.get("event")
    return (name, fields) if isinstance(name, str) else ("", {})


async def _receive_start(messages: AsyncIterator[bytes | str], socket: PeerSocket) -> str | None:
    """Return `MEDIA_START`; None if the WebSocket is closed before."""
    async for message in messages:
        if isinstance(message, str) and read_event(message)[0] == "MEDIA_START":
            return message
        socket.ignore("messages before MEDIA_START")
    return None


def _frame_bytes(fields: Mapping[str, object], codec: StreamCodec, rate: int) -> int:
    """Return the bytes of PCM of which audio is sent a multiple."""
    said = str(fields.get("optimal_frame_size", ""))
    size = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0
    if not 0 < size <= MAX_FRAME_BYTES or size % codec.sample_bytes:
        return 2 * round(FRAME_SECONDS * rate)
    return 2 * size // codec.sample_bytes


def _details(fields: Mapping[str, object], scope: Scope) -> CallDetails:
    """Return what is known of a call: by `MEDIA_START`, and by the query, which `v()` in `Dial()` sets."""
    said = [(name, value) for name, value in fields.items() if isinstance(value, str) and name != "event"]
    query = parse_qsl(scope["query_string"].decode("latin-1"))
    variables = fields.get("channel_variables")
    named = variables.items() if isinstance(variables, dict) else ()
    metadata = printable_metadata([*said, *query, *((str(k), v) for k, v in named if isinstance(v, str))])
    return CallDetails(
        metadata.get("uuid")
        or metadata.get("channel_id")
        or metadata.get("connection_id")
        or e.new_id("asterisk"),
        metadata.get("from", "")[:ID_CHARS],
        metadata.get("to", "")[:ID_CHARS],
        address_of(scope),
        metadata,
    )
