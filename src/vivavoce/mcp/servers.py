"""Servers of tools (MCP): which of them there are, how they are reached, and how they fail."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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

__all__ = ["Command", "McpServers", "OwnServers", "Reach", "ToolFailure", "ToolServer"]

_HTTP, _STDIO = "vivavoce.mcp.http", "vivavoce.mcp.stdio"
_NOT_INSTALLED = "MCP is not installed here; whoever runs this server may write: pip install 'vivavoce[mcp]'."
_REFUSED = -32600
"""JSON-RPC's code for what is not done at all."""
_SESSION_LOST = 404


class ToolFailure(ProviderError):
    """A server of tools could not be reached, or its tool has failed: `error` is what a client is told.

    `lost` says that the connection is gone, and with it all that was under way.
    """

    def __init__(self, label: str, error: McpError, *, lost: bool = False) -> None:
        super().__init__(f"MCP server '{label}'", error.message)
        self.error, self.lost = error, lost

    @property
    def kind(self) -> str:
        """What sort of failure it is, without the server's own words, which a log has no business to keep."""
        return f"{self.error.__struct_config__.tag} {getattr(self.error, 'code', '')}".rstrip()

    @property
    def is_forgotten(self) -> bool:
        """Whether the server no longer knows us: nothing was done, and one may come in again."""
        return isinstance(self.error, McpHttpError) and self.error.code == _SESSION_LOST


class ToolServer(Protocol):
    """A server of tools, as long as we are connected. Both methods raise `ToolFailure`."""

    async def tools(self) -> Sequence[McpTool]:
        """Return all that it offers."""
        ...

    async def call(self, name: str, arguments: dict[str, object]) -> str:
        """Let a tool do its work, and return what it says."""
        ...


class Reach(Protocol):
    """How servers of tools are reached, and which of them a client may name."""

    def refuses(self, url: str) -> str | None:
        """Return in a sentence why this server may not be named, or None if it may."""
        ...

    def connect(self, server: McpServerTool) -> AbstractAsyncContextManager[ToolServer]:
        """Connect until the block is left. Raises `ToolFailure`."""
        ...


@dataclass(frozen=True)
class McpServers:
    """Reaches servers over streamable HTTP, or over SSE those that know no better.

    `allowed` are the addresses that clients may name, each with all that lies below it; None is any. A redirect
    is followed only within a server's own origin: the library sees to that.
    """

    limits: Limits = field(default_factory=Limits)
    allowed: Sequence[str] | None = ()

    def refuses(self, url: str) -> str | None:
        """Say why not, if not."""
        if find_spec("mcp") is None:
            return _NOT_INSTALLED
        if self.allowed is not None and not any(_is_below(url, one) for one in self.allowed):
            return f"{_origin(url)} is none of the MCP servers that clients may name here ([mcp] servers)."
        return None

    @asynccontextmanager
    async def connect(self, server: McpServerTool) -> AsyncIterator[ToolServer]:
        """Connect. The first time it takes a second to import the library, in which others may speak."""
        if refusal := self.refuses(server.server_url or ""):
            raise ToolFailure(server.server_label, McpProtocolError(code=_REFUSED, message=refusal))
        http = await anyio.to_thread.run_sync(import_module, _HTTP)
        async with http.connect(server, self.limits) as connected:
            yield connected


@dataclass(frozen=True)
class Command:
    """A server that is started here: its command line, and what its environment has beside the usual."""

    line: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class OwnServers:
    """Reaches the servers that the owner names: any address, and commands by their label."""

    limits: Limits = field(default_factory=Limits)
    commands: Mapping[str, Command] = field(default_factory=dict)

    def refuses(self, url: str) -> str | None:  # noqa: ARG002 (the owner may name any)
        """Say why none can be reached, if none can."""
        return _NOT_INSTALLED if find_spec("mcp") is None else None

    @asynccontextmanager
    async def connect(self, server: McpServerTool) -> AsyncIterator[ToolServer]:
        """Connect with a server, or start it."""
        command = self.commands.get(server.server_label)
        way = await anyio.to_thread.run_sync(import_module, _STDIO if command else _HTTP)
        who = (server.server_label, command) if command else (server,)
        async with way.connect(*who, self.limits) as connected:
            yield connected


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme)}"


def _is_below(url: str, allowed: str) -> bool:
    """Say whether an address is the allowed one, or lies below it."""
    path, base = unquote(urlsplit(url).path), unquote(urlsplit(allowed).path).rstrip("/")
    inside = path.rstrip("/") == base or path.startswith(f"{base}/")
    return _origin(url) == _origin(allowed) and inside and ".." not in path.split("/")
