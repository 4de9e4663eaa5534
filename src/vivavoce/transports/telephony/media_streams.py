"""Media streams of telephone carriers: JSON over a WebSocket, in dialects that differ in names and shapes.

Twilio came first; SignalWire, Telnyx, Exotel and Plivo say nearly the same, Vonage says it around binary audio.
What a carrier calls things stands in the table `DIALECTS`, in the words of its documentation; all of them are
read and written by the same code. Numbers may be strings, and names `streamSid` or `stream_sid`.

https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

import logging
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from string import Template
from typing import Literal
from urllib.parse import parse_qsl

import anyio
import msgspec
from starlette.types import Receive, Scope, Send

from vivavoce.audio.rates import G711_RATE, INPUT_RATE, OUTPUT_RATE
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.transports.base import address_of
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import (
    ID_CHARS,
    KEYS,
    CallDetails,
    KeyPressed,
    LegEvent,
    MarkPlayed,
    plain_name,
    printable,
    printable_metadata,
)
from vivavoce.transports.telephony.peer_socket import NOT_UNDERSTOOD, ChunkOrder, PeerSocket, StreamCodec
from vivavoce.transports.webrtc.pacer import FRAME_SECONDS

log = logging.getLogger(__name__)

START_SECONDS = 10
"""seconds in which a stream has to say `start`"""
GAP_SECONDS = 1
"""seconds of silence at most that are put in where audio was lost"""
RATES = (G711_RATE, INPUT_RATE, OUTPUT_RATE)

MessageKind = Literal["start", "media", "key", "mark", "stop", "error"]
Codec = Literal["ulaw", "alaw", "pcm"]


@dataclass(frozen=True)
class CarrierDialect:
    """What one carrier calls things. Messages to it are templates, in which names after `$` are filled in."""

    name: str
    media: str = '{"event": "media", "streamSid": $id, "media": {"payload": $audio}}'
    """empty where audio is sent as binary messages"""
    mark: str = '{"event": "mark", "streamSid": $id, "mark": {"name": $name}}'
    clear: str = '{"event": "clear", "streamSid": $id}'
    kinds: Mapping[str, MessageKind | None] = field(
        default_factory=lambda: {
            "connected": None,
            "start": "start",
            "media": "media",
            "dtmf": "key",
            "mark": "mark",
            "stop": "stop",
        }
    )
    """by `event`: what it means; None is nothing to us"""
    codec: Codec = "ulaw"
    """of streams that do not say"""
    frame_seconds: float = FRAME_SECONDS
    """audio is sent in multiples of this"""
    is_split: bool = False
    """whether each of these is a message of its own"""
    late_chunks: int = 0
    """chunks that may come before an earlier one, where the order is not guaranteed"""


TWILIO = CarrierDialect("twilio")
SIGNALWIRE = CarrierDialect("signalwire")
TELNYX = CarrierDialect(
    "telnyx",
    media='{"event": "media", "media": {"payload": $audio}}',
    mark='{"event": "mark", "mark": {"name": $name}}',
    clear='{"event": "clear"}',
    kinds={**TWILIO.kinds, "error": "error"},
    late_chunks=5,
)
EXOTEL = CarrierDialect(
    "exotel",
    media='{"event": "media", "stream_sid": $id, "media": {"payload": $audio}}',
    mark='{"event": "mark", "stream_sid": $id, "mark": {"name": $name}}',
    clear='{"event": "clear", "stream_sid": $id}',
    codec="pcm",
    frame_seconds=0.2,  # 3,200 bytes at 8 kHz: less is refused
)
PLIVO = CarrierDialect(
    "plivo",
    media=('{"event": "playAudio", "media": {"contentType": $type, "sampleRate": $rate, "payload": $audio}}'),
    mark='{"event": "checkpoint", "streamId": $id, "name": $name}',
    clear='{"event": "clearAudio", "streamId": $id}',
    kinds={**TWILIO.kinds, "playedStream": "mark", "clearedAudio": None, "error": "error"},
)
VONAGE = CarrierDialect(
    "vonage",
    media="",
    mark='{"action": "notify", "payload": {"name": $name}}',
    clear='{"action": "clear"}',
    kinds={
        "websocket:connected": "start",
        "websocket:dtmf": "key",
        "websocket:notify": "mark",
        "websocket:cleared": None,
    },
    codec="pcm",
    is_split=True,
)
DIALECTS: Mapping[str, CarrierDialect] = {
    one.name: one for one in (TWILIO, TELNYX, SIGNALWIRE, PLIVO, EXOTEL, VONAGE)
}
"""by name, which is that of the path as well"""

CALL_IDS = ("callsid", "callcontrolid", "callid", "conversationuuid", "uuid")
STREAM_IDS = ("streamsid", "streamid")
PARAMETERS = ("customparameters", "extraheaders")

Transfer = Callable[["MediaStreamLeg", str], Awaitable[None]]
"""Transfers a leg's call to a URI. Raises `ProviderError`."""


