"""The Realtime protocol over a WebSocket, as OpenAI's clients use it.

Each text frame is one event. An invalid frame is answered with an `error`, and the conversation goes on. Close
codes (RFC 6455): 1000 the conversation is over, 1001 the server shuts down, 1009 a frame is too large, 1011 an
internal error; a client that reads too slowly is disconnected. The URLs of OpenAI and Azure differ only in
names; unknown query parameters are ignored.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, NamedTuple
from urllib.parse import parse_qsl

import anyio
from starlette.types import Message, Receive, Scope, Send

from vivavoce.limits import Limits
from vivavoce.protocol.dialects import BETA, GA, Dialect, by_version
from vivavoce.protocol.events import ErrorEvent, Event, InputAudioBufferAppend
from vivavoce.protocol.session import AnySession, Session, TranscriptionSession
from vivavoce.session.line import HungUp, Line
from vivavoce.session.switchboard import no_such_call
from vivavoce.transports.base import (
    Connect,
    EventRate,
    Handshake,
    OpenCalls,
    address_of,
    decode_event,
    run_until_first,
    wanted_store,
    wants_extras,
)

log = logging.getLogger(__name__)

PATHS = ("/v1/realtime", "/openai/v1/realtime", "/openai/realtime", "/realtime")
"""the paths that OpenAI's and Azure's clients use"""
RECEIVE_NOWAIT = "vivavoce.receive_nowait"
"""An ASGI extension of `vivavoce.web`: the server passes each text frame to a callback before queueing it."""

SUBPROTOCOLS = ("realtime", "openai-beta.realtime-v1")
"""supported WebSocket subprotocols, in order of preference; the second selects the beta dialect"""
BETA_HEADER = (b"openai-beta", "realtime=v1")

NORMAL, GOING_AWAY, INTERNAL_ERROR = 1000, 1001, 1011

Join = Callable[[str, bool], AbstractAsyncContextManager[Line]]
"""Joins the call with an id; the second argument is `Handshake.extras`. Raises `ProtocolError` if refused."""


class AsgiConnection(NamedTuple):
    """A WebSocket, as an ASGI server passes it to an application."""

    scope: Scope
    receive: Receive
    send: Send


@dataclass(frozen=True)
class WebSocketTransport:
    """An ASGI application that serves one call per WebSocket."""

    connect: Connect
    limits: Limits = field(default_factory=Limits)
    join: Join | None = None
    """joins an active call (`?call_id=`); None if calls cannot be joined"""
    _calls: OpenCalls = field(default_factory=OpenCalls)

    name: ClassVar[str] = "websocket"
    plays_audio: ClassVar[bool] = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept a WebSocket, as an ASGI application."""
        await self.accept(AsgiConnection(scope, receive, send))

    async def accept(self, connection: AsgiConnection) -> None:
        """Serve one call; return when it has ended. Raises `ProtocolError` before accepting, if refused."""
        scope, receive, send = connection
        await receive()  # `websocket.connect`
        handshake = read_handshake(scope)
        async with self._line(handshake) as line:
            await accept_websocket(scope, send)
            call = _Call(line, receive, send, handshake, self.limits)
            if extension := scope.get("extensions", {}).get(RECEIVE_NOWAIT):
                extension["on_text"](call.receive_nowait)
            with self._calls.track():
                await call.run(self._calls.closing)

    async def hang_up(self) -> None:
        """Close every WebSocket with 1001, later ones as soon as they open; return when all have ended."""
        await self._calls.hang_up()

    def _line(self, handshake: Handshake) -> AbstractAsyncContextManager[Line]:
        if handshake.call_id is not None:
            if self.join is None:
                raise no_such_call(handshake.call_id)
            return self.join(handshake.call_id, handshake.extras)
        return self.connect(handshake.caller(self.name, plays_audio=self.plays_audio))


async def accept_websocket(scope: Scope, send: Send) -> None:
    """Accept a WebSocket, with the first of our subprotocols that the client offers."""
    offered = scope.get("subprotocols", ())  # a browser that offers some fails unless one is chosen
    chosen = next((name for name in SUBPROTOCOLS if name in offered), None)
    await send({"type": "websocket.accept", "subprotocol": chosen})


