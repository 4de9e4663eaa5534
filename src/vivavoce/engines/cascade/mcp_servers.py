"""The MCP servers of a conversation, and the tools of theirs that a response may call."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import anyio
from msgspec import UnsetType
from msgspec.structs import replace

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.errors import ProviderError
from vivavoce.mcp.connection import McpConnection, connection_key
from vivavoce.mcp.servers import INVALID_REQUEST, McpConnector, McpFailure, protocol_failure
from vivavoce.mcp.tools import ToolNames, as_function, needs_approval
from vivavoce.protocol import events as e
from vivavoce.protocol.items import McpListTools, McpTool
from vivavoce.protocol.session import (
    FunctionTool,
    McpServerTool,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
)
from vivavoce.protocol.validation import invalid

log = logging.getLogger(__name__)

_NAMES_PER_TOOL = 4
"""Names that are kept, per allowed tool, before they are all reset."""


def named(tools: Sequence[Tool] | UnsetType) -> tuple[McpServerTool, ...]:
    """Return the MCP servers among a client's tools."""
    return tuple(tool for tool in tools or () if isinstance(tool, McpServerTool))


class CallableTool(NamedTuple):
    """A tool that a response may call by a function name, with its server and connection."""

    server: McpServerTool
    tool: McpTool
    connection: McpConnection


