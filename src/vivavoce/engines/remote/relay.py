"""One conversation with somebody far away: both ways, over as many connections as it takes."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
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
from vivavoce.engines.refusals import naming, not_a_clients, too_many_items
from vivavoce.engines.remote.books import Books
from vivavoce.engines.remote.options import SessionDialect, Settings, laid
from vivavoce.engines.remote.outbox import Outbox
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Item, McpApprovalResponse, Message
from vivavoce.protocol.session import Session
from vivavoce.protocol.tools import check_tools
from vivavoce.session.line import HungUp, Line

__all__ = ["Connect", "Relay", "UpstreamServer"]

log = logging.getLogger(__name__)

Connect = Callable[[Settings], AbstractAsyncContextManager[Line]]
"""Reaches somebody who answers a conversation that is held like this. Raises `ProviderError`."""

_THEIRS = "relay"
"""how the ids begin that we give to events of the caller which have none"""


@dataclass(frozen=True)
class UpstreamServer:
    """A server that answers. `name` is for logs; `adapt` makes of a client's event one that it understands."""

    name: str
    connect: Connect
    dialect: SessionDialect = field(default_factory=SessionDialect)
    adapt: Callable[[e.ClientEvent], e.ClientEvent] = lambda event: event
    engine: Literal["remote", "cascade"] = "remote"
    reason: str = ""
    """why this one answers, where another should"""
    on_failure: Callable[[], None] = lambda: None
    """is called when it cannot be reached"""

    def lost(self, message: str, *, retryable: bool = True) -> ProviderError:
        """Return why the connection to this server is over."""
        return ProviderError(self.name, message, retryable=retryable)

    def loss_of(self, line: Line) -> ProviderError:
        """Return why a line to this server has ended."""
        return (line.lost if isinstance(line, RemoteLine) else None) or self.lost("it hung up")


