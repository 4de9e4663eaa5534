"""The relay of one conversation between a client and an upstream server, across reconnections."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from math import inf
from typing import Literal

import anyio
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.connect import RemoteLine
from vivavoce.connect.history_replay import REPLAY_ID, HistoryReplay
from vivavoce.connect.reconnect import SESSION_EXPIRED
from vivavoce.dates import unix_now
from vivavoce.engines.cascade.rate_limits import RateLimits
from vivavoce.engines.remote.open_state import OpenState
from vivavoce.engines.remote.outbox import Outbox
from vivavoce.engines.sessions import (
    error_for,
    not_a_client_event,
    too_many_items,
    updated,
    without_rare_defaults,
)
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Item, ItemReference, McpApprovalResponse, Message
from vivavoce.protocol.responses import Response, ResponseParams
from vivavoce.protocol.session import AnySession, Session
from vivavoce.protocol.tools import check_tools
from vivavoce.session.line import HungUp, Line

log = logging.getLogger(__name__)

Connect = Callable[[AnySession], AbstractAsyncContextManager[Line]]
"""Opens a line to a server, for a conversation with these settings. Raises `ProviderError`."""

_RELAY_ID = "relay"
"""prefix of the ids that we assign to client events without one"""


@dataclass(frozen=True)
class UpstreamServer:
    """A server that answers. `name` is for logs; `adapt` converts client events for it."""

    name: str
    connect: Connect
    adapt: Callable[[e.ClientEvent], e.ClientEvent]
    engine: Literal["remote", "cascade"] = "remote"
    reason: str = ""
    """why this server answers instead of the preferred one"""
    on_failure: Callable[[], None] = lambda: None
    """called when the server cannot be reached"""

    def lost(self, message: str, *, retryable: bool = True) -> ProviderError:
        """Return the error for the end of the connection to this server."""
        return ProviderError(self.name, message, retryable=retryable)

    def loss_of(self, line: Line) -> ProviderError:
        """Return the error for the end of a line to this server."""
        return (line.lost if isinstance(line, RemoteLine) else None) or self.lost("it hung up")


class Relay:
    """Relays events between a client and a server, and keeps the state to continue with another server."""

    def __init__(self, line: Line, session: AnySession, limits: Limits) -> None:
        """`line` is the client's line; `session` is its session until the client changes it."""
        self.line, self.session, self.limits = line, session, limits
        self.begun = False
        """whether the client has received `session.created`"""
        self.reason = ""
        """why the next server is connected, of which the client is informed; empty for the first"""
        self._session_id = e.new_id("sess")
        self._expires_at = unix_now() + round(limits.conversation_minutes * 60)
        self._outbox = Outbox(limits.line_depth, limits.upstream_audio_seconds)
        self._state = OpenState(self._outbox, limits.upstream_audio_seconds, limits.conversation_image_bytes)
        self._state.configure(session)
        self._replay = HistoryReplay(self._state.conversation)
        self._rates = RateLimits(responses=limits.responses_per_minute, tokens=limits.tokens_per_minute)
        self._request = self._due_request = e.ResponseCreate()
        """the request of the response in progress, and of the one that is due"""
        self._offset_ms = 0.0
        """milliseconds of the client's audio that the current server has not received"""
        self._upstream: Line | None = None
        self._patience = anyio.CancelScope()
        self._silence = limits.upstream_silence_seconds
        self._receiving = False
        """whether we are waiting for an event of the server"""

    # events of the client

    async def receive(self) -> None:
        """Put client events into the outbox, until the client hangs up."""
        async for event in self.line:
            try:
                await self._outbox.put(self._checked(event), self._state.bytes_per_ms)
            except ProtocolError as error:
                await self.line.refuse(error_for(event, error))

    def _checked(self, event: e.Event) -> e.ClientEvent:
        """Return a client event, with ids for it and its item. Raises `ProtocolError`."""
        if not isinstance(event, e.ClientEvent):
            raise not_a_client_event()
        match event:
            case e.InputAudioBufferAppend():
                return event
            case e.SessionUpdate(session=Session(tools=tools)):
                check_tools(tools, "session", self.limits.tools)
            case e.ConversationItemCreate(item=item):
                if len(self._state.conversation) >= self.limits.items:
                    raise too_many_items(self.limits)
                if not isinstance(item, McpApprovalResponse):
                    event = replace(event, item=replace(item, id=item.id or e.new_id("item")))
            case e.ResponseCreate():
                if refusal := self._rates.exceeded(anyio.current_time()):
                    raise refusal
        return replace(event, event_id=e.new_id(_RELAY_ID)) if event.event_id is UNSET else event

    # one connection

    async def begin(self, server: UpstreamServer, upstream: Line) -> ProviderError | None:
        """Send the session to the server, and wait until it accepts; return the error if it does not."""
        session = without_rare_defaults(self.session)
        update = e.SessionUpdate(event_id=e.new_id(REPLAY_ID), session=session)
        try:
            await upstream.send(server.adapt(update))
        except HungUp:
            return server.loss_of(upstream)
        async for event in upstream:
            match event:
                case e.SessionUpdated(session=session):
                    if not self.begun:
                        self.begun = True
                        await self._send_client(e.SessionCreated(session=self._as_ours(session)))
                    return None
                case e.ErrorEvent(error=error):
                    return server.lost(error.message, retryable=error.type == "server_error")
        return server.loss_of(upstream)

    async def run(self, server: UpstreamServer, upstream: Line) -> ProviderError:
        """Relay both ways until the server is lost; return the error."""
        if reason := server.reason or self.reason:
            await self.line.send(e.EngineChanged(engine=server.engine, reason=reason))
        self._upstream, self._silence = upstream, self.limits.upstream_silence_seconds
        if server.engine == "cascade":  # it has limits of its own, and may read a long history in silence
            self._silence = inf
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send_all, server, upstream)
            error = await self._receive_all(server, upstream)
            tasks.cancel_scope.cancel()
        return error

    async def _send_all(self, server: UpstreamServer, upstream: Line) -> None:
        """Send the server the history of the conversation, and then the client's events."""
        for create in self._replay.start(lambda item_id: self._state.audio.get(item_id, b"")):
            await self._send(upstream, server.adapt(create))
        if self._state.response_due and not self._outbox.has_response_create:
            await self._send(upstream, server.adapt(replace(self._due_request, event_id=e.new_id(REPLAY_ID))))
        self._offset_ms, self._outbox.is_connected = self._outbox.start_ms, True
        while True:
            async for event in self._for_server(await self._outbox.get()):
                await self._send(upstream, server.adapt(event))

    async def _for_server(self, event: e.ClientEvent) -> AsyncIterator[e.ClientEvent]:
        """Yield the events that the server receives for a client event; requests about items that the server
        does not have are answered here.
        """
        replay, conversation = self._replay, self._state.conversation
        match event:
            case e.ConversationItemTruncate(item_id=item_id, content_index=part, audio_end_ms=ms) if (
                replay.is_old(item_id) and conversation.spoken_ms(item_id) is not None
            ):
                truncated = e.ConversationItemTruncated(item_id=item_id, content_index=part, audio_end_ms=ms)
                await self._send_client(truncated)
                for change in replay.recreate(item_id):
                    yield change
            case e.ConversationItemRetrieve(item_id=item_id) if replay.is_old(item_id):
                if item := conversation.find(item_id):
                    await self._send_client(e.ConversationItemRetrieved(item=item))
            case e.ConversationItemDelete(item_id=item_id) if replay.is_old(item_id) and replay.is_missing(
                item_id
            ):
                await self._send_client(e.ConversationItemDeleted(item_id=item_id))
            case e.ConversationItemCreate(item=item) if conversation.purpose(item):
                await self._withhold(item, conversation.last_id)
            case e.ResponseCreate(response=ResponseParams(input=tuple(items)) as params):
                found = [conversation.find(one.id) if isinstance(one, ItemReference) else one for one in items]
                kept = [
                    one
                    for one, item in zip(items, found, strict=True)
                    if not (item and conversation.purpose(item))
                ]
                yield replace(event, response=replace(params, input=tuple(kept)))
            case _:
                yield event

    async def _withhold(self, item: Item, previous: str | None) -> None:
        """Add an item of the client's to the conversation without the server: an apology that is told again."""
        item = replace(item, object="realtime.item", status="completed")
        self._replay.withhold(item.id or "")
        await self._send_client(e.ConversationItemAdded(item=item, previous_item_id=previous))
        await self._send_client(e.ConversationItemDone(item=item, previous_item_id=previous))

    async def _send(self, upstream: Line, event: e.ClientEvent) -> None:
        """Send the server one event. A server that does not read for too long counts as lost."""
        try:
            sent = upstream.try_send(event)
            while not sent:
                with anyio.move_on_after(self.limits.send_seconds):
                    await upstream.send(event)
                    sent = True
                if not sent and self._receiving:  # otherwise the client is slow, not the server
                    self._patience.cancel()
                    return
        except HungUp:
            return  # `_receive_all` notices
        self._set_deadline()

    async def _receive_all(self, server: UpstreamServer, upstream: Line) -> ProviderError:
        """Send the server's events to the client, until the server is lost."""
        with anyio.CancelScope() as self._patience:
            while True:
                self._receiving = True
                self._set_deadline()
                event = await anext(upstream, None)
                # time in which the client does not read does not count as the server's silence
                self._receiving, self._patience.deadline = False, inf
                if event is None:
                    return server.loss_of(upstream)
                if isinstance(event, e.ErrorEvent) and event.error.code == SESSION_EXPIRED:
                    return server.lost("the session expired there")
                if ours := self._for_client(event):
                    await self._send_client(ours)
        return server.lost("it fell silent (limits.upstream_silence_seconds, limits.send_seconds)")

    def _set_deadline(self) -> None:
        """Set the deadline for the next event, if the server is expected to send one.

        What the client sends meanwhile, such as audio, does not move it.
        """
        if self._receiving:
            state = self._state
            due = state.has_open_response or state.response_due or self._outbox.has_response_create
            if not due:
                self._patience.deadline = inf
            elif self._patience.deadline == inf:
                self._patience.deadline = anyio.current_time() + self._silence

    # events of the server

    def _for_client(self, event: e.Event) -> e.Event | None:
        """Return the event that the client receives for a server event, if any."""
        if self._replay.acknowledge(event):
            if isinstance(event, e.TranscriptionCompleted):
                self._state.conversation.apply(event)  # its words are needed if it is replayed once more
            return None
        event, offset = self._replay.reposition(event), round(self._offset_ms)
        match event:
            case e.SessionCreated():
                return None
            case e.SessionUpdated(session=session):
                return replace(event, session=self._as_ours(session))
            case e.ErrorEvent():
                return self._error_for_client(event)
            case e.InputAudioBufferSpeechStarted(audio_start_ms=start):
                return replace(event, audio_start_ms=start + offset)
            case e.InputAudioBufferSpeechStopped(audio_end_ms=end):
                return replace(event, audio_end_ms=end + offset)
            case e.InputAudioBufferTimeoutTriggered(audio_start_ms=start, audio_end_ms=end):
                return replace(event, audio_start_ms=start + offset, audio_end_ms=end + offset)
            case _:
                return event

    def _as_ours(self, session: AnySession) -> AnySession:
        """Return a session with the id and expiry that the client knows."""
        return replace(session, id=self._session_id, expires_at=self._expires_at)

    def _error_for_client(self, event: e.ErrorEvent) -> e.ErrorEvent | None:
        """Return an error with the client's own event id, if it had one; errors about our events are logged."""
        event_id = event.error.event_id or ""
        self._outbox.pop_answered(event)
        if event_id.startswith(REPLAY_ID):
            if not self._replay.rejected(event_id):
                self._state.response_due = False
            log.warning("the upstream server rejects an event of ours: %s", event.error.message)
            return None
        if event_id.startswith(_RELAY_ID):
            return replace(event, error=replace(event.error, event_id=None))
        return event

    async def _send_client(self, event: e.Event) -> None:
        """Send the client an event, and update the state."""
        answered = self._outbox.pop_answered(event)
        match event:
            case e.SessionUpdated() if isinstance(answered, e.SessionUpdate):
                self.session = updated(self.session, answered.session)
            case e.ResponseCreated(response=response):
                self._count(response.id, unasked=answered is None)
                if response.conversation_id:
                    self._request = answered if isinstance(answered, e.ResponseCreate) else e.ResponseCreate()
            case e.ResponseDone(response=response) if response.usage:
                self._rates.add_tokens(response.usage.total_tokens, anyio.current_time())
            case e.InputAudioBufferCommitted():
                self._due_request = e.ResponseCreate()
            case e.ConversationItemAdded() if isinstance(answered, e.ConversationItemCreate):
                if audio := _untranscribed(answered.item):
                    self._state.keep_audio(answered.item.id or "", audio)
        self._state.apply(event)
        await self.line.send(event)
        if isinstance(event, e.ResponseDone):
            self._forget_fillers(event.response)

    def _forget_fillers(self, response: Response) -> None:
        """Delete a response's words on the server if they are no answer, so that its model never reads them."""
        for item in response.output if response.conversation_id else ():
            if self._state.conversation.purpose(item) and self._upstream:
                deletes = self._replay.delete(item.id or "")
                if not self._upstream.try_send(deletes):
                    log.warning("the upstream server is too slow to forget a filler")

    def _count(self, response_id: str, *, unasked: bool) -> None:
        """Count a response. One that the server began by itself cannot be refused, so it is cancelled."""
        now = anyio.current_time()
        refusal = self._rates.exceeded(now)
        self._rates.add_response(now)
        if refusal and unasked and self._upstream:
            log.warning("a response of the upstream server is cancelled: %s", refusal.message)
            self._upstream.try_send(e.ResponseCancel(event_id=e.new_id(REPLAY_ID), response_id=response_id))

    # when the server is lost

    async def on_lost(self, reason: str) -> None:
        """Close all that is open, and inform the client that no server answers; `reason` is readable text."""
        self._upstream, self.reason = None, "reconnected"
        self._outbox.disconnected()
        if self._state.is_answering and not self._state.is_user_speaking:
            self._state.response_due, self._due_request = True, self._request
        for event in list(self._state.close(f"the connection broke: {reason}")):
            await self.line.send(event)
        await self.line.send(e.EngineChanged(engine="lost", reason=reason))


def _untranscribed(item: Item) -> bytes:
    parts = item.content if isinstance(item, Message) else ()
    return b"".join(part.audio or b"" for part in parts if isinstance(part, InputAudio) and not part.transcript)
