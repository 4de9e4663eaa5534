"""Our visits to servers of tools: connected when something is asked, until we leave, once more if need be."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from vivavoce.mcp.servers import Reach, ToolFailure, ToolServer
from vivavoce.mcp.tools import is_allowed
from vivavoce.protocol.items import McpProtocolError, McpTool
from vivavoce.protocol.session import McpServerTool

__all__ = ["Visit", "key"]

log = logging.getLogger(__name__)

T = TypeVar("T")
_TIMED_OUT = -32001
"""JSON-RPC's code for it, as the `mcp` library uses it."""
_GOODBYE_SECONDS = 2


def key(server: McpServerTool) -> bytes:
    """Return what makes a visit another one: who is visited, with which credentials, for which tools."""
    credentials = server.authorization or None, server.headers or None
    return msgspec.json.encode(
        (server.server_label, server.server_url, credentials, server.allowed_tools or None)
    )


class Visit:
    """One server, as one conversation knows it. A task of its own among `tasks` holds the connection.

    Cancelling it says goodbye (MCP, "Session Management": `DELETE`), which takes at most two seconds.
    """

    def __init__(self, server: McpServerTool, reach: Reach, tasks: TaskGroup, seconds: float) -> None:
        self.server = server
        self.tools: Sequence[McpTool] = ()
        self.listed = anyio.Event()
        self.failed = False
        self.errands = 0
        self._reach, self._tasks, self._seconds = reach, tasks, seconds
        self._host: ToolServer | None = None
        self._door, self._goodbye = anyio.Lock(), anyio.Event()

    async def list(self) -> Sequence[McpTool]:
        """Ask for the tools that the session wants of it. Raises `ToolFailure`."""
        offered = await self._ask(lambda host: host.tools())
        self.tools = [tool for tool in offered if is_allowed(tool, self.server)]
        return self.tools

    async def call(self, tool: str, arguments: dict[str, object]) -> str:
        """Let a tool do its work. Raises `ToolFailure`."""
        return await self._ask(lambda host: host.call(tool, arguments))

    def leave(self) -> None:
        """Say goodbye. Whoever asks for something again comes in again."""
        self._host = None
        self._goodbye.set()

    async def _ask(self, question: Callable[[ToolServer], Awaitable[T]]) -> T:
        try:
            with anyio.fail_after(self._seconds):
                host = await self._inside()
                try:
                    return await question(host)
                except ToolFailure as failure:
                    if (failure.is_forgotten or failure.lost) and self._host is host:
                        self.leave()
                    if not failure.is_forgotten:
                        raise
                return await question(await self._inside())
        except TimeoutError as error:
            message = f"no answer within {self._seconds:g} s (limits.mcp_seconds)"
            fault = McpProtocolError(code=_TIMED_OUT, message=message)
            raise ToolFailure(self.server.server_label, fault) from error

    async def _inside(self) -> ToolServer:
        async with self._door:
            if self._host is None:
                self._host = await self._tasks.start(self._stay)
            return self._host

    async def _stay(self, *, task_status: TaskStatus[ToolServer]) -> None:
        """Hold the connection until goodbye, be it that we are cancelled. Who has not yet come in says none."""
        stay = _Stay()
        self._goodbye = stay.goodbye
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hold, stay, task_status)
                try:
                    await stay.goodbye.wait()
                    await stay.entered.wait()
                except anyio.get_cancelled_exc_class():
                    stay.end()
                    raise
        except ExceptionGroup as failures:  # of one: that nobody lets us in
            failure = failures.exceptions[0]
            raise failure from failure.__cause__
        finally:
            if self._goodbye is stay.goodbye:
                self._host = None

    async def _hold(self, stay: "_Stay", task_status: TaskStatus[ToolServer]) -> None:
        """Connect. A connection that breaks later is our visit's end, and no more."""
        try:
            with stay.scope:
                async with self._reach.connect(self.server) as host:
                    stay.entered.set()
                    task_status.started(host)
                    await stay.goodbye.wait()
                    stay.scope.deadline = anyio.current_time() + _GOODBYE_SECONDS
        except Exception as error:
            if not stay.entered.is_set():
                raise
            label = self.server.server_label
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            log.info("the connection with MCP server %r broke: %s", label, type(error).__name__)
        finally:
            stay.entered.set()
            stay.goodbye.set()


@dataclass
class _Stay:
    """One connection. What holds it is shielded: a server is told that we leave, within `_GOODBYE_SECONDS`."""

    scope: anyio.CancelScope = field(default_factory=lambda: anyio.CancelScope(shield=True))
    entered: anyio.Event = field(default_factory=anyio.Event)
    goodbye: anyio.Event = field(default_factory=anyio.Event)

    def end(self) -> None:
        """Say goodbye; if there is nobody yet to say it to, break off."""
        self.goodbye.set()
        if not self.entered.is_set():
            self.scope.cancel()
