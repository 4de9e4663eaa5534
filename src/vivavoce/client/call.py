"""One conversation of a client, from connecting to disconnecting, across reconnections."""

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.client.event_log import EventLog
from vivavoce.client.handlers import Handlers
from vivavoce.client.notifications import ConnectionChanged, Emitted
from vivavoce.client.settings import Json, session_with
from vivavoce.client.view import ConversationView
from vivavoce.connect import Endpoint, RemoteLine, connect
from vivavoce.connect.history_replay import replayable_items
from vivavoce.connect.reconnect import SESSION_EXPIRED, Reconnecting
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce.session.line import Engine, HungUp, Line, open_line
from vivavoce.session.middleware import ObservedEvent
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Tool

CANCELS = 16
"""ids of `response.cancel` events that are kept: their error, if they came too late, is not reported"""
TOOLBOX_EVENTS = 256
"""ids of events sent by the toolbox that are kept: their errors are not reported to handlers"""

log = logging.getLogger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[Line]]
"""Opens a line, and yields the client's end. Raises `ProviderError` if that fails, `ConfigError` if it
cannot succeed."""


def connector(server: "Endpoint | Engine | Connect", *, limits: Limits) -> Connect:
    """Return a function that connects to `server`: an endpoint, an engine, or such a function.

    Raises `ConfigError` for anything else.
    """
    if isinstance(server, Endpoint):
        return partial(connect, server, depth=limits.line_depth, message_bytes=limits.message_bytes)
    if isinstance(server, Engine):
        return partial(_in_this_process, server, limits.line_depth)
    if not callable(server):
        raise ConfigError(
            f"{server!r} is no server: pass a URL, an Endpoint, an engine, or a function that opens a line."
        )
    return server


def asking(server: "Endpoint | Engine | Connect", **query: str) -> Endpoint:
    """Return the endpoint that is asked for more in its query. Raises `ConfigError` for what is no server."""
    if not isinstance(server, Endpoint):
        raise ConfigError(f"Only a server knows {' and '.join(query)}: pass its URL, or an Endpoint.")
    return server.with_query(**query)


@asynccontextmanager
async def _in_this_process(engine: Engine, depth: int) -> AsyncIterator[Line]:
    """Open a line to an engine in this process. An exception of the engine propagates to the client."""

    async def converse(line: Line) -> None:
        async with line:
            try:
                await engine.converse(line)
            except* HungUp:
                log.debug("the client hung up")

    ours, engines = open_line(depth)
    async with anyio.create_task_group() as tasks, ours:
        tasks.start_soon(converse, engines)
        yield ours
        tasks.cancel_scope.cancel()