class Relay:
    """Carries both ways between a caller and whoever answers, and keeps what it takes to go on with another."""

    def __init__(self, line: Line, session: Settings, limits: Limits) -> None:
        """Hold the conversation on this line as `session` says, until the client says otherwise."""
        self.line, self.session, self.limits = line, session, limits
        self.begun = False
        """the caller was told `session.created`"""
        self._id = e.new_id("sess")
        self._expires_at = unix_now() + round(limits.conversation_minutes * 60)
        self._journal = Outbox(limits.line_depth, limits.upstream_audio_seconds)
        self._books = Books.kept(
            self._journal, seconds=limits.upstream_audio_seconds, image_bytes=limits.kept_image_bytes
        )
        self._replay = HistoryReplay(self._books.conversation)
        self._rates = RateLimits(responses=limits.responses_per_minute, tokens=limits.tokens_per_minute)
        self._asked = self._owed = e.ResponseCreate()
        """what the answer under way was asked for with, and the one that is to be asked for again"""
        self._offset_ms = 0.0
        """of the caller's sound that this far end has not heard"""
        self._far: Line | None = None
        self._patience = anyio.CancelScope()
        self._listening = False
        self._books.turns.hold(session)

    # from the caller

    async def hear(self) -> None:
        """Take down what the caller says, until they hang up."""
        async for event in self.line:
            try:
                said = self._checked(event)
                await self._journal.note(said, self._books.turns.bytes_per_ms)
            except ProtocolError as error:
                await self.line.refuse(naming(error, event))

    def _checked(self, event: e.Event) -> e.ClientEvent:
        """Return what the caller says, with names for what they have not named. Raises `ProtocolError`."""
        if not isinstance(event, e.ClientEvent):
            raise not_a_clients()
        if isinstance(event, e.InputAudioBufferAppend):
            return event
        self._check(event)
        if event.event_id is UNSET:
            event = replace(event, event_id=e.new_id(_THEIRS))
        if isinstance(event, e.ConversationItemCreate) and not isinstance(event.item, McpApprovalResponse):
            event = replace(event, item=replace(event.item, id=event.item.id or e.new_id("item")))
        return event

    def _check(self, event: e.ClientEvent) -> None:
        limits = self.limits
        match event:
            case e.SessionUpdate(session=Session(tools=tools)):
                check_tools(tools, "session", limits.tools)
            case e.ConversationItemCreate() if len(self._books.conversation) >= limits.items:
                raise too_many_items(limits)
            case e.ResponseCreate() if refusal := self._rates.refusal(anyio.current_time()):
                raise refusal
            case _:
                pass

    # one connection

    async def agree(self, end: UpstreamServer, far: Line) -> ProviderError | None:
        """Have the far end hold the conversation as it is to be held; return what it has against that."""
        introduction = end.dialect.introduction(self.session)
        with_us = e.SessionUpdate(event_id=e.new_id(REPLAY_ID), session=introduction)
        try:
            await far.send(end.adapt(with_us))
        except HungUp:
            return end.loss_of(far)
        async for event in far:
            match event:
                case e.SessionUpdated(session=session):
                    if not self.begun:
                        self.begun = True
                        await self._tell(e.SessionCreated(session=self._named(session)))
                    return None
                case e.ErrorEvent(error=error):
                    return end.lost(error.message, retryable=error.type == "server_error")
                case _:
                    pass
        return end.loss_of(far)

    async def carry(self, end: UpstreamServer, far: Line, why: str = "") -> ProviderError:
        """Carry both ways until the far end is lost; return why it is. `why` it was called is told."""
        if reason := end.reason or why:
            await self.line.send(e.EngineChanged(engine=end.engine, reason=reason))
        self._far = far
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._speak, end, far)
            lost = await self._listen(end, far)
            tasks.cancel_scope.cancel()
        return lost

    async def _speak(self, end: UpstreamServer, far: Line) -> None:
        """Tell the far end what has been said so far, and then whatever the caller says."""
        for item in self._replay.start(lambda item_id: self._books.turns.sounds.get(item_id, b"")):
            await self._say(far, end.adapt(item))
        if self._books.turns.owed and not self._journal.answer_wanted:
            await self._say(far, end.adapt(replace(self._owed, event_id=e.new_id(REPLAY_ID))))
        self._offset_ms = self._journal.begins_ms
        self._journal.found()
        while True:
            event = await self._journal.next()
            async for said in self._passed(event):
                if isinstance(said, e.SessionUpdate):
                    said = replace(said, session=end.dialect.update(said.session))
                await self._say(far, end.adapt(said))

    async def _passed(self, event: e.ClientEvent) -> AsyncIterator[e.ClientEvent]:
        """Give what the far end is to hear of an event; what is about old items it cannot know."""
        replay, conversation = self._replay, self._books.conversation
        match event:
            case e.ConversationItemTruncate(item_id=item_id, content_index=part, audio_end_ms=ms) if (
                replay.is_old(item_id) and conversation.spoken_ms(item_id) is not None
            ):
                await self._tell(
                    e.ConversationItemTruncated(item_id=item_id, content_index=part, audio_end_ms=ms)
                )
                for said in replay.recreate(item_id):
                    yield said
            case e.ConversationItemRetrieve(item_id=item_id) if replay.is_old(item_id):
                if item := conversation.find(item_id):
                    await self._tell(e.ConversationItemRetrieved(item=item))
            case e.ConversationItemDelete(item_id=item_id) if replay.is_old(item_id) and replay.is_missing(
                item_id
            ):
                await self._tell(e.ConversationItemDeleted(item_id=item_id))
            case _:
                yield event

    async def _say(self, far: Line, event: e.ClientEvent) -> None:
        """Say one event. A far end that takes none for too long is lost."""
        sent = False
        try:
            sent = far.try_send(event)
            while not sent:
                with anyio.move_on_after(self.limits.send_seconds):
                    await far.send(event)
                    sent = True
                if not sent and self._listening:  # else it is a slow caller who holds all of us up
                    self._patience.cancel()
                    return
        except HungUp:
            return  # who listens knows
        self._be_patient()

    async def _listen(self, end: UpstreamServer, far: Line) -> ProviderError:
        """Tell the caller what the far end says, until it is lost."""
        with anyio.CancelScope() as self._patience:
            async for event in self._patiently(far):
                if isinstance(event, e.ErrorEvent) and event.error.code == SESSION_EXPIRED:
                    return end.lost("the session expired there")
                for told in self._heard(event):
                    await self._tell(told)
            return end.loss_of(far)
        return end.lost("it fell silent (limits.upstream_silence_seconds, limits.send_seconds)")

    async def _patiently(self, far: Line) -> AsyncIterator[e.Event]:
        """Give what the far end says. A slow caller is not taken for a far end that says nothing."""
        while True:
            self._listening = True
            self._be_patient()
            event = await anext(far, None)
            self._listening, self._patience.deadline = False, inf
            if event is None:
                return
            yield event

    def _be_patient(self) -> None:
        """Wait only so long for a far end that has something to say."""
        books = self._books
        waiting = books.answers.busy or books.turns.owed or self._journal.answer_wanted
        if self._listening:
            wait = self.limits.upstream_silence_seconds if waiting else inf
            self._patience.deadline = anyio.current_time() + wait

    # from the far end

    def _heard(self, event: e.Event) -> Iterator[e.Event]:
        """Give what the caller is to hear of what the far end says."""
        if self._replay.acknowledge(event):
            if isinstance(event, e.TranscriptionCompleted):
                self._books.conversation.apply(event)  # its words are good to know, if it is told once more
            return
        event = self._replay.reposition(event)
        match event:
            case e.SessionCreated():
                return
            case e.SessionUpdated(session=session):
                yield replace(event, session=self._named(session))
            case e.ErrorEvent():
                yield from self._blamed(event)
            case e.InputAudioBufferSpeechStarted(audio_start_ms=ms):
                yield replace(event, audio_start_ms=self._in_our_time(ms))
            case e.InputAudioBufferSpeechStopped(audio_end_ms=ms):
                yield replace(event, audio_end_ms=self._in_our_time(ms))
            case e.InputAudioBufferTimeoutTriggered(audio_start_ms=begin, audio_end_ms=ms):
                begin, ms = self._in_our_time(begin), self._in_our_time(ms)
                yield replace(event, audio_start_ms=begin, audio_end_ms=ms)
            case _:
                yield event

    def _in_our_time(self, ms: int) -> int:
        return ms + round(self._offset_ms)

    def _named(self, session: Settings) -> Settings:
        """Return a session under the name by which the caller knows it."""
        return replace(session, id=self._id, expires_at=self._expires_at)

    def _blamed(self, event: e.ErrorEvent) -> Iterator[e.ErrorEvent]:
        """Give an error as the caller knows its cause; one of ours is for the log."""
        name = event.error.event_id or ""
        self._journal.settle(event)
        if name.startswith(REPLAY_ID):
            if not self._replay.rejected(name):
                self._books.turns.owed = False
            log.warning("the far end does not take what we tell it: %s", event.error.message)
        elif name.startswith(_THEIRS):
            yield replace(event, error=replace(event.error, event_id=None))
        else:
            yield event

    async def _tell(self, event: e.Event) -> None:
        """Tell the caller, and keep in mind what they have been told."""
        asked = self._journal.settle(event)
        match event:
            case e.SessionUpdated() if isinstance(asked, e.SessionUpdate):
                self.session = laid(self.session, asked.session)
            case e.ResponseCreated(response=response):
                self._count(response.id, by_itself=asked is None)
                if response.conversation_id:
                    self._asked = asked if isinstance(asked, e.ResponseCreate) else e.ResponseCreate()
            case e.ResponseDone(response=response) if response.usage:
                self._rates.spend(response.usage.total_tokens, anyio.current_time())
            case e.InputAudioBufferCommitted():
                self._owed = e.ResponseCreate()
            case e.ConversationItemAdded() if isinstance(asked, e.ConversationItemCreate):
                if sound := _sound(asked.item):
                    self._books.turns.keep(asked.item.id or "", sound)
            case _:
                pass
        self._books.tell(event)
        await self.line.send(event)

    def _count(self, response_id: str, *, by_itself: bool) -> None:
        """Count an answer. One that nobody asked for cannot be refused, but cut short."""
        now = anyio.current_time()
        refusal = self._rates.refusal(now)
        self._rates.begin(now)
        if refusal and by_itself and (far := self._far):
            log.warning("an answer of the far end is cancelled: %s", refusal.message)
            far.try_send(e.ResponseCancel(event_id=e.new_id(REPLAY_ID), response_id=response_id))

    # when it is lost

    async def lose(self, why: str) -> None:
        """Nobody is there: tell the caller so, and bring to an end what was under way."""
        books = self._books
        self._far = None
        self._journal.lose()
        if books.answers.speaking and not books.turns.open:
            books.turns.owed, self._owed = True, self._asked
        for event in list(books.closing(f"the connection broke: {why}")):
            await self.line.send(event)
        await self.line.send(e.EngineChanged(engine="lost", reason=why))


def _sound(item: Item) -> bytes:
    parts = item.content if isinstance(item, Message) else ()
    return b"".join(part.audio or b"" for part in parts if isinstance(part, InputAudio) and not part.transcript)
