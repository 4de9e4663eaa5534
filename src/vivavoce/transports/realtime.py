"""The Realtime protocol over a WebSocket: what OpenAI's own clients speak. A thin path, for it is walked often.

Text frames carry events, one each. A frame that is no event is answered by an `error`, and the conversation
goes on. Close codes: 1000 the conversation is over, 1001 the server goes away, 1009 a frame is too large,
1011 an error of ours; a client that reads too slowly is dropped. When every place is taken the
connection is refused before it is made: HTTP 503 with `Retry-After`.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qs

import anyio
import msgspec
from msgspec.structs import replace
from starlette.types import Message, Receive, Scope, Send

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.line import HungUp, Line
from vivavoce.protocol.events import ErrorEvent, Event, SessionCreated, SessionUpdated
from vivavoce.protocol.session import Session
from vivavoce.protocol.wire import decode_client, encode, error_event

__all__ = ["Connect", "Realtime"]

log = logging.getLogger(__name__)

Connect = Callable[[str, str | None], AbstractAsyncContextManager[Line]]
"""Puts a caller through, given their address and the model they ask for; `ProtocolError` refuses them."""

SUBPROTOCOL = "realtime"
RETRY_AFTER_SECONDS = 5
NORMAL, GOING_AWAY, INTERNAL_ERROR = 1000, 1001, 1011


@dataclass(frozen=True)
class Realtime:
    """An ASGI application that holds one conversation per WebSocket, until `hang_up` is called."""

    connect: Connect
    limits: Limits = field(default_factory=Limits)
    _going_away: anyio.Event = field(default_factory=anyio.Event)
    _conversations: "set[_Conversation]" = field(default_factory=set)

    async def hang_up(self) -> None:
        """Close every conversation with 1001, new ones as soon as they begin; return when all are over."""
        self._going_away.set()
        for conversation in tuple(self._conversations):
            await conversation.over.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold one conversation. Returns when it is over."""
        await receive()  # `websocket.connect`
        model = next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("model", [])), None)
        try:
            async with self.connect((scope.get("client") or ("",))[0], model) as line:
                await _accept(scope, send)
                conversation = _Conversation(line, receive, send, model, self.limits)
                self._conversations.add(conversation)
                try:
                    await conversation.hold(self._going_away)
                finally:
                    conversation.over.set()
                    self._conversations.discard(conversation)
        except ProtocolError as refusal:
            await _refuse(refusal, send)


@dataclass(eq=False)
class _Conversation:
    """A line and a WebSocket, joined."""

    line: Line
    receive: Receive
    send: Send
    model: str | None
    limits: Limits
    code: int | None = NORMAL
    over: anyio.Event = field(default_factory=anyio.Event)

    async def hold(self, going_away: anyio.Event) -> None:
        """Carry events both ways until either end leaves, or the server does."""
        async with anyio.create_task_group() as tasks:
            for part in (self._hear, self._speak, partial(self._leave, going_away)):
                tasks.start_soon(self._until_over, part, tasks.cancel_scope)
        if self.code is not None:
            with anyio.move_on_after(self.limits.send_seconds), suppress(OSError):
                await self.send({"type": "websocket.close", "code": self.code})

    async def _until_over(self, part: Callable[[], Awaitable[None]], conversation: anyio.CancelScope) -> None:
        try:
            await part()
        except TimeoutError:
            log.info("a client took longer than limits.send_seconds to read; its line is closed")
            self.code = None
        except OSError:  # the client has left in the middle of a sentence
            self.code = None
        conversation.cancel()

    async def _hear(self) -> None:
        """From the client to the engine, until the client leaves."""
        second, heard = anyio.current_time(), 0
        while (message := await self.receive())["type"] == "websocket.receive":
            heard += 1
            if heard > self.limits.events_per_second:
                await anyio.sleep_until(second + 1)
                second, heard = anyio.current_time(), 0
            try:
                await self.line.send(self._read(message))
            except ProtocolError as error:
                await self._say(error_event(error))
            except HungUp:  # what the engine said last is still on its way to the client
                await anyio.sleep_forever()
        self.code = None

    def _read(self, message: Message) -> Event:
        text = message.get("text")
        if text is None:
            raise ProtocolError("Events are JSON in text frames; this frame was binary.", code="invalid_json")
        return decode_client(text, append_bytes=self.limits.append_bytes, text_chars=self.limits.text_chars)

    async def _speak(self) -> None:
        """From the engine to the client, until the engine leaves."""
        last: Event | None = None
        async for last in self.line:
            await self._say(self._named(last))
        if isinstance(last, ErrorEvent) and last.error.type == "server_error":
            self.code = INTERNAL_ERROR

    async def _leave(self, going_away: anyio.Event) -> None:
        await going_away.wait()
        self.code = GOING_AWAY

    async def _say(self, event: Event) -> None:
        with anyio.fail_after(self.limits.send_seconds):
            await self.send({"type": "websocket.send", "text": encode(event)})

    def _named(self, event: Event) -> Event:
        """Echo the model that the client asked for: clients hard-code its name, whoever answers."""
        if self.model is None or not isinstance(event, SessionCreated | SessionUpdated):
            return event
        if not isinstance(event.session, Session):
            return event
        return replace(event, session=replace(event.session, model=self.model))


async def _accept(scope: Scope, send: Send) -> None:
    """Open the WebSocket. A browser that offered subprotocols goes away unless one is chosen."""
    chosen = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
    await send({"type": "websocket.accept", "subprotocol": chosen})


async def _refuse(refusal: ProtocolError, send: Send) -> None:
    """Answer the handshake with HTTP 503, in OpenAI's shape of an error."""
    error = {"message": refusal.message, "type": "server_error", "param": None, "code": refusal.code}
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
    ]
    await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": msgspec.json.encode({"error": error})})
