"""Errands: what the model wants done by tools of MCP servers is done here, outside the answer's way.

The order is the service's. An answer that calls such a tool ends at once, with the `mcp_call` in its output.
The tool works after `response.done`, and the item is done when it has answered. Then nothing more happens: it
is the client that goes on, with `response.create`. A call that needs approval puts an `mcp_approval_request`
into the conversation and waits for the client's `mcp_approval_response`; one that is refused has failed.

So it is in openai-dotnet's tests/Realtime/RealtimeToolTests.cs, which runs against the service, in
openai-ruby's examples/realtime/mcp_approval.rb, and for the Agents SDK for JavaScript, which asks for the next
answer itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import msgspec
from msgspec.structs import replace

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.mcp_servers import McpServerTools
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.mcp.servers import ToolFailure
from vivavoce.mcp.tools import needs_approval
from vivavoce.mcp.visits import Visit
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpProtocolError,
    McpToolExecutionError,
)
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import ToolCall

__all__ = ["McpCalls", "PendingMcpCall"]

_INVALID_REQUEST, _INVALID_PARAMS = -32600, -32602
"""JSON-RPC's codes."""


@dataclass
class PendingMcpCall:
    """One call of a server's tool, from the model's wish until the tool has answered."""

    item: McpCall
    visit: Visit
    refused: bool = False
    """there are too many already"""
    response_id: str = ""
    output_index: int = 0
    word: McpApprovalResponse | None = None
    heard: anyio.Event = field(default_factory=anyio.Event)

    def decide(self, word: McpApprovalResponse) -> None:
        """Hear the client's word on it."""
        self.word = word
        self.heard.set()


class McpCalls:
    """Does what answers leave to be done. Whatever becomes of it, each errand ends, and is told of."""

    def __init__(self, call: CascadeContext, hosts: McpServerTools) -> None:
        self.call, self.hosts = call, hosts
        self._waiting: dict[str, PendingMcpCall] = {}
        self._under_way = 0

    def find(self, call: ToolCall, manner: ResponseSettings) -> PendingMcpCall | None:
        """Return the errand that a model's call means; None if it is the client's to do."""
        found = self.hosts.find(call.name, manner)
        if found is None:
            return None
        server, tool, visit = found
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
        return PendingMcpCall(item, visit, refused)

    async def take(self, errand: PendingMcpCall, response_id: str, output_index: int) -> None:
        """Take on an errand that an answer has told of; ask the client for its word if that is needed."""
        errand.response_id, errand.output_index = response_id, output_index
        self._under_way += 1
        errand.visit.errands += 1
        if errand.item.approval_request_id:
            await self._ask(errand, errand.item.approval_request_id)

    async def _ask(self, errand: PendingMcpCall, request_id: str) -> None:
        call, conversation = errand.item, self.call.conversation
        request = McpApprovalRequest(
            id=request_id, server_label=call.server_label, name=call.name, arguments=call.arguments
        )
        self._waiting[request_id] = errand
        before = conversation.last_id
        await self.call.send(e.ConversationItemAdded(item=request, previous_item_id=before))
        await self.call.send(e.ConversationItemDone(item=request, previous_item_id=before))

    def awaiting(self, word: McpApprovalResponse) -> PendingMcpCall:
        """Return the errand that waits for a client's word. Raises `ProtocolError` if none does."""
        errand = self._waiting.get(word.approval_request_id)
        if errand is None or errand.heard.is_set():
            problem = "no request for approval with this ID is waiting for an answer."
            raise invalid("item.approval_request_id", problem)
        return errand

    def run(self, errands: Sequence[PendingMcpCall]) -> None:
        """Let everything be done, all at once. Each errand that was taken on must be run."""
        for errand in errands:
            self.call.tasks.start_soon(self._run, errand)

    async def _run(self, errand: PendingMcpCall) -> None:
        told: e.ResponseMcpCallCompleted | e.ResponseMcpCallFailed
        item, index = errand.item, errand.output_index
        try:
            item = replace(item, output=await self._do(errand))
            told = e.ResponseMcpCallCompleted(item_id=item.id, output_index=index)
        except ToolFailure as failure:
            item = replace(item, error=failure.error)
            told = e.ResponseMcpCallFailed(item_id=item.id, output_index=index)
        self._under_way -= 1
        errand.visit.errands -= 1
        if not self.hosts.is_known(errand.visit):
            errand.visit.leave()
        await self._end(errand, item, told)

    async def _do(self, errand: PendingMcpCall) -> str:
        """Return what the tool says. Raises `ToolFailure`."""
        call, most = errand.item, self.call.limits.mcp_output_chars
        if errand.refused:
            raise _failure(call, _INVALID_REQUEST, "too many calls are under way (limits.mcp_calls)")
        if call.approval_request_id:
            await errand.heard.wait()
            del self._waiting[call.approval_request_id]
            if errand.word and not errand.word.approve:
                why = f": {errand.word.reason}" if errand.word.reason else ""
                message = f"the call was not approved{why}"
                raise ToolFailure(call.server_label, McpToolExecutionError(message=message))
        await self.call.send(e.ResponseMcpCallInProgress(item_id=call.id, output_index=errand.output_index))
        output = await errand.visit.call(call.name, _arguments(call))
        cut = f"{output[:most]}… (cut off: limits.mcp_output_chars)"
        return output if len(output) <= most else cut

    async def _end(
        self, errand: PendingMcpCall, item: McpCall, told: e.ResponseMcpCallCompleted | e.ResponseMcpCallFailed
    ) -> None:
        """Close the item. The conversation knows of it first: the client's next word may ask about it."""
        call = self.call
        call.revision += 1
        inside = item.id in call.conversation
        done = e.ConversationItemDone(
            item=item, previous_item_id=call.conversation.before(item.id) if inside else None
        )
        call.conversation.apply(done)
        await call.send(told)
        if inside:
            await call.send(done)
        await call.send(
            e.ResponseOutputItemDone(
                response_id=errand.response_id, output_index=errand.output_index, item=item
            )
        )


def _arguments(call: McpCall) -> dict[str, object]:
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise _failure(call, _INVALID_PARAMS, f"the arguments are not a JSON object: {error}") from error


def _failure(call: McpCall, code: int, message: str) -> ToolFailure:
    return ToolFailure(call.server_label, McpProtocolError(code=code, message=message))
