"""The Realtime protocol over a WebSocket: what OpenAI's own clients speak. A thin path, for it is walked often.

Text frames carry events, one each. A frame that is no event is answered by an `error`, and the conversation
goes on. Close codes: 1000 the conversation is over, 1001 the server goes away, 1009 a frame is too large,
1011 an error of ours; a client that reads too slowly is dropped. Who cannot be put through is refused before
the connection is made, by HTTP.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import partial

import anyio
from starlette.types import Message, Receive, Scope, Send

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.events import ErrorEvent, Event, InputAudioBufferAppend
from vivavoce.session.line import HungUp, Line
from vivavoce.transports.websocket.handshake import Handshake, accept, read, refuse

__all__ = ["AT_ONCE", "Connect", "WebSocketTransport"]

log = logging.getLogger(__name__)

Connect = Callable[[Handshake], AbstractAsyncContextManager[Line]]
"""Puts a caller through, given what their handshake says; `ProtocolError` refuses them."""

AT_ONCE = "vivavoce.at_once"
"""An extension of ASGI: a server that has it offers each text frame to a function before it queues it."""
NORMAL, GOING_AWAY, INTERNAL_ERROR = 1000, 1001, 1011


@dataclass(frozen=True)
class WebSocketTransport:
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
        handshake = read(scope)
        try:
            async with self.connect(handshake) as line:
                await accept(scope, send)
                conversation = _Conversation(line, receive, send, handshake, self.limits)
                self._conversations.add(conversation)
                if extension := scope.get("extensions", {}).get(AT_ONCE):
                    extension["hear"](conversation.hear_at_once)
                try:
                    await conversation.hold(self._going_away)
                finally:
                    conversation.over.set()
                    self._conversations.discard(conversation)
        except ProtocolError as refusal:
            await refuse(refusal, send)


@dataclass(eq=False)
class _Conversation:
    """A line and a WebSocket, joined."""

    line: Line
    receive: Receive
    send: Send
    handshake: Handshake
    limits: Limits
    code: int | None = NORMAL
    over: anyio.Event = field(default_factory=anyio.Event)
    _heard: int = 0
    _idle: bool = False
    _saying_since: float | None = None

    async def hold(self, going_away: anyio.Event) -> None:
        """Carry events both ways until either end leaves, or the server does."""
        async with anyio.create_task_group() as tasks:
            for part in (self._hear, self._speak, self._watch, partial(self._leave, going_away)):
                tasks.start_soon(self._until_over, part, tasks.cancel_scope)
        if self.code is not None:
            with anyio.move_on_after(self.limits.send_seconds), suppress(OSError):
                await self.send({"type": "websocket.close", "code": self.code})

    async def _until_over(self, part: Callable[[], Awaitable[None]], conversation: anyio.CancelScope) -> None:
        try:
            await part()
        except OSError:  # the client has left in the middle of a sentence
            self.code = None
        conversation.cancel()

    # from the client to the engine

    def hear_at_once(self, frame: bytes) -> bool:
        """Hear a frame as it comes, if it is sound and nothing has to be waited for; tell whether it was.

        Sound comes fifty times a second, and to wake a task for it costs more than to read it.
        """
        if not self._idle or self._heard >= self.limits.events_per_second:
            return False
        try:
            event = self._read(frame)
            heard = isinstance(event, InputAudioBufferAppend) and self.line.try_send(event)
        except HungUp:
            return False
        self._heard += heard
        return heard

    async def _hear(self) -> None:
        """Hear all else, until the client leaves."""
        second = anyio.current_time()
        while (message := await self._next())["type"] == "websocket.receive":
            self._heard += 1
            if self._heard > self.limits.events_per_second:
                await anyio.sleep_until(second + 1)
                second, self._heard = anyio.current_time(), 0
            try:
                await self.line.send(self._read(message.get("text")))
            except HungUp:  # what the engine said last is still on its way to the client
                await anyio.sleep_forever()
        self.code = None

    async def _next(self) -> Message:
        self._idle = True
        message = await self.receive()
        self._idle = False
        return message

    def _read(self, text: str | bytes | None) -> Event:
        """Return the event in a frame, or the error for it: the line brings that back in its turn."""
        limits = self.limits
        try:
            if text is None:
                problem = "Events are JSON in text frames; this frame was binary."
                raise ProtocolError(problem, code="invalid_event")
            return self.handshake.dialect.decode_client(
                text, append_bytes=limits.append_bytes, text_chars=limits.text_chars, values=limits.values
            )
        except ProtocolError as error:
            return error_event(error)

    # from the engine to the client

    async def _speak(self) -> None:
        """Say what the engine says, until it leaves."""
        last: Event | None = None
        async for last in self.line:
            await self._say(self.handshake.named(last))
        if isinstance(last, ErrorEvent) and last.error.type == "server_error":
            self.code = INTERNAL_ERROR

    async def _say(self, event: Event) -> None:
        text = self.handshake.dialect.encode(event)
        if text is not None:
            if self._saying_since is None:
                self._saying_since = anyio.current_time()
            await self.send({"type": "websocket.send", "text": text})
            self._saying_since = None

    # what else ends it

    async def _watch(self) -> None:
        """Wait until the client has not read for too long: one clock for all that is said."""
        wait = self.limits.send_seconds
        while (late := (self._saying_since or anyio.current_time()) + wait) > anyio.current_time():  # noqa: ASYNC110
            await anyio.sleep_until(late)
        log.info("a client took longer than limits.send_seconds to read; its line is closed")
        self.code = None

    async def _leave(self, going_away: anyio.Event) -> None:
        await going_away.wait()
        self.code = GOING_AWAY
