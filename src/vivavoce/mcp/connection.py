"""The connection to one MCP server: opened on demand, and reopened if it was lost."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from vivavoce.mcp.servers import TIMED_OUT, McpFailure, McpServers, McpSession, protocol_failure
from vivavoce.mcp.tools import is_allowed
from vivavoce.protocol.items import McpTool
from vivavoce.protocol.session import McpServerTool

log = logging.getLogger(__name__)

T = TypeVar("T")
_CLOSING_SECONDS = 2


def connection_key(server: McpServerTool) -> bytes:
    """Return a key that identifies a connection: the server, its credentials, and the allowed tools."""
    credentials = server.authorization or None, server.headers or None
    return msgspec.json.encode(
        (server.server_label, server.server_url, credentials, server.allowed_tools or None)
    )


@dataclass(eq=False)
class McpConnection:
    """One MCP server, used by the process or by one conversation. A task in `tasks` maintains the connection.

    Each request must be answered within `seconds`. Cancelling the task closes the session (MCP, "Session
    Management": `DELETE`), which takes two seconds at most.
    """

    server: McpServerTool
    connector: McpServers
    tasks: TaskGroup
    seconds: float
    tools: Sequence[McpTool] = ()
    listed: anyio.Event = field(default_factory=anyio.Event)
    """set by the user of this class when `tools` are known, or the listing has failed"""
    failed: bool = False
    calls: int = 0
    """calls in progress, counted by the user of this class"""
    _session: McpSession | None = None
    _lock: anyio.Lock = field(default_factory=anyio.Lock)
    _closing: anyio.Event = field(default_factory=anyio.Event)

    async def list_tools(self) -> Sequence[McpTool]:
        """Return the allowed tools of the server. Raises `McpFailure`."""
        found = await self._ask(lambda session: session.list_tools())
        self.tools = [tool for tool in found if is_allowed(tool, self.server)]
        return self.tools

    async def call_tool(self, name: str, arguments: dict[str, object]) -> str:
        """Call a tool, and return its output. Raises `McpFailure`."""
        return await self._ask(lambda session: session.call_tool(name, arguments))

    def close(self) -> None:
        """Close the connection. The next request opens another one."""
        self._session = None
        self._closing.set()

    async def _ask(self, question: Callable[[McpSession], Awaitable[T]]) -> T:
        try:
            with anyio.fail_after(self.seconds):
                session = await self._connected()
                try:
                    return await question(session)
                except McpFailure as failure:
                    if (failure.session_expired or failure.connection_lost) and self._session is session:
                        self.close()
                    if not failure.session_expired:
                        raise
                return await question(await self._connected())
        except TimeoutError as error:
            message = f"no answer within {self.seconds:g} s (limits.mcp_seconds)"
            raise protocol_failure(self.server.server_label, TIMED_OUT, message) from error

    async def _connected(self) -> McpSession:
        async with self._lock:
            if self._session is None:
                self._session = await self.tasks.start(self._hold)
            return self._session

    async def _hold(self, *, task_status: TaskStatus[McpSession]) -> None:
        """Keep a session open until it is closed or this is cancelled; if not open yet, it is dropped."""
        held = _Held()
        self._closing = held.closing
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._connect, held, task_status)
                try:
                    await held.closing.wait()
                    await held.opened.wait()
                except anyio.get_cancelled_exc_class():
                    held.closing.set()
                    if not held.opened.is_set():
                        held.scope.cancel()
                    raise
        except ExceptionGroup as failures:  # of one: the server cannot be connected
            failure = failures.exceptions[0]
            raise failure from failure.__cause__
        finally:
            if self._closing is held.closing:
                self._session = None

    async def _connect(self, held: "_Held", task_status: TaskStatus[McpSession]) -> None:
        try:
            with held.scope:
                async with self.connector.connect(self.server) as session:
                    held.opened.set()
                    task_status.started(session)
                    await held.closing.wait()
                    held.scope.deadline = anyio.current_time() + _CLOSING_SECONDS
        except Exception as error:
            if not held.opened.is_set():
                raise
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            label = self.server.server_label
            log.info("the connection with MCP server %r broke: %s", label, type(error).__name__)
        finally:
            held.opened.set()
            held.closing.set()


@dataclass
class _Held:
    """One session. Its scope is shielded, so that it can be closed properly, within `_CLOSING_SECONDS`."""

    scope: anyio.CancelScope = field(default_factory=lambda: anyio.CancelScope(shield=True))
    opened: anyio.Event = field(default_factory=anyio.Event)
    closing: anyio.Event = field(default_factory=anyio.Event)
