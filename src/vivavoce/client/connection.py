"""The connection of a client to its server, with reconnection."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import anyio
from anyio.abc import TaskStatus

from vivavoce.client.notifications import ConnectionChanged
from vivavoce.connect import Endpoint, RemoteLine, connect, endpoint_at
from vivavoce.connect.reconnect import SESSION_EXPIRED, Reconnecting
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.dialects import Dialect
from vivavoce.session.line import Engine, HungUp, Line, open_line

log = logging.getLogger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[Line]]
"""Opens a line, and yields the client's end. Raises `ProviderError` if that fails, `ConfigError` if it
cannot succeed."""


def connector(
    server: "str | Endpoint | Engine | Connect", *, key: str | None, dialect: Dialect, limits: Limits
) -> Connect:
    """Return a function that connects to `server`: a URL, an endpoint, an engine, or such a function.

    Raises `ConfigError` for anything else.
    """
    if isinstance(server, str):
        server = endpoint_at(server, key=key, dialect=dialect)
    if isinstance(server, Endpoint):
        return partial(connect, server, depth=limits.line_depth, message_bytes=limits.message_bytes)
    if isinstance(server, Engine):
        return partial(_in_this_process, server, limits.line_depth)
    if not callable(server):
        raise ConfigError(
            f"{server!r} is no server: pass a URL, an Endpoint, an engine, or a function that opens a line."
        )
    return server


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


class Connection:
    """Keeps a line to the server open, reconnecting until either side hangs up.

    `greet(line, is_first)` is called for each new line, and sends what must precede all other events.
    `on_event` is called with every event of the server, `on_change` when the connection's state changes.
    """

    def __init__(
        self,
        connect: Connect,
        greet: Callable[[Line, bool], Awaitable[None]],
        on_event: Callable[[e.Event], Awaitable[None]],
        on_change: Callable[[ConnectionChanged], None],
        limits: Limits,
    ) -> None:
        self.line: Line | None = None
        self.closed = anyio.Event()
        self._connect, self._greet, self._on_event, self._on_change = connect, greet, on_event, on_change
        self._answer_seconds = limits.reply_seconds
        self._reconnecting = Reconnecting(
            limits.connect_attempts, limits.reconnect_attempts, on_retry=self._on_retry
        )
        self._scope: anyio.CancelScope | None = None
        self._changed, self._created = anyio.Event(), anyio.Event()
        self._error: ProviderError | None = None
        self._problem: ProviderError | None = None
        """why the current or the last line failed, if the server reported it"""

    @property
    def is_first(self) -> bool:
        """Whether no line was connected before this one."""
        return not self._reconnecting.was_connected

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Connect, and stay connected; return when the connection is closed for good.

        `task_status` is started when the first session has begun. Raises `ProviderError` or `ConfigError` if
        that never happens.
        """
        try:
            with anyio.CancelScope() as self._scope:
                self._error = await self._reconnecting.run(partial(self._use_line, task_status))
        finally:
            self.line = None
            self.closed.set()
            self._changed.set()
        if self.is_first:
            raise self._error or ProviderError("realtime", "the client has hung up before it was connected")
        self._on_change(ConnectionChanged("connection.closed", error=self._error))

    def hang_up(self) -> None:
        """Close the line, and do not connect again."""
        if self._scope is not None:
            self._scope.cancel()

    async def send(self, event: e.Event) -> None:
        """Send an event; waits while reconnecting. Raises `ProviderError` once the connection is closed."""
        while True:
            while self.line is None:
                if self.closed.is_set():
                    raise self._error or ProviderError("realtime", "the connection is closed; call connect()")
                await self._changed.wait()
            line = self.line
            try:
                return await line.send(event)
            except HungUp:
                self._drop(line)

    def _drop(self, line: Line) -> None:
        if self.line is line:
            self.line, self._changed = None, anyio.Event()

    def _on_retry(self, error: ProviderError, attempt: int, seconds: float) -> None:
        self._on_change(ConnectionChanged("connection.lost", attempt, seconds, error))

    async def _use_line(self, task_status: TaskStatus[None]) -> ProviderError | None:
        """Open one line and use it until it ends; return why it broke, or None if the server has hung up."""
        self._problem, self._created = None, anyio.Event()
        try:
            async with self._connect() as line, anyio.create_task_group() as tasks:
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
            await self._on_event(event)

    async def _begin(self, line: Line, task_status: TaskStatus[None], connecting: anyio.CancelScope) -> None:
        """Greet the server after `session.created`, in a task of its own: events must be received meanwhile."""
        with anyio.move_on_after(self._answer_seconds) as patience:
            await self._created.wait()
        if patience.cancelled_caught:
            problem = f"began no session within {self._answer_seconds:g} s (limits.reply_seconds)"
            self._problem = ProviderError("realtime", problem, retryable=True)
            connecting.cancel()
            return
        is_first = self.is_first
        try:
            await self._greet(line, is_first)
        except HungUp:
            return
        self._reconnecting.connected()
        self._problem, self.line = None, line
        self._changed.set()
        self._on_change(ConnectionChanged("connection.opened"))
        if is_first:
            task_status.started()