class MediaStreamServer:
    """An ASGI application for the WebSockets of one carrier, whose calls `transport` runs."""

    def __init__(
        self, dialect: CarrierDialect, transport: TelephoneTransport, transfer: Transfer | None = None
    ) -> None:
        """`transfer` is how a call is transferred; on their sockets, carriers cannot."""
        self._dialect, self._transport, self._transfer = dialect, transport, transfer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one stream: one call."""
        await receive()  # `websocket.connect`
        await send({"type": "websocket.accept"})
        socket = PeerSocket(receive, send, self._transport.limits)
        messages = _messages(socket, self._dialect)
        try:
            start: Mapping[str, object] | None = None
            with anyio.move_on_after(START_SECONDS):
                start = await _receive_start(messages, socket)
            if start is None:
                return await socket.close(NOT_UNDERSTOOD, f"A stream begins with start, in {START_SECONDS} s.")
            stream = read_start(start, self._dialect, scope)
            await self._transport.accept(
                MediaStreamLeg(self._dialect, stream, socket, messages, self._transfer)
            )
        except ProtocolError as refusal:
            log.warning("a call by %s was refused: %s", self._dialect.name, refusal)
            await socket.close(NOT_UNDERSTOOD, refusal.message)


@dataclass(frozen=True)
class Stream:
    """What a stream says of itself as it starts; `rate` is in Hz."""

    id: str
    details: CallDetails
    codec: Codec
    rate: int
    account: str = ""


class MediaStreamLeg:
    """A call by a carrier's media stream, which queues audio, plays it by its own clock, and reports marks."""

    has_clock = has_marks = True
    keep_alive_seconds: float | None = None

    def __init__(
        self,
        dialect: CarrierDialect,
        stream: Stream,
        socket: PeerSocket,
        messages: AsyncIterator["Message"],
        transfer: Transfer | None = None,
    ) -> None:
        self.name, self.details, self.rate, self.stream = dialect.name, stream.details, stream.rate, stream
        self.frame_bytes = 2 * round(dialect.frame_seconds * stream.rate)
        self.refer = partial(transfer, self) if transfer else None
        self._dialect, self._socket, self._messages = dialect, socket, messages
        self._order = ChunkOrder(dialect.late_chunks, 2 * GAP_SECONDS * stream.rate)
        self._codec = StreamCodec(None if stream.codec == "pcm" else stream.codec)
        kind = "audio/x-l16" if stream.codec == "pcm" else f"audio/x-{_LAW_NAMES[stream.codec]}"
        self._fixed = {"id": _json(stream.id), "type": _json(kind), "rate": _json(stream.rate)}

    async def receive(self) -> AsyncIterator[LegEvent]:
        """Yield audio, keys and marks. Messages that mean nothing are counted, and harm nothing."""
        async for message in self._messages:
            match message:
                case bytes():
                    if audio := self._codec.decode(message):
                        yield audio
                case "media", fields if fields.get("track") != "outbound":
                    if audio := self._read_media(fields):
                        yield audio
                case "key", {"digit": str(digit)} if digit.upper() in KEYS:
                    yield KeyPressed(digit.upper())
                case "mark", {"name": str(name)}:
                    yield MarkPlayed(name)
                case "stop", _:
                    break
                case "error", fields:
                    problem = printable(str({name: fields.get(name) for name in ("code", "title", "detail")}))
                    log.warning("call %s: %s reports %s", self.details.id, self.name, problem)
                case kind, _:
                    self._socket.ignore(kind)
        self._socket.report(self.details.id)

    def _read_media(self, fields: Mapping[str, object]) -> bytes:
        """Return the PCM that a message adds, in order; none if it cannot be read."""
        try:
            audio = b64decode(str(fields["payload"]), validate=True)
        except (KeyError, ValueError):
            self._socket.ignore("media without base64")
            return b""
        pcm = self._codec.decode(audio)
        number = _integer(fields.get("chunk"))
        return pcm if number is None else self._order.push(number, pcm)

    async def answer(self) -> None:
        """There is nothing to be said: carriers answer before they stream."""

    async def send_audio(self, audio: bytes) -> None:
        """Send PCM, in the stream's codec."""
        size = self.frame_bytes if self._dialect.is_split else len(audio)
        for at in range(0, len(audio), size):
            part = self._codec.encode(audio[at : at + size])
            if self._dialect.media:
                await self._send(self._dialect.media, audio=f'"{b64encode(part).decode()}"')
            else:
                await self._socket.send(part)

    async def send_mark(self, name: str) -> None:
        """Have the carrier say when all audio before this was played."""
        await self._send(self._dialect.mark, name=_json(name))

    async def clear(self) -> None:
        """Have the carrier drop what it has not played."""
        await self._send(self._dialect.clear)

    async def on_event(self, event: e.Event) -> None:
        """There is no room for events."""

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        """Close the WebSocket: then the carrier goes on in its document, which ends there."""
        await self._socket.hang_up(refusal)

    async def _send(self, template: str, **values: str) -> None:
        await self._socket.send(Template(template).substitute(self._fixed, **values))