@dataclass
class SessionSetup:
    """The settings (as JSON, the latest value of each) and the tools with which a session begins."""

    settings: Json = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)

    @property
    def update(self) -> e.SessionUpdate | None:
        """The `session.update` for a new session, or None if nothing is set."""
        if not self.settings and not self.tools:
            return None
        session = session_with(self.settings)
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
    """Keeps a line to the server open, reconnecting until either side hangs up, and passes its events on.

    The first line is opened by `begin`, and after a loss by `connect`. They go to the view, the toolbox, the
    handlers and the log. `line` is None until a session has begun, and
    while reconnecting; `closed` is set when there will be no further line.
    """

    def __init__(
        self,
        begin: Connect,
        connect: Connect,
        setup: SessionSetup,
        handlers: Handlers,
        events: EventLog,
        limits: Limits,
    ) -> None:
        self.view = ConversationView(limits.item_audio_seconds)
        self.line: Line | None = None
        self.closed = anyio.Event()
        self._begin_line, self._connect = begin, connect
        self._setup, self._handlers, self._log = setup, handlers, events
        self._answer_seconds = limits.reply_seconds
        attempts = limits.connect_attempts, limits.reconnect_attempts
        self._reconnecting = Reconnecting(*attempts, on_retry=self._on_retry)
        self._scope: anyio.CancelScope | None = None
        self._changed, self._created = anyio.Event(), anyio.Event()
        self._error: ProviderError | None = None
        self._problem: ProviderError | None = None
        """why the current or the last line failed, if the server reported it"""
        self._toolbox = Toolbox(tuple(setup.tools.values()), limits=limits, caller="client")
        self._handle = _ToolboxHandle(self)
        self._tools_are_sent = True
        self._cancels: deque[str] = deque(maxlen=CANCELS)
        self._tasks: TaskGroup | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is a connection, or the client is reconnecting."""
        return self._tasks is not None and not self.closed.is_set()

    async def start(self, tasks: TaskGroup) -> None:
        """Connect; background tasks run in `tasks`. Raises `ProviderError` or `ConfigError`."""
        self._tasks, self._scope = tasks, anyio.CancelScope()
        tasks.start_soon(self._run_toolbox)
        await tasks.start(self._stay_connected, self._scope)

    async def end(self) -> None:
        """Close the connection, and return when it is closed."""
        if self._scope is not None:
            self._scope.cancel()
            await self.closed.wait()

    async def _run_toolbox(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._toolbox.run, self._handle)
            await self.closed.wait()
            tasks.cancel_scope.cancel()

    # the connection

    async def _stay_connected(self, scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        """Connect, and stay connected; return when the connection is closed for good.

        `task_status` is started when the first session has begun. Raises `ProviderError` or `ConfigError` if
        that never happens.
        """
        try:
            with scope:
                self._error = await self._reconnecting.run(partial(self._use_line, task_status))
        finally:
            self.line = None
            self.closed.set()
            self._changed.set()
        if not self._reconnecting.was_connected:
            raise self._error or ProviderError("realtime", "the client has hung up before it was connected")
        self._on_disconnected(ConnectionChanged("connection.closed", error=self._error))
        self._handlers.close(self._error)

    async def _use_line(self, task_status: TaskStatus[None]) -> ProviderError | None:
        """Open one line and use it until it ends; return why it broke, or None if the server has hung up."""
        self._problem, self._created = None, anyio.Event()
        try:
            # after a loss the items are told again by us, the earlier conversation's too
            connect = self._connect if self._reconnecting.was_connected else self._begin_line
            async with connect() as line, anyio.create_task_group() as tasks:
                tasks.start_soon(self._begin, line, task_status, tasks.cancel_scope)
                await self._receive(line)
                self._drop(line)
                tasks.cancel_scope.cancel()
        except ProviderError as error:  # there was no line
            return error
        if isinstance(line, RemoteLine) and line.lost:
            return line.lost
        if not self._reconnecting.is_connected and self._problem is None:
            return ProviderError("realtime", "the server has hung up before it began a session")
        return self._problem

    async def _begin(self, line: Line, task_status: TaskStatus[None], connecting: anyio.CancelScope) -> None:
        """Greet the server after `session.created`, in a task of its own: events must be received meanwhile."""
        with anyio.move_on_after(self._answer_seconds) as patience:
            await self._created.wait()
        if patience.cancelled_caught:
            problem = f"began no session within {self._answer_seconds:g} s (limits.reply_seconds)"
            self._problem = ProviderError("realtime", problem, retryable=True)
            connecting.cancel()
            return
        is_first = not self._reconnecting.was_connected
        try:
            await self._greet(line, is_first)
        except HungUp:
            return
        self._reconnecting.connected()
        self._problem, self.line = None, line
        self._changed.set()
        self._emit(ConnectionChanged("connection.opened"))
        if is_first:
            task_status.started()

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

    def _drop(self, line: Line) -> None:
        if self.line is line:
            self.line, self._changed = None, anyio.Event()

    def _on_retry(self, error: ProviderError, attempt: int, seconds: float) -> None:
        # the toolbox must not wait for events that will never arrive
        self._observe(e.InputAudioBufferCleared(), "server")
        for event in self.view.failed_responses():
            self._observe(event, "server")
            self._emit(event)
        self._on_disconnected(ConnectionChanged("connection.lost", attempt, seconds, error))

    def _on_disconnected(self, change: ConnectionChanged) -> None:
        for notification in (*self.view.on_disconnected(), change):
            self._emit(notification)

    # client events

    async def send(self, event: e.ClientEvent) -> None:
        """Send an event of the application. Raises `ProviderError` once the connection is closed."""
        await self._send_tools()
        passed = self._toolbox.intercept(event)
        if passed is not None:
            await self.transmit(passed)

    def update_tools(self) -> None:
        """Schedule a `session.update` with the current tools; it precedes any other event that is sent."""
        self._toolbox.session_tools.tools = tuple(self._setup.tools.values())
        self._tools_are_sent = False
        if self._tasks is not None:
            self._tasks.start_soon(self._send_tools_soon)

    async def _send_tools_soon(self) -> None:
        try:
            await self._send_tools()
        except ProviderError as error:
            log.debug("the tools are not sent: %s", error)

    async def _send_tools(self) -> None:
        if not self._tools_are_sent and self.line:
            self._tools_are_sent = True
            await self.transmit(e.SessionUpdate(session=self._toolbox.session_tools.session))

    async def cancel(self) -> None:
        """Cancel the response in progress. If it has ended in the meantime, that is no error."""
        if self.view.is_answering:
            event = e.ResponseCancel(event_id=e.new_id("event"))
            self._cancels.append(event.event_id or "")
            await self.send(event)

    async def transmit(self, event: e.ClientEvent) -> None:
        """Send an event without the toolbox, with the ids by which the server's confirmation is recognized.

        Waits while reconnecting. Raises `ProviderError` once the connection is closed.
        """
        if isinstance(event, e.ResponseCreate) and event.event_id is UNSET:
            event = replace(event, event_id=e.new_id("event"))
        if isinstance(event, e.ConversationItemCreate) and event.item.id is UNSET:
            event = replace(event, item=replace(event.item, id=e.new_id("item")))
        while True:
            while (line := self.line) is None:
                if self.closed.is_set():
                    raise self._error or ProviderError("realtime", "the connection is closed; call connect()")
                await self._changed.wait()
            try:
                await line.send(event)
            except HungUp:
                self._drop(line)
            else:
                return self._note(event, "client")

    # server events and notifications

    async def _receive(self, line: Line) -> None:
        async for event in line:
            match event:
                case e.SessionCreated():
                    self._created.set()
                case e.ErrorEvent(error=error) if error.code == SESSION_EXPIRED:
                    self._problem = ProviderError("realtime", error.message, retryable=True)
                case e.ErrorEvent(error=error) if not self._reconnecting.is_connected:
                    self._problem = ProviderError("realtime", error.message)
                case _:
                    pass
            self._note(event, "server")
            emitted: list[Emitted] = [event, *self.view.on_received(event)]
            if isinstance(event, e.ErrorEvent) and self._is_internal(event.error):
                continue
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
        if isinstance(event, e.SessionCreated) and self._reconnecting.was_connected:
            event = e.SessionUpdated(session=event.session)
        self._toolbox.on_event(ObservedEvent(event, source, anyio.current_time()))

    def emit_own(self, event: e.OwnEvent) -> None:
        """Log and emit an event of vivavoce's extensions to the protocol."""
        self._log.on_event(ObservedEvent(event, "server", anyio.current_time()))
        self._emit(event)

    def _emit(self, emitted: Emitted) -> bool:
        return self._tasks is not None and self._handlers.emit(emitted, self._tasks)
