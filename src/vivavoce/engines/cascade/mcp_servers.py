"""The MCP servers of a conversation: their tools, and the calls of these, which are made outside of responses.

The order of events is that of OpenAI's service. A response that calls such a tool ends at once, with the
`mcp_call` in its output. The call is made after `response.done`; when it has ended, the item is done. No
further response is created: the client continues with `response.create`. A call that needs approval adds an
`mcp_approval_request` to the conversation, and waits for the client's `mcp_approval_response`; a call that is
not approved has failed.

Sources: openai-dotnet's tests/Realtime/RealtimeToolTests.cs, which runs against the service; openai-ruby's
examples/realtime/mcp_approval.rb; and the Agents SDK for JavaScript, which requests the next response itself.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import anyio
import msgspec
from msgspec import UnsetType
from msgspec.structs import replace

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.errors import ProviderError
from vivavoce.mcp.connection import McpConnection, connection_key
from vivavoce.mcp.servers import INVALID_PARAMS, INVALID_REQUEST, McpFailure, McpServers, protocol_failure
from vivavoce.mcp.tools import ToolNames, as_function, needs_approval
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    McpTool,
    McpToolExecutionError,
)
from vivavoce.protocol.session import (
    FunctionTool,
    McpServerTool,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
)
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import ToolCall

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


@dataclass
class PendingMcpCall:
    """One call of a server's tool, from the model's request until the tool has ended."""

    item: McpCall
    connection: McpConnection
    refused: bool
    """the limit on concurrent calls is reached, so this call fails"""
    response_id: str = ""
    output_index: int = 0
    approval: McpApprovalResponse | None = None
    decided: anyio.Event = field(default_factory=anyio.Event)

    def decide(self, approval: McpApprovalResponse) -> None:
        """Store the client's decision."""
        self.approval = approval
        self.decided.set()


class McpServerTools:
    """Lists the servers' tools once, in the background, makes them available to responses, and calls them.

    As at OpenAI's service, a response that begins before a server has listed its tools does not have them:
    openai-dotnet's RealtimeToolTests, which runs against it, first waits for `mcp_list_tools.completed`. Only
    a response that itself names a server, or has to call one, waits.
    """

    def __init__(self, call: CascadeContext, connector: McpServers, learned: Callable[[], None]) -> None:
        """`learned` is called when new tools are known, so that the chat model can read them ahead."""
        self.call, self._connector, self._learned = call, connector, learned
        self._connections: dict[bytes, McpConnection] = {}
        self._names = ToolNames()
        self._callable: dict[str, CallableTool] = {}
        self._waiting: dict[str, PendingMcpCall] = {}
        """the calls that need approval, by the id of the request"""
        self._under_way = 0

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
        for server, connection in self._connected(settings):
            is_listed = server.server_label == choice.server_label and connection.listed.is_set()
            if is_listed and not any(_is_chosen(tool, choice) for tool in connection.tools):
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
        self._learned()

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
        for server, connection in self._connected(settings):
            if server in own or server.server_label == label:
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
        for server, connection in self._connected(settings):
            for tool in connection.tools:
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

    def _connected(self, settings: ResponseSettings) -> Iterator[tuple[McpServerTool, McpConnection]]:
        for server in settings.servers:
            if connection := self._connections.get(connection_key(server)):
                yield server, connection

    # calls

    def find(self, call: ToolCall, settings: ResponseSettings) -> PendingMcpCall | None:
        """Return the MCP call for a tool call of the model; None if it is a function of the client."""
        if call.name not in self._callable or any(tool.name == call.name for tool in settings.tools):
            return None
        server, tool, connection = self._callable[call.name]
        refused = self._under_way >= self.call.limits.mcp_calls
        asks = needs_approval(tool, server) and not refused
        item = McpCall(
            id=call.id or e.new_id("mcp"),
            server_label=server.server_label,
            name=tool.name,
            arguments=call.arguments,
            approval_request_id=e.new_id("mcpr") if asks else None,
            output=None,
            error=None,
        )
        return PendingMcpCall(item, connection, refused)

    async def add(self, pending: PendingMcpCall, response_id: str, output_index: int) -> None:
        """Add a call that a response has announced; request the client's approval if needed."""
        pending.response_id, pending.output_index = response_id, output_index
        self._under_way += 1
        pending.connection.calls += 1
        call = pending.item
        if request_id := call.approval_request_id:
            self._waiting[request_id] = pending
            request = McpApprovalRequest(
                id=request_id, server_label=call.server_label, name=call.name, arguments=call.arguments
            )
            await self.call.add_item(request, self.call.conversation.last_id)

    def awaiting(self, approval: McpApprovalResponse) -> PendingMcpCall:
        """Return the call that waits for the client's decision. Raises `ProtocolError` if there is none."""
        pending = self._waiting.get(approval.approval_request_id)
        if pending is None or pending.decided.is_set():
            problem = "no request for approval with this ID is waiting for an answer."
            raise invalid("item.approval_request_id", problem)
        return pending

    async def run(self, pending: PendingMcpCall) -> None:
        """Make a call that was added. It ends with an output or an error, sent to the client."""
        ended: e.ResponseMcpCallCompleted | e.ResponseMcpCallFailed
        call, item, index = self.call, pending.item, pending.output_index
        try:
            item = replace(item, output=await self._call_tool(pending))
            ended = e.ResponseMcpCallCompleted(item_id=item.id, output_index=index)
        except McpFailure as failure:
            item = replace(item, error=failure.error)
            ended = e.ResponseMcpCallFailed(item_id=item.id, output_index=index)
        self._under_way -= 1
        pending.connection.calls -= 1
        if pending.connection not in self._connections.values():
            pending.connection.close()
        call.revision += 1
        inside = item.id in call.conversation
        before = call.conversation.before(item.id) if inside else None
        done = e.ConversationItemDone(item=item, previous_item_id=before)
        call.conversation.apply(done)  # before anything is sent: the client's next event may refer to it
        await call.send(ended)
        if inside:
            await call.send(done)
        response_id = pending.response_id
        await call.send(e.ResponseOutputItemDone(response_id=response_id, output_index=index, item=item))

    async def _call_tool(self, pending: PendingMcpCall) -> str:
        """Return the tool's output. Raises `McpFailure`."""
        call, most = pending.item, self.call.limits.mcp_output_chars
        if pending.refused:
            message = "too many calls are under way (limits.mcp_calls)"
            raise protocol_failure(call.server_label, INVALID_REQUEST, message)
        if call.approval_request_id:
            await pending.decided.wait()
            del self._waiting[call.approval_request_id]
            if pending.approval and not pending.approval.approve:
                why = f": {pending.approval.reason}" if pending.approval.reason else ""
                message = f"the call was not approved{why}"
                raise McpFailure(call.server_label, McpToolExecutionError(message=message))
        await self.call.send(e.ResponseMcpCallInProgress(item_id=call.id, output_index=pending.output_index))
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
        except msgspec.MsgspecError as error:
            message = f"the arguments are not a JSON object: {error}"
            raise protocol_failure(call.server_label, INVALID_PARAMS, message) from error
        output = await pending.connection.call_tool(call.name, arguments)
        return output if len(output) <= most else f"{output[:most]}… (cut off: limits.mcp_output_chars)"


def _is_chosen(tool: McpTool, choice: ToolChoiceMcp) -> bool:
    return not choice.name or tool.name == choice.name


def _lacks(choice: ToolChoiceMcp) -> str:
    return f"has no tool called '{choice.name}'" if choice.name else "has no tools"
