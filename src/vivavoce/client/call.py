"""One conversation of a client, from connecting to disconnecting, across reconnections."""

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
from vivavoce.client.notifications import ConnectionChanged, Emitted
from vivavoce.client.settings import SessionOptions
from vivavoce.client.view import ConversationView
from vivavoce.connect.history_replay import replayable_items
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce.session.line import HungUp, Line
from vivavoce.session.middleware import ObservedEvent
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Tool

CANCELS = 16
"""ids of `response.cancel` events that are kept: their error, if they came too late, is not reported"""
TOOLBOX_EVENTS = 256
"""ids of events sent by the toolbox that are kept: their errors are not reported to handlers"""

log = logging.getLogger(__name__)


@dataclass
class SessionSetup:
    """The settings and tools that the server is sent when a session begins."""

    options: SessionOptions = field(default_factory=SessionOptions)
    tools: dict[str, Tool] = field(default_factory=dict)

    @property
    def update(self) -> e.SessionUpdate | None:
        """The `session.update` for a new session, or None if nothing is set."""
        if not self.options and not self.tools:
            return None
        session = self.options.session
        if isinstance(session, Session) and session.tools is UNSET and self.tools:
            session = replace(session, tools=())  # the toolbox adds its tools only where `tools` is set
        return e.SessionUpdate(session=session)


@dataclass
class _ToolboxHandle:
    """Sends the toolbox's events, waiting while there is no connection, and keeps their ids."""

    call: "Call"
    sent: deque[str] = field(default_factory=lambda: deque(maxlen=TOOLBOX_EVENTS))

    async def send(self, event: e.ClientEvent) -> None:
        """Send an event that the toolbox created."""
        if event.event_id is UNSET:
            event = replace(event, event_id=e.new_id("event"))
        self.sent.append(event.event_id or "")
        await self.resume(event)

    async def resume(self, event: e.ClientEvent) -> None:
        """Send an event of the application that the toolbox had intercepted."""
        try:
            await self.call.transmit(event)
        except ProviderError as error:
            raise HungUp from error

    async def notify(self, event: e.OwnEvent) -> None:
        """Emit an event of vivavoce's extensions to the protocol."""
        self.call.emit_own(event)


