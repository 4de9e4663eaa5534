"""Calls of MCP servers' tools, which are made outside of responses.

The order of events is that of OpenAI's service. A response that calls such a tool ends at once, with the
`mcp_call` in its output. The call is made after `response.done`; when it has ended, the item is done. No
further response is created: the client continues with `response.create`. A call that needs approval adds an
`mcp_approval_request` to the conversation, and waits for the client's `mcp_approval_response`; a call that is
not approved has failed.

Sources: openai-dotnet's tests/Realtime/RealtimeToolTests.cs, which runs against the service; openai-ruby's
examples/realtime/mcp_approval.rb; and the Agents SDK for JavaScript, which requests the next response itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import msgspec
from msgspec.structs import replace

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.mcp_servers import McpServerTools
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.mcp.connection import McpConnection
from vivavoce.mcp.servers import INVALID_PARAMS, INVALID_REQUEST, McpFailure, protocol_failure
from vivavoce.mcp.tools import needs_approval
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpToolExecutionError,
)
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import ToolCall


@dataclass
class PendingMcpCall:
    """One call of a server's tool, from the model's request until the tool has ended."""

    item: McpCall
    connection: McpConnection
    refused: bool = False
    """the limit on concurrent calls is reached, so this call fails"""
    response_id: str = ""
    output_index: int = 0
    approval: McpApprovalResponse | None = None
    decided: anyio.Event = field(default_factory=anyio.Event)

    def decide(self, approval: McpApprovalResponse) -> None:
        """Store the client's decision."""
        self.approval = approval
        self.decided.set()


class McpCalls:
    """Makes the MCP calls of responses. Each call ends with an output or an error, sent to the client."""

    def __init__(self, call: CascadeContext, servers: McpServerTools) -> None:
        self.call, self.servers = call, servers
        self._waiting: dict[str, PendingMcpCall] = {}
        self._under_way = 0

    def find(self, call: ToolCall, settings: ResponseSettings) -> PendingMcpCall | None:
        """Return the MCP call for a tool call of the model; None if it is a function of the client."""
        found = self.servers.find(call.name, settings)
        if found is None:
            return None
        server, tool, connection = found
        refused = self._under_way >= self.call.limits.mcp_calls
        asks = needs_approval(tool, server) and not refused
        item = McpCall(
            id=e.new_id("mcp"),
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
        if pending.item.approval_request_id:
            await self._ask(pending, pending.item.approval_request_id)

    async def _ask(self, pending: PendingMcpCall, request_id: str) -> None:
        call = pending.item
        request = McpApprovalRequest(
            id=request_id, server_label=call.server_label, name=call.name, arguments=call.arguments
        )
        self._waiting[request_id] = pending
        await self.call.add_item(request, self.call.conversation.last_id)

    def awaiting(self, approval: McpApprovalResponse) -> PendingMcpCall:
        """Return the call that waits for the client's decision. Raises `ProtocolError` if there is none."""
        pending = self._waiting.get(approval.approval_request_id)
        if pending is None or pending.decided.is_set():
            problem = "no request for approval with this ID is waiting for an answer."
            raise invalid("item.approval_request_id", problem)
        return pending

    def run(self, calls: Sequence[PendingMcpCall]) -> None:
        """Make these calls concurrently. Each call that was added must be run."""
        for pending in calls:
            self.call.tasks.start_soon(self._run, pending)

    async def _run(self, pending: PendingMcpCall) -> None:
        ended: e.ResponseMcpCallCompleted | e.ResponseMcpCallFailed
        item, index = pending.item, pending.output_index
        try:
            item = replace(item, output=await self._call(pending))
            ended = e.ResponseMcpCallCompleted(item_id=item.id, output_index=index)
        except McpFailure as failure:
            item = replace(item, error=failure.error)
            ended = e.ResponseMcpCallFailed(item_id=item.id, output_index=index)
        self._under_way -= 1
        pending.connection.calls -= 1
        if not self.servers.is_needed(pending.connection):
            pending.connection.close()
        await self._end(pending, item, ended)

    async def _call(self, pending: PendingMcpCall) -> str:
        """Return the tool's output. Raises `McpFailure`."""
        call, most = pending.item, self.call.limits.mcp_output_chars
        if pending.refused:
            raise protocol_failure(
                call.server_label, INVALID_REQUEST, "too many calls are under way (limits.mcp_calls)"
            )
        if call.approval_request_id:
            await pending.decided.wait()
            del self._waiting[call.approval_request_id]
            if pending.approval and not pending.approval.approve:
                why = f": {pending.approval.reason}" if pending.approval.reason else ""
                message = f"the call was not approved{why}"
                raise McpFailure(call.server_label, McpToolExecutionError(message=message))
        await self.call.send(e.ResponseMcpCallInProgress(item_id=call.id, output_index=pending.output_index))
        output = await pending.connection.call_tool(call.name, _arguments(call))
        cut = f"{output[:most]}… (cut off: limits.mcp_output_chars)"
        return output if len(output) <= most else cut

    async def _end(
        self,
        pending: PendingMcpCall,
        item: McpCall,
        ended: e.ResponseMcpCallCompleted | e.ResponseMcpCallFailed,
    ) -> None:
        """Close the item. The conversation is updated first, since the client's next event may refer to it."""
        call = self.call
        call.revision += 1
        inside = item.id in call.conversation
        done = e.ConversationItemDone(
            item=item, previous_item_id=call.conversation.before(item.id) if inside else None
        )
        call.conversation.apply(done)
        await call.send(ended)
        if inside:
            await call.send(done)
        await call.send(
            e.ResponseOutputItemDone(
                response_id=pending.response_id, output_index=pending.output_index, item=item
            )
        )


def _arguments(call: McpCall) -> dict[str, object]:
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
    except msgspec.MsgspecError as error:
        message = f"the arguments are not a JSON object: {error}"
        raise protocol_failure(call.server_label, INVALID_PARAMS, message) from error