def read_handshake(scope: Scope) -> Handshake:
    """Read a WebSocket's opening request. The scope's `state` has what its key says: session and identity."""
    query = dict(reversed(parse_qsl(scope["query_string"].decode("latin-1"))))  # the first of two values counts
    address, call_id = address_of(scope), query.get("call_id")
    dialect, extras = _dialect(scope, query), wants_extras(query)
    if call_id is not None:
        return Handshake(address, call_id=call_id, dialect=dialect, extras=extras)
    state = scope.get("state", {})
    session: AnySession | None = state.get("session")
    if session is None and query.get("intent") == "transcription":
        session = TranscriptionSession()
    model = query.get("model") or query.get("deployment")
    if model is None and isinstance(session, Session) and session.model:
        model = session.model
    return Handshake(
        address,
        model,
        session,
        dialect=dialect,
        extras=extras,
        identity=state.get("identity"),
        continues=state.get("continues") or query.get("conversation") or None,
        store=wanted_store(query, state.get("store", "all")),
    )


def _dialect(scope: Scope, query: Mapping[str, str]) -> Dialect:
    dialect = by_version(query.get("api-version", "v1"))
    if dialect is not GA:
        return dialect
    name, value = BETA_HEADER
    if any(header == name and value in text.decode("latin-1") for header, text in scope["headers"]):
        return BETA
    return BETA if SUBPROTOCOLS[1] in scope.get("subprotocols", ()) else GA


class _Call:
    """Forwards events between a line and a WebSocket."""

    def __init__(self, line: Line, receive: Receive, send: Send, handshake: Handshake, limits: Limits) -> None:
        self._line, self._receive, self._send = line, receive, send
        self._handshake, self._limits = handshake, limits
        self._rate = EventRate(limits.events_per_second)
        self._code: int | None = NORMAL
        self._is_receiving = False
        self._sending_since: float | None = None

    async def run(self, closing: anyio.Event) -> None:
        """Forward events both ways until one side ends the call; then close the WebSocket, if it is open."""
        if await run_until_first(
            self._receive_events, self._send_events, self._watch_reader, partial(self._shut_down, closing)
        ):
            self._code = None
        if self._code is not None:
            with anyio.move_on_after(self._limits.send_seconds), suppress(OSError):
                await self._send({"type": "websocket.close", "code": self._code})

    def receive_nowait(self, text: bytes) -> bool:
        """Forward an audio event immediately, unless that would wait; return whether it was forwarded.

        Audio arrives fifty times a second, and waking a task for each frame costs more than decoding it. While
        an earlier frame is being processed, frames are refused, so that the order stays the same.
        """
        if not self._is_receiving or self._rate.is_exhausted:
            return False
        try:
            event = self._decode(text)
            sent = isinstance(event, InputAudioBufferAppend) and self._line.try_send(event)
        except HungUp:
            return False
        if sent:
            self._rate.count_nowait()
        return sent

    async def _receive_events(self) -> None:
        """Forward all other events to the engine, until the client leaves."""
        while (message := await self._next_message())["type"] == "websocket.receive":
            await self._rate.count()
            await self._line.send(self._decode(message.get("text")))
        self._code = None

    async def _next_message(self) -> Message:
        self._is_receiving = True
        message = await self._receive()
        self._is_receiving = False
        return message

    def _decode(self, text: str | bytes | None) -> Event:
        return decode_event(text, self._handshake.dialect, self._limits)

    async def _send_events(self) -> None:
        """Send the engine's events to the client, until the line ends."""
        event: Event | None = None
        async for event in self._line:
            text = self._handshake.dialect.encode(self._handshake.with_model(event))
            if text is not None:
                if self._sending_since is None:
                    self._sending_since = anyio.current_time()
                await self._send({"type": "websocket.send", "text": text})
                self._sending_since = None
        if isinstance(event, ErrorEvent) and event.error.type == "server_error":
            self._code = INTERNAL_ERROR

    async def _watch_reader(self) -> None:
        """Return when a frame has waited longer than `limits.send_seconds`; one timer serves all frames."""
        wait = self._limits.send_seconds
        while (due := (self._sending_since or anyio.current_time()) + wait) > anyio.current_time():  # noqa: ASYNC110
            await anyio.sleep_until(due)
        log.info("a client took longer than limits.send_seconds to read; its WebSocket is closed")
        self._code = None

    async def _shut_down(self, closing: anyio.Event) -> None:
        await closing.wait()
        self._code = GOING_AWAY
