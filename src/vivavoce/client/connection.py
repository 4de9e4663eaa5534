"""Holding a line to a server: calling, hearing what it says, and calling again when the connection breaks."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.abc import TaskStatus

from vivavoce.client.notifications import ConnectionChanged
from vivavoce.connect import Endpoint, RemoteLine, backoff, connect, endpoint_at
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.dialects import ClientDialect
from vivavoce.session.line import Engine, HungUp, Line, open_line

__all__ = ["Connect", "Connection", "way_to"]

log = logging.getLogger(__name__)

STEADY_SECONDS = 10
"""a connection that has lasted so long was a good one: the count of attempts begins anew"""
EXPIRED = "session_expired"
"""with this error a server ends a conversation that took too long; it may go on in another"""


Connect = Callable[[], AbstractAsyncContextManager[Line]]
"""Gives our end of a line. Raises `ProviderError` if that cannot be, `ConfigError` if it never can."""


@asynccontextmanager
async def _beside(engine: Engine, depth: int) -> AsyncIterator[Line]:
    """Give our end of a line to an engine. What the engine raises is an error of ours, and ends the client."""
    near, far = open_line(depth)
    async with anyio.create_task_group() as tasks, near:
        tasks.start_soon(_converse, engine, far)
        yield near
        tasks.cancel_scope.cancel()


def way_to(
    where: "str | Endpoint | Engine | Connect", *, key: str | None, dialect: ClientDialect, limits: Limits
) -> Connect:
    """Return how to call an address, a place, or an engine in this process. Raises `ConfigError` for others."""
    if isinstance(where, str):
        where = endpoint_at(where, key=key, dialect=dialect)
    if isinstance(where, Endpoint):
        return partial(connect, where, depth=limits.line_depth, message_bytes=limits.message_bytes)
    if isinstance(where, Engine):
        return partial(_beside, where, limits.line_depth)
    if not callable(where):
        raise ConfigError(f"{where!r} is no server: give an address, a Place, an engine, or what gives a line.")
    return where


async def _converse(engine: Engine, line: Line) -> None:
    async with line:
        try:
            await engine.converse(line)
        except* HungUp:
            log.debug("the client hung up")


@dataclass
class Connection:
    """One line after the other to the same server, until somebody hangs up.

    `greet` is given each new line, and whether it is the first, to say what the server is to know before
    anything else. `hear` is told what the server says, `tell` how the connection is.
    """

    connect: Connect
    greet: Callable[[Line, bool], Awaitable[None]]
    hear: Callable[[e.Event], Awaitable[None]]
    tell: Callable[[ConnectionChanged], None]
    limits: Limits
    line: Line | None = None
    is_first: bool = True
    """whether no line was ever there before"""
    over: anyio.Event = field(default_factory=anyio.Event)
    _scope: anyio.CancelScope | None = None
    _news: anyio.Event = field(default_factory=anyio.Event)
    _created: anyio.Event = field(default_factory=anyio.Event)
    _error: ProviderError | None = None
    _trouble: ProviderError | None = None
    """why the line that there is, or was last, is no good"""
    _since: float | None = None
    """when that line was there and greeted"""

    async def hold(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Call, and stay on the line; return when it is over, for whatever reason.

        It has started when the server was greeted first. Raises `ProviderError` or `ConfigError` if that never
        happens.
        """
        try:
            with anyio.CancelScope() as self._scope:
                await self._hold(task_status)
        finally:
            self.line = None
            self.over.set()
            self._news.set()
        if self.is_first:
            raise self._error or ProviderError("realtime", "the client has hung up before it was put through")
        self.tell(ConnectionChanged("connection.closed", error=self._error))

    def hang_up(self) -> None:
        """Leave the line, and do not call again."""
        if self._scope is not None:
            self._scope.cancel()

    async def send(self, event: e.Event) -> None:
        """Say an event; wait while there is no line. Raises `ProviderError` if there will be none."""
        while True:
            line = await self._there()
            try:
                return await line.send(event)
            except HungUp:
                self._leave(line)

    async def _there(self) -> Line:
        while self.line is None:
            if self.over.is_set():
                raise self._error or ProviderError("realtime", "the connection is closed; call connect()")
            await self._news.wait()
        return self.line

    def _leave(self, line: Line) -> None:
        if self.line is line:
            self.line, self._news = None, anyio.Event()

    async def _hold(self, task_status: TaskStatus[None]) -> None:
        attempt = 0
        while True:
            lost = await self._call(task_status)
            if lost is None:
                return
            attempt = 1 if self._was_steady() else attempt + 1
            most = self.limits.connect_attempts - 1 if self.is_first else self.limits.reconnect_attempts
            if not lost.retryable or attempt > most:
                self._error = lost
                return
            seconds = backoff(attempt)
            log.warning("%s; calling again in %.1f s (%d of %d)", lost, seconds, attempt, most)
            self.tell(ConnectionChanged("connection.lost", attempt, seconds, lost))
            await anyio.sleep(seconds)

    def _was_steady(self) -> bool:
        return self._since is not None and anyio.current_time() - self._since > STEADY_SECONDS

    def _begin(self) -> None:
        self._trouble, self._since, self._created = None, None, anyio.Event()

    async def _call(self, task_status: TaskStatus[None]) -> ProviderError | None:
        """Hold one line until it ends; return why it broke, or None if the server has hung up."""
        self._begin()
        try:
            async with self.connect() as line, anyio.create_task_group() as tasks:
                tasks.start_soon(self._welcome, line, task_status, tasks.cancel_scope)
                await self._listen(line)
                self._leave(line)
                tasks.cancel_scope.cancel()
        except ProviderError as error:  # there was no line
            return error
        if isinstance(line, RemoteLine) and line.lost:
            return line.lost
        if self._since is None and self._trouble is None:
            return ProviderError("realtime", "the server has hung up before it began a session")
        return self._trouble

    async def _listen(self, line: Line) -> None:
        async for event in line:
            if isinstance(event, e.SessionCreated):
                self._created.set()
            elif isinstance(event, e.ErrorEvent) and (event.error.code == EXPIRED or self._since is None):
                is_over = event.error.code == EXPIRED
                self._trouble = ProviderError("realtime", event.error.message, retryable=is_over)
            await self.hear(event)

    async def _welcome(self, line: Line, task_status: TaskStatus[None], calling: anyio.CancelScope) -> None:
        """Greet the server when it has begun a session: while it listens, for it may answer at length."""
        with anyio.move_on_after(self.limits.answer_seconds) as patience:
            await self._created.wait()
        if patience.cancelled_caught:
            problem = f"began no session within {self.limits.answer_seconds:g} s (limits.answer_seconds)"
            self._trouble = ProviderError("realtime", problem, retryable=True)
            calling.cancel()
            return
        try:
            await self.greet(line, self.is_first)
        except HungUp:
            return
        self._since, self._trouble = anyio.current_time(), None
        self.line = line
        self._news.set()
        was_first, self.is_first = self.is_first, False
        self.tell(ConnectionChanged("connection.opened"))
        if was_first:
            task_status.started()
