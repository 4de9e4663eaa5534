"""One conversation of a client, from connecting to disconnecting, over however many lines that takes."""

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.client.connection import Connect, Connection
from vivavoce.client.event_log import EventLog
from vivavoce.client.handlers import Handlers
from vivavoce.client.notifications import ConnectionChanged, Happening
from vivavoce.client.session_handle import ClientSessionHandle
from vivavoce.client.settings import SessionOptions
from vivavoce.client.view import ConversationView
from vivavoce.connect.history_replay import replayable_items
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce.session.line import Line
from vivavoce.session.middleware import ObservedEvent
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Tool

__all__ = ["Call", "Wanted"]

CANCELS = 16
"""wishes to cancel an answer of which it is remembered that they may come too late"""

log = logging.getLogger(__name__)


@dataclass
class Wanted:
    """How the user wants conversations to be held."""

    wishes: SessionOptions = field(default_factory=SessionOptions)
    tools: dict[str, Tool] = field(default_factory=dict)

    @property
    def update(self) -> e.SessionUpdate | None:
        """All of it for a server that knows nothing yet; the toolbox adds its tools."""
        if not self.wishes and not self.tools:
            return None
        session = self.wishes.session
        if isinstance(session, Session) and session.tools is UNSET and self.tools:
            session = replace(session, tools=())
        return e.SessionUpdate(session=session)


class Call:
    """Joins what a conversation needs: the line, the view of what was said, the tools, those who are told."""

    def __init__(
        self, connect: Connect, wanted: Wanted, handlers: Handlers, events: EventLog, limits: Limits
    ) -> None:
        self.view = ConversationView(limits.item_audio_seconds)
        self.link = Connection(connect, self._greet, self._hear, self._is_connected, limits)
        self._wanted, self._handlers, self._log, self._limits = wanted, handlers, events, limits
        self._toolbox = Toolbox(tuple(wanted.tools.values()), limits=limits, caller="client")
        self._handle = ClientSessionHandle(self._say, self._show)
        self._tools_are_known = True
        self._cancels: deque[str] = deque(maxlen=CANCELS)
        self._tasks: TaskGroup | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is a connection, or it is being made again."""
        return self._tasks is not None and not self.link.closed.is_set()

    async def begin(self, tasks: TaskGroup) -> None:
        """Be put through; the work is done in `tasks`. Raises `ProviderError` or `ConfigError`."""
        self._tasks = tasks
        tasks.start_soon(self._attend)
        await tasks.start(self.link.run)

    async def end(self) -> None:
        """Hang up, and return when that is done."""
        if self._tasks is None:
            return
        self.link.hang_up()
        await self.link.closed.wait()

    async def _attend(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._toolbox.run, self._handle)
            await self.link.closed.wait()
            tasks.cancel_scope.cancel()

    # what we say

    async def send(self, event: e.ClientEvent) -> None:
        """Say what the user says. Raises `ProviderError` if nobody hears it any more."""
        await self.tell_tools()
        passed = self._toolbox.intercept(event)
        if passed is not None:
            await self._say(passed)

    async def tell_tools(self) -> None:
        """Tell the server which tools there are, if that has changed."""
        if not self._tools_are_known and self.link.line:
            self._tools_are_known = True
            await self._say(e.SessionUpdate(session=self._toolbox.session))

    def tools_changed(self) -> None:
        """Have the server told of other tools: before anything else is said, or as soon as that can be."""
        self._toolbox.tools = tuple(self._wanted.tools.values())
        self._tools_are_known = False
        if self._tasks is not None:
            self._tasks.start_soon(self._tell_tools_soon)

    async def _tell_tools_soon(self) -> None:
        try:
            await self.tell_tools()
        except ProviderError as error:
            log.debug("nobody is told of the tools: %s", error)

    async def cancel(self) -> None:
        """Cancel the answer under way. That it has ended by itself just now is no error."""
        if self.view.is_answering:
            event = e.ResponseCancel(event_id=e.new_id("event"))
            self._cancels.append(event.event_id or "")
            await self.send(event)

    async def _say(self, event: e.ClientEvent) -> None:
        event = _with_id(event)
        await self.link.send(event)
        self._note(event, "client")

    async def _greet(self, line: Line, is_first: bool) -> None:
        """Say how the conversation is to be held, and on a new line, what was said in it so far."""
        self._tools_are_known = True
        update = self._wanted.update
        passed = self._toolbox.intercept(update) if update else None
        events = [passed]
        if not is_first:
            items = replayable_items(self.view.conversation, self.view.sounds.stored)
            events += [*(e.ConversationItemCreate(item=item) for item in items), *self.view.unconfirmed]
        for event in filter(None, events):
            await line.send(event)
            self._note(event, "client")

    # what happens

    async def _hear(self, event: e.Event) -> None:
        self._note(event, "server")
        happened: list[Happening] = [event, *self.view.hear(event)]
        if self._handle.is_ours(event) or self._was_expected(event):
            return
        awaited = [self._tell(one) for one in happened]
        if any(awaited):
            await checkpoint()  # who has waited for this may want to wait for what is next

    def _was_expected(self, event: e.Event) -> bool:
        """Say whether there was nothing left to cancel, of which a voice that stops by itself knows nothing."""
        if not isinstance(event, e.ErrorEvent) or event.error.code != "response_cancel_not_active":
            return False
        return event.error.event_id in self._cancels

    def _note(self, event: e.Event, by: Literal["client", "server"]) -> None:
        self._log.note(event, by)
        self._have_toolbox_hear(event, by)
        if isinstance(event, e.ClientEvent):
            self.view.say(event)
            self._tell(event)

    def _have_toolbox_hear(self, event: e.Event, by: Literal["client", "server"]) -> None:
        """Let the tools hear what passes; a new line is to them the same conversation."""
        if isinstance(event, e.SessionCreated) and not self.link.is_first:
            event = e.SessionUpdated(session=event.session)
        self._toolbox.on_event(ObservedEvent(event, by, anyio.current_time()))

    def _show(self, event: e.OwnEvent) -> None:
        self._log.note(event, "server")
        self._tell(event)

    def _is_connected(self, news: ConnectionChanged) -> None:
        """Take in how the connection is."""
        if news.name == "connection.lost":
            self._have_failed()
        if news.name != "connection.opened":
            for notice in self.view.break_off():
                self._tell(notice)
        self._tell(news)
        if news.name == "connection.closed":
            self._handlers.close(news.error)

    def _have_failed(self) -> None:
        """Let nobody wait on the next line for what the server would have said on this one."""
        self._have_toolbox_hear(e.InputAudioBufferCleared(), "server")
        for event in self.view.lost():
            self._have_toolbox_hear(event, "server")
            self._tell(event)

    def _tell(self, happening: Happening) -> bool:
        return self._tasks is not None and self._handlers.tell(happening, self._tasks)


def _with_id(event: e.ClientEvent) -> e.ClientEvent:
    """Return an event by a name of its own, or with an item that has one, where what becomes of it matters."""
    if isinstance(event, e.ResponseCreate) and event.event_id is UNSET:
        return replace(event, event_id=e.new_id("event"))
    if isinstance(event, e.ConversationItemCreate) and event.item.id is UNSET:
        return replace(event, item=replace(event.item, id=e.new_id("item")))
    return event