class Call:
    """Connects the parts of a conversation: connection, view, toolbox, handlers and log."""

    def __init__(
        self, connect: Connect, setup: SessionSetup, handlers: Handlers, events: EventLog, limits: Limits
    ) -> None:
        self.view = ConversationView(limits.item_audio_seconds)
        self.connection = Connection(connect, self._greet, self._on_event, self._on_change, limits)
        self._setup, self._handlers, self._log = setup, handlers, events
        self._toolbox = Toolbox(tuple(setup.tools.values()), limits=limits, caller="client")
        self._handle = _ToolboxHandle(self)
        self._tools_are_sent = True
        self._cancels: deque[str] = deque(maxlen=CANCELS)
        self._tasks: TaskGroup | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is a connection, or the client is reconnecting."""
        return self._tasks is not None and not self.connection.closed.is_set()

    async def start(self, tasks: TaskGroup) -> None:
        """Connect; background tasks run in `tasks`. Raises `ProviderError` or `ConfigError`."""
        self._tasks = tasks
        tasks.start_soon(self._run_toolbox)
        await tasks.start(self.connection.run)

    async def end(self) -> None:
        """Close the connection, and return when it is closed."""
        if self._tasks is not None:
            self.connection.hang_up()
            await self.connection.closed.wait()

    async def _run_toolbox(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._toolbox.run, self._handle)
            await self.connection.closed.wait()
            tasks.cancel_scope.cancel()

    # client events

    async def send(self, event: e.ClientEvent) -> None:
        """Send an event of the application. Raises `ProviderError` once the connection is closed."""
        await self._send_tools()
        passed = self._toolbox.intercept(event)
        if passed is not None:
            await self.transmit(passed)

    def update_tools(self) -> None:
        """Schedule a `session.update` with the current tools; it precedes any other event that is sent."""
        self._toolbox.tools = tuple(self._setup.tools.values())
        self._tools_are_sent = False
        if self._tasks is not None:
            self._tasks.start_soon(self._send_tools_soon)

    async def _send_tools_soon(self) -> None:
        try:
            await self._send_tools()
        except ProviderError as error:
            log.debug("the tools are not sent: %s", error)

    async def _send_tools(self) -> None:
        if not self._tools_are_sent and self.connection.line:
            self._tools_are_sent = True
            await self.transmit(e.SessionUpdate(session=self._toolbox.session))

    async def cancel(self) -> None:
        """Cancel the response in progress. If it has ended in the meantime, that is no error."""
        if self.view.is_answering:
            event = e.ResponseCancel(event_id=e.new_id("event"))
            self._cancels.append(event.event_id or "")
            await self.send(event)

    async def transmit(self, event: e.ClientEvent) -> None:
        """Send an event without the toolbox, with the ids by which the server's confirmation is recognized."""
        if isinstance(event, e.ResponseCreate) and event.event_id is UNSET:
            event = replace(event, event_id=e.new_id("event"))
        if isinstance(event, e.ConversationItemCreate) and event.item.id is UNSET:
            event = replace(event, item=replace(event.item, id=e.new_id("item")))
        await self.connection.send(event)
        self._note(event, "client")

    async def _greet(self, line: Line, is_first: bool) -> None:
        """Send the session's settings; after a reconnection, also the conversation so far."""
        self._tools_are_sent = True
        update = self._setup.update
        events = [self._toolbox.intercept(update) if update else None]
        if not is_first:
            items = replayable_items(self.view.conversation, self.view.audio.stored)
            events += [*(e.ConversationItemCreate(item=item) for item in items), *self.view.unconfirmed]
        for event in filter(None, events):
            await line.send(event)
            self._note(event, "client")

    # server events and notifications

    async def _on_event(self, event: e.Event) -> None:
        self._note(event, "server")
        emitted: list[Emitted] = [event, *self.view.on_received(event)]
        if isinstance(event, e.ErrorEvent) and self._is_internal(event.error):
            return
        awaited = [self._emit(one) for one in emitted]
        if any(awaited):
            await checkpoint()  # lets the waiting task run now, so that it can wait for the next event

    def _is_internal(self, error: e.ErrorDetails) -> bool:
        """Return whether an error is about an event of the toolbox, or about a `response.cancel` too late."""
        if error.code == "response_cancel_not_active" and error.event_id in self._cancels:
            return True
        return error.event_id in self._handle.sent

    def _note(self, event: e.Event, source: Literal["client", "server"]) -> None:
        self._log.on_event(ObservedEvent(event, source, anyio.current_time()))
        self._observe(event, source)
        if isinstance(event, e.ClientEvent):
            self.view.on_sent(event)
            self._emit(event)

    def _observe(self, event: e.Event, source: Literal["client", "server"]) -> None:
        """Pass an event to the toolbox, for which a reconnection continues the same session."""
        if isinstance(event, e.SessionCreated) and not self.connection.is_first:
            event = e.SessionUpdated(session=event.session)
        self._toolbox.on_event(ObservedEvent(event, source, anyio.current_time()))

    def emit_own(self, event: e.OwnEvent) -> None:
        """Log and emit an event of vivavoce's extensions to the protocol."""
        self._log.on_event(ObservedEvent(event, "server", anyio.current_time()))
        self._emit(event)

    def _on_change(self, change: ConnectionChanged) -> None:
        if change.name == "connection.lost":  # the toolbox must not wait for events that will never arrive
            self._observe(e.InputAudioBufferCleared(), "server")
            for event in self.view.failed_responses():
                self._observe(event, "server")
                self._emit(event)
        if change.name != "connection.opened":
            for notification in self.view.on_disconnected():
                self._emit(notification)
        self._emit(change)
        if change.name == "connection.closed":
            self._handlers.close(change.error)

    def _emit(self, emitted: Emitted) -> bool:
        return self._tasks is not None and self._handlers.emit(emitted, self._tasks)
