"""Agent Voice Response: its speech-to-speech contracts, by HTTP and by WebSocket, on one port.

By HTTP (STS 1.0 to 1.5): `POST /speech-to-speech-stream`, whose request and response last as long as the call.
Both bodies are bare PCM at 8 kHz. By WebSocket (STS 1.6 and newer; any path): JSON messages, `init` first. The
server is an ASGI application of its own: frameworks wait for a request's end before they answer.
"""

import logging
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

import anyio
import msgspec
from starlette.types import Message, Receive, Scope, Send

from vivavoce.audio.rates import G711_RATE
from vivavoce.audio.sample_aligner import SampleAligner
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol import events as e
from vivavoce.transports.base import address_of
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import (
    ID_CHARS,
    KEYS,
    CallDetails,
    KeyPressed,
    LegEvent,
    printable,
    printable_metadata,
)
from vivavoce.transports.telephony.peer_socket import PeerSocket
from vivavoce.transports.telephony.peers import MayCall

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

PATH = "/speech-to-speech-stream"
FRAME_BYTES = 320
"""20 ms of PCM at 8 kHz, the size of AVR's own messages"""
INIT_SECONDS = 5
"""seconds in which a WebSocket has to say `init`; then the call gets an id of ours"""
AMI_SECONDS = 5
"""seconds that `avr-ami` may take"""
CONTEXT = "demo"
"""the dialplan's context of a transfer that names none, as in AVR's own tools"""

_UUID_HEADERS = (b"x-avr-uuid", b"x-uuid")