_LAW_NAMES = {"ulaw": "mulaw", "alaw": "alaw"}


# reading messages

Message = bytes | tuple[str, Mapping[str, object]]
"""binary audio, or what an event means (a `MessageKind`, or in words what it is not) with its fields"""


async def _messages(socket: PeerSocket, dialect: CarrierDialect) -> AsyncIterator[Message]:
    async for message in socket.receive():
        if isinstance(message, str):
            yield read_message(message, dialect)
        elif dialect.media:
            yield "binary messages", {}
        else:
            yield message


def read_message(text: str, dialect: CarrierDialect) -> tuple[str, Mapping[str, object]]:
    """Return what a message means, or in words what it is not, and its fields. What is of no effect is ""."""
    try:
        message = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return "what is no JSON", {}
    if not isinstance(message, dict):
        return "what is no object", {}
    event = message.get("event")
    if not isinstance(event, str) or event not in dialect.kinds:
        return "unknown events", {}
    within = next((one for name in (event, "payload") if isinstance(one := message.get(name), dict)), {})
    return dialect.kinds[event] or "", message | within


async def _receive_start(messages: AsyncIterator[Message], socket: PeerSocket) -> Mapping[str, object] | None:
    """Return the fields of `start`; None if the WebSocket is closed before."""
    async for message in messages:
        match message:
            case "start", fields:
                return fields
            case bytes():
                socket.ignore("audio before start")
            case kind, _:
                socket.ignore(f"{kind} before start" if kind else "")
    return None


def read_start(fields: Mapping[str, object], dialect: CarrierDialect, scope: Scope) -> Stream:
    """Return what a stream says of itself. Raises `ProtocolError` for audio that is not understood."""
    known = _plain(fields)
    shape = known.get("mediaformat")
    shape = _plain(shape) if isinstance(shape, dict) else {}
    said = str(shape.get("encoding") or known.get("content-type") or "")
    in_said = re.search(r"rate=(\d{1,6})", said)
    codec = read_codec(said) if said else dialect.codec
    rate = _integer(shape.get("samplerate")) or (int(in_said[1]) if in_said else G711_RATE)
    if codec is None or rate not in RATES or (codec != "pcm" and rate != G711_RATE):
        message = (
            f"The stream is {printable(said, ID_CHARS)} at {rate} Hz; PCMU and PCMA at 8000 Hz, and L16 at "
            "8000, 16000 or 24000 Hz are understood."
        )
        raise ProtocolError(message, code="invalid_value", param="mediaFormat")
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and name != "event"}
    query = parse_qsl(scope["query_string"].decode("latin-1"))
    metadata = printable_metadata([*texts.items(), *_parameters(known), *query])
    by_name = {name: value for name, value in known.items() if isinstance(value, str)}
    for name, value in metadata.items():  # what the carrier says comes first
        by_name.setdefault(plain_name(name), value)
    stream_id = next((by_name[name] for name in STREAM_IDS if name in by_name), "")
    call_id = next((by_name[name] for name in CALL_IDS if by_name.get(name)), stream_id)
    details = CallDetails(
        printable(call_id, ID_CHARS) or e.new_id(dialect.name),
        printable(by_name.get("from", ""), ID_CHARS),
        printable(by_name.get("to", ""), ID_CHARS),
        address_of(scope),
        metadata,
    )
    return Stream(stream_id, details, codec, rate, by_name.get("accountsid", ""))


def _parameters(known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what the owner's answer to the carrier has passed on: an object, JSON in a text, or `a=1,b=2`."""
    for name in PARAMETERS:
        given = known.get(name)
        if isinstance(given, str):
            try:
                given = msgspec.json.decode(given)
            except (msgspec.MsgspecError, RecursionError):
                given = dict(pair.partition("=")[::2] for pair in str(given).split(",") if "=" in pair)
        if isinstance(given, dict):
            yield from ((str(key), value) for key, value in given.items() if isinstance(value, str))


_CODECS: Mapping[Codec, str] = {
    "ulaw": "ulaw|pcmu",
    "alaw": "alaw|pcma",
    "pcm": "l16|linear|slin|raw|pcm|base64",
}
"""what carriers call their codecs; `base64` is Exotel's name for PCM"""


def read_codec(encoding: str) -> Codec | None:
    """Return the codec that a carrier names, such as `audio/x-mulaw`, `PCMU` or `audio/l16;rate=16000`."""
    plain = encoding.lower().replace("mulaw", "ulaw").replace("-law", "law")
    return next((codec for codec, names in _CODECS.items() if re.search(names, plain)), None)


def _plain(fields: Mapping[str, object]) -> dict[str, object]:
    return {plain_name(name): value for name, value in fields.items()}


def _integer(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,15}", value) else None
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e15 else None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
