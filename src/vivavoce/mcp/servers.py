"""MCP servers: which may be used, how they are connected, and how they fail."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol
from urllib.parse import unquote, urlsplit

import anyio.to_thread

from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol.items import McpError, McpHttpError, McpProtocolError, McpTool
from vivavoce.protocol.session import McpServerTool

INVALID_REQUEST, INVALID_PARAMS, TIMED_OUT = -32600, -32602, -32001
"""JSON-RPC error codes; the last one is specific to the `mcp` library"""
_NOT_INSTALLED = "MCP is not installed on this server; its owner may run: pip install 'vivavoce[mcp]'."
_SESSION_EXPIRED = 404
"""the HTTP status for a session that the server has ended (MCP, "Session Management")"""


class McpFailure(ProviderError):
    """An MCP server cannot be reached, or its tool has failed; `error` is sent to the client.

    With `connection_lost`, all calls in progress are lost.
    """

    def __init__(self, label: str, error: McpError, *, connection_lost: bool = False) -> None:
        super().__init__(f"MCP server '{label}'", error.message)
        self.error, self.connection_lost = error, connection_lost

    @property
    def kind(self) -> str:
        """The kind of failure without the server's own text, which must not be logged."""
        return f"{self.error.__struct_config__.tag} {getattr(self.error, 'code', '')}".rstrip()

    @property
    def session_expired(self) -> bool:
        """Whether the server has ended the session: the request was not processed and may be repeated."""
        return isinstance(self.error, McpHttpError) and self.error.code == _SESSION_EXPIRED


def protocol_failure(label: str, code: int, message: str) -> McpFailure:
    """Return a failure with a JSON-RPC code."""
    return McpFailure(label, McpProtocolError(code=code, message=message))


class McpSession(Protocol):
    """A session with an MCP server. Both methods raise `McpFailure`."""

    async def list_tools(self) -> Sequence[McpTool]:
        """Return all tools of the server."""
        ...

    async def call_tool(self, name: str, arguments: dict[str, object]) -> str:
        """Call a tool, and return its output."""
        ...


@dataclass(frozen=True)
class Command:
    """A server that is started by a command line, with additions to its environment."""

    line: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class McpServers:
    """Connects to servers over streamable HTTP, over SSE if they are older, or by starting them.

    `allowed` are the permitted addresses, including all paths below each; None permits any. `commands` are the
    servers to start, by label. Redirects are followed only within a server's own origin, by the library.
    """

    limits: Limits = field(default_factory=Limits)
    allowed: Sequence[str] | None = ()
    commands: Mapping[str, Command] = field(default_factory=dict)

    def refusal(self, url: str) -> str | None:
        """Return a sentence that says why a client may not name this server; None if it may."""
        if find_spec("mcp") is None:
            return _NOT_INSTALLED
        if self.allowed is not None and not any(_is_below(url, one) for one in self.allowed):
            return f"{_origin(url)} is not one of the MCP servers that clients may name here ([mcp] servers)."
        return None

    @asynccontextmanager
    async def connect(self, server: McpServerTool) -> AsyncIterator[McpSession]:
        """Keep a session open until the block is left. Raises `McpFailure`."""
        if refusal := self.refusal(server.server_url or ""):
            raise protocol_failure(server.server_label, INVALID_REQUEST, refusal)
        # importing it takes a second at first
        library = await anyio.to_thread.run_sync(import_module, "vivavoce.mcp.library")
        async with library.connect(server, self.commands.get(server.server_label), self.limits) as session:
            yield session


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme)}"


def _is_below(url: str, allowed: str) -> bool:
    """Return whether an address is the allowed one, or a path below it."""
    path, base = unquote(urlsplit(url).path), unquote(urlsplit(allowed).path).rstrip("/")
    inside = path.rstrip("/") == base or path.startswith(f"{base}/")
    return _origin(url) == _origin(allowed) and inside and ".." not in path.split("/")