class AvrAmi:
    """AVR's `avr-ami`, which hangs calls up and transfers them. All methods raise `ProviderError`."""

    def __init__(self, url: str, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        self._url, self._transport = url.rstrip("/"), transport

    async def hang_up(self, uuid: str) -> None:
        """Hang a call up."""
        await self._post("/hangup", uuid=uuid)

    async def transfer(self, uuid: str, target: str) -> None:
        """Transfer a call to an extension, `200`, or `200@context`."""
        exten, _, context = target.removeprefix("tel:").removeprefix("sip:").partition("@")
        await self._post("/transfer", uuid=uuid, exten=exten, context=context or CONTEXT, priority=1)

    async def _post(self, path: str, **body: object) -> None:
        import httpx

        try:
            async with httpx.AsyncClient(
                timeout=AMI_SECONDS, transport=self._transport, trust_env=False
            ) as client:
                (await client.post(self._url + path, json=body)).raise_for_status()
        except httpx.HTTPError as error:
            raise ProviderError("avr-ami", f"{path} failed: {error or type(error).__name__}") from error


class Parts(Protocol):
    """An ASGI application at other paths on the same port."""

    def serves(self, path: str) -> bool:
        """Return whether something is at a path."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ...


class AvrServer:
    """An ASGI application, whose calls `transport` runs: those of machines that `may_call`, never of pages."""

    def __init__(
        self,
        transport: TelephoneTransport,
        may_call: MayCall,
        ami: AvrAmi | None = None,
        parts: Parts | None = None,
    ) -> None:
        self._transport, self._may_call, self._ami, self._parts = transport, may_call, ami, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        try:
            address = address_of(scope)
            is_page = any(name == b"origin" for name, _ in scope["headers"])
            if is_page or not self._may_call(address):
                log.warning("a call from %s is refused (telephone.peers)", "a web page" if is_page else address)
                await _refuse(scope, receive, send)
            elif scope["type"] == "websocket":
                await self._accept_socket(scope, receive, send)
            elif scope["type"] == "http":
                await self._accept_request(scope, receive, send)
        except ProtocolError as refusal:
            log.info("an AVR call was refused: %s", refusal)

    async def _accept_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if self._parts and scope["method"] == "POST" and self._parts.serves(scope["path"]):
            await self._parts(scope, receive, send)
        elif scope["path"] != PATH or scope["method"] != "POST":
            await respond_message(send, 404, f"There is only POST {PATH} here, and a WebSocket.")
        else:
            uuid = next((headers[name].decode("latin-1") for name in _UUID_HEADERS if name in headers), "")
            leg = HttpLeg(_details(scope, uuid), receive, send, self._ami, self._transport.limits.send_seconds)
            await self._transport.accept(leg)

    async def _accept_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # `websocket.connect`
        await send({"type": "websocket.accept"})
        socket = PeerSocket(receive, send, self._transport.limits)
        messages = _messages(socket)
        first: _Message | None = None
        with anyio.move_on_after(INIT_SECONDS) as waiting:
            first = await anext(messages, None)
        if first is None and not waiting.cancelled_caught:
            return  # it has closed
        if first is None:
            messages = _messages(socket)  # those before ended when they were waited for no longer
        init = first if isinstance(first, _Init) else _Init()
        details = _details(scope, init.uuid, init.callerNumber)
        leg = SocketLeg(details, socket, messages, self._ami)
        leg.first = None if first is init else first
        await self._transport.accept(leg)


class _AvrLeg:
    """What both contracts have in common. `ami` does what they cannot."""

    name = "avr"
    rate = G711_RATE
    has_marks = False
    keep_alive_seconds: float | None = None
    frame_bytes = FRAME_BYTES

    def __init__(self, details: CallDetails, ami: AvrAmi | None) -> None:
        self.details, self._ami = details, ami
        self.refer = partial(ami.transfer, details.id) if ami else None
        self._has_left = False
        """whether the caller has hung up"""

    async def send_mark(self, name: str) -> None:
        """There are no marks."""

    async def _end_by_ami(self) -> None:
        """Hang the caller up, if that can be done, and need be: AVR may keep a call without us."""
        if self._ami and not self._has_left:
            try:
                await self._ami.hang_up(self.details.id)
            except ProviderError as error:
                log.warning("call %s: %s", self.details.id, error)


class HttpLeg(_AvrLeg):
    """A call by HTTP: our clock, since nothing can be taken back. The response begins when we answer."""

    has_clock = False

    def __init__(
        self,
        details: CallDetails,
        receive: Receive,
        send: Send,
        ami: AvrAmi | None,
        send_seconds: float,
    ) -> None:
        super().__init__(details, ami)
        self._receive, self._response, self._send_seconds = receive, send, send_seconds
        self._is_answered = False

    async def receive(self) -> AsyncIterator[LegEvent]:
        """Yield the audio of the request. Half a sample waits for the rest of it."""
        aligner = SampleAligner()
        while (message := await self._receive())["type"] == "http.request":
            if audio := aligner.push(message.get("body", b"")):
                yield audio
            if not message.get("more_body", False):
                break
        self._has_left = True

    async def answer(self) -> None:
        """Send the headers at once: some callers wait for them before they send audio."""
        headers = [(b"content-type", b"application/octet-stream"), (b"cache-control", b"no-cache")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._is_answered = True

    async def send_audio(self, audio: bytes) -> None:
        """Send PCM, once the call is answered."""
        if self._is_answered:
            await self._send({"type": "http.response.body", "body": audio, "more_body": True})

    async def clear(self) -> None:
        """Nothing was sent ahead."""

    async def on_event(self, event: e.Event) -> None:
        """There is no room for events."""

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        """End the response."""
        await self._end_by_ami()
        if self._is_answered:
            await self._send({"type": "http.response.body", "body": b""})
        elif refusal:
            await respond_message(self._send, 503, refusal.message)
        else:
            await respond_message(self._send, 500, "The call ended before it was answered.")

    async def _send(self, message: Message) -> None:
        """Send a part of the response. Raises `TimeoutError` if the peer does not read."""
        with anyio.fail_after(self._send_seconds):
            await self._response(message)


class _Init(msgspec.Struct, tag="init", tag_field="type"):
    uuid: str = ""
    callerNumber: str = ""  # noqa: N815 (AVR's name)


class _Audio(msgspec.Struct, tag="audio", tag_field="type"):
    audio: str


class _Dtmf(msgspec.Struct, tag="dtmf_digit", tag_field="type"):
    digit: str


_Message = _Init | _Audio | _Dtmf
_DECODER: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)


class SocketLeg(_AvrLeg):
    """A call by WebSocket: `avr-core` queues audio, plays it by its own clock, and drops it when told so."""

    has_clock = True
    first: _Message | None = None
    """a message that came in place of `init`"""

    def __init__(
        self, details: CallDetails, socket: PeerSocket, messages: AsyncIterator[_Message], ami: AvrAmi | None
    ) -> None:
        super().__init__(details, ami)
        self._socket, self._messages, self._aligner = socket, messages, SampleAligner()

    async def receive(self) -> AsyncIterator[LegEvent]:
        """Yield audio and keys. Messages that mean nothing are counted, and harm nothing."""
        if self.first and (event := self._read(self.first)):
            yield event
        async for message in self._messages:
            if event := self._read(message):
                yield event
        self._has_left = True
        self._socket.report(self.details.id)

    def _read(self, message: _Message) -> LegEvent | None:
        match message:
            case _Audio(audio=text):
                try:
                    return self._aligner.push_message(b64decode(text, validate=True))
                except ValueError:
                    self._socket.ignore("audio without base64")
            case _Dtmf(digit=digit) if digit.upper() in KEYS:
                return KeyPressed(digit.upper())
            case _:
                self._socket.ignore("unexpected messages")
        return None

    async def answer(self) -> None:
        """There is nothing to be said."""

    async def send_audio(self, audio: bytes) -> None:
        """Send PCM in messages of 20 ms."""
        for at in range(0, len(audio), FRAME_BYTES):
            await self._send_message(type="audio", audio=b64encode(audio[at : at + FRAME_BYTES]).decode())

    async def clear(self) -> None:
        """Have `avr-core` drop what it has not played."""
        await self._send_message(type="interruption")

    async def on_event(self, event: e.Event) -> None:
        """Pass on transcripts and errors."""
        match event:
            case e.TranscriptionCompleted(transcript=words) if words.strip():
                await self._send_message(type="transcript", role="user", text=words.strip())
            case e.ResponseOutputAudioTranscriptDone(transcript=words) if words.strip():
                await self._send_message(type="transcript", role="agent", text=words.strip())
            case e.ErrorEvent(error=error):
                await self._send_message(type="error", message=error.message)

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        """Close the WebSocket, after the reason for a refusal."""
        if refusal:
            await self._send_message(type="error", message=refusal.message)
        await self._end_by_ami()
        await self._socket.close()

    async def _send_message(self, **message: str) -> None:
        await self._socket.send(msgspec.json.encode(message).decode())


async def _messages(socket: PeerSocket) -> AsyncIterator[_Message]:
    """Yield the messages that can be read, until the WebSocket is closed."""
    async for text in socket.receive():
        try:
            yield _DECODER.decode(text if isinstance(text, str) else b"")
        except (msgspec.MsgspecError, RecursionError):
            socket.ignore("what is no message")


def _details(scope: Scope, uuid: str, caller: str = "") -> CallDetails:
    """Return what is known of a call, by what was said and by the URL's query, which `avr-core` passes on."""
    known = printable_metadata(parse_qsl(scope["query_string"].decode("latin-1")))
    return CallDetails(
        printable(uuid, ID_CHARS) or e.new_id("avr"),
        printable(caller, ID_CHARS) or known.get("from", ""),
        known.get("to", ""),
        address_of(scope),
        known,
    )


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # `websocket.connect`
        await send({"type": "websocket.close"})  # 403, because it was not accepted
    else:
        await respond_message(send, 403, "You may not call here (telephone.peers).")


async def respond_message(send: Send, status: int, message: str) -> None:
    """Answer with a message in JSON, as AVR does."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode({"message": message})})