class McpServerTools:
    """Lists the servers' tools once, in the background, and makes them available to responses.

    As at OpenAI's service, a response that begins before a server has listed its tools does not have them:
    openai-dotnet's RealtimeToolTests, which runs against it, first waits for `mcp_list_tools.completed`. Only
    a response that itself names a server, or has to call one, waits.
    """

    def __init__(
        self, call: CascadeContext, connector: McpConnector, learned: Callable[[], Awaitable[None]]
    ) -> None:
        """`learned` is called when new tools are known, so that the chat model can be prefilled."""
        self.call, self._connector, self._learned = call, connector, learned
        self._connections: dict[bytes, McpConnection] = {}
        self._names = ToolNames()
        self._callable: dict[str, CallableTool] = {}

    # servers

    def check(self, tools: tuple[Tool, ...] | UnsetType, at: str) -> None:
        """Raise a `ProtocolError` for a server that a client may not name, or if there are too many."""
        for index, tool in enumerate(tools or ()):
            if isinstance(tool, McpServerTool) and (refusal := self._connector.refusal(tool.server_url or "")):
                raise invalid(f"{at}.tools[{index}].server_url", refusal)
        servers, most = named(tools), self.call.limits.mcp_servers
        together = self._needed(servers) if at == "response" else {connection_key(one) for one in servers}
        if servers and len(together) > most:
            message = f"{len(together)} MCP servers; there may be {most} (limits.mcp_servers)."
            raise invalid(f"{at}.tools", message)

    def check_choice(self, settings: ResponseSettings) -> None:
        """Raise a `ProtocolError` for a `tool_choice` of a tool that is known not to exist."""
        choice = settings.tool_choice
        if not isinstance(choice, ToolChoiceMcp):
            return
        for server in settings.servers:
            known = self._connections.get(connection_key(server))
            if server.server_label != choice.server_label or not known or not known.listed.is_set():
                continue
            if not any(_is_chosen(tool, choice) for tool in known.tools):
                raise invalid("response.tool_choice", f"'{choice.server_label}' {_lacks(choice)}.")

    async def update(self, servers: Sequence[McpServerTool]) -> None:
        """Connect to new servers and list their tools; close connections that are no longer needed."""
        needed = self._needed(servers)
        for unneeded in [one for one in self._connections if one not in needed]:
            self._connections.pop(unneeded).close()
        for server in servers:
            known = self._connections.get(connection_key(server))
            if known is None or known.failed:
                await self._connect(server)

    def _needed(self, servers: Sequence[McpServerTool]) -> set[bytes]:
        busy = {key for key, connection in self._connections.items() if connection.calls}
        return {connection_key(one) for one in (*servers, *named(self.call.session.tools))} | busy

    async def _connect(self, server: McpServerTool) -> None:
        """Add an `mcp_list_tools` item, and list the tools of a server in the background."""
        call = self.call
        connection = McpConnection(server, self._connector, call.tasks, call.limits.mcp_seconds)
        self._connections[connection_key(server)] = connection
        item_id = e.new_id("mcpl")
        item = McpListTools(id=item_id, server_label=server.server_label, tools=())
        with anyio.CancelScope(shield=True):
            await call.send(e.ConversationItemAdded(item=item, previous_item_id=call.conversation.last_id))
            await call.send(e.McpListToolsInProgress(item_id=item_id))
        call.tasks.start_soon(self._list, connection, item, item_id)

    async def _list(self, connection: McpConnection, item: McpListTools, item_id: str) -> None:
        """List the tools. `completed` precedes the done item (openai-dotnet's test relies on it)."""
        listed: e.McpListToolsCompleted | e.McpListToolsFailed = e.McpListToolsCompleted(item_id=item_id)
        try:
            self._check_room(connection, len(self._connections), "servers")
            item = replace(item, tools=tuple(await connection.list_tools()))
            self._check_room(connection, sum(len(one.tools) for one in self._connections.values()), "tools")
        except McpFailure as failure:
            connection.failed, connection.tools = True, ()
            item, listed = replace(item, tools=()), e.McpListToolsFailed(item_id=item_id)
            log.warning("MCP server %r has not listed its tools: %s", item.server_label, failure.kind)
        self.call.revision += 1
        connection.listed.set()
        await self.call.send(listed)
        if item_id in self.call.conversation:
            before = self.call.conversation.before(item_id)
            await self.call.send(e.ConversationItemDone(item=item, previous_item_id=before))
        await self._learned()

    def _check_room(self, connection: McpConnection, count: int, of: Literal["servers", "tools"]) -> None:
        limits = self.call.limits
        most = limits.mcp_servers if of == "servers" else limits.mcp_tools
        if count > most:
            message = f"there are {count} {of}; there may be {most} (limits.mcp_{of})"
            raise protocol_failure(connection.server.server_label, INVALID_REQUEST, message)

    # tools

    async def ready(self, settings: ResponseSettings, own: Sequence[McpServerTool]) -> None:
        """Return when the servers that a response itself names, or has to call, have listed their tools."""
        await self.update(own)
        choice = settings.tool_choice
        label = choice.server_label if isinstance(choice, ToolChoiceMcp) else None
        for server in settings.servers:
            connection = self._connections.get(connection_key(server))
            if connection and (server in own or server.server_label == label):
                await connection.listed.wait()

    def offer(
        self, settings: ResponseSettings, *, aside: bool = False
    ) -> tuple[tuple[FunctionTool, ...], ToolChoice]:
        """Return the functions that a response's model may call, and its tool choice.

        Out of band (`aside`), tools that need approval are left out, since the request could not be added to
        the conversation. Raises `ProviderError` if the model must call a tool that does not exist.
        """
        if len(self._callable) > _NAMES_PER_TOOL * self.call.limits.mcp_tools:
            self._names, self._callable = ToolNames(), {}
        choice, functions, chosen = settings.tool_choice, list(settings.tools), list[FunctionTool]()
        taken = {tool.name for tool in settings.tools}
        for server, tool, connection in self._listed(settings):
            if aside and needs_approval(tool, server):
                continue
            name = self._names.name(server.server_label, tool.name, taken)
            self._callable[name] = CallableTool(server, tool, connection)
            functions.append(as_function(name, tool, server))
            if isinstance(choice, ToolChoiceMcp) and server.server_label == choice.server_label:
                chosen += [functions[-1]] if _is_chosen(tool, choice) else []
        if not isinstance(choice, ToolChoiceMcp):
            return tuple(functions), choice if functions or choice != "required" else "auto"
        if not chosen:
            raise ProviderError(f"MCP server '{choice.server_label}'", _lacks(choice))
        if choice.name:
            return tuple(functions), ToolChoiceFunction(name=chosen[0].name)
        return tuple(chosen), "required"

    def find(self, name: str, settings: ResponseSettings) -> CallableTool | None:
        """Return the MCP tool that a response's model calls by this name; None if it is a client's function."""
        is_function = any(tool.name == name for tool in settings.tools)
        return None if is_function else self._callable.get(name)

    def is_needed(self, connection: McpConnection) -> bool:
        """Return whether this connection is still used."""
        return connection in self._connections.values()

    def _listed(self, settings: ResponseSettings) -> Iterator[CallableTool]:
        for server in settings.servers:
            if connection := self._connections.get(connection_key(server)):
                yield from (CallableTool(server, tool, connection) for tool in connection.tools)


def _is_chosen(tool: McpTool, choice: ToolChoiceMcp) -> bool:
    return not choice.name or tool.name == choice.name


def _lacks(choice: ToolChoiceMcp) -> str:
    return f"has no tool called '{choice.name}'" if choice.name else "has no tools"
