"""The servers of tools that a conversation may ask, and what of theirs an answer is offered."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import anyio
from msgspec import UnsetType
from msgspec.structs import replace

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.errors import ProviderError
from vivavoce.mcp.servers import Reach, ToolFailure
from vivavoce.mcp.tools import Names, as_function, needs_approval
from vivavoce.mcp.visits import Visit, key
from vivavoce.protocol import events as e
from vivavoce.protocol.items import McpListTools, McpProtocolError, McpTool
from vivavoce.protocol.session import (
    FunctionTool,
    McpServerTool,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
)
from vivavoce.protocol.validation import invalid

__all__ = ["McpServerTools", "Meant", "named"]

log = logging.getLogger(__name__)

_REFUSED = -32600
"""JSON-RPC's code for what is not done at all."""
_ANSWERS = 4
"""Of so many times all tools that there may be the names are remembered."""


def named(tools: Sequence[Tool] | UnsetType) -> tuple[McpServerTool, ...]:
    """Return the servers among the tools that a client names."""
    return tuple(tool for tool in tools or () if isinstance(tool, McpServerTool))


class Meant(NamedTuple):
    """What a function's name means: a tool, as a session names its server."""

    server: McpServerTool
    tool: McpTool
    visit: Visit


class McpServerTools:
    """Asks servers for their tools once, in the background, and offers them to answers.

    As at the service, an answer that begins before a server has listed its tools knows nothing of them:
    openai-dotnet's RealtimeToolTests, which runs against it, first waits for `mcp_list_tools.completed`. Only
    an answer that itself names a server, or has to call one, waits.
    """

    def __init__(self, call: CascadeContext, reach: Reach, learned: Callable[[], Awaitable[None]]) -> None:
        """`learned` is told when there are tools that the model may want to read about."""
        self.call, self._reach, self._learned = call, reach, learned
        self._visits: dict[bytes, Visit] = {}
        self._names = Names()
        self._meant: dict[str, Meant] = {}

    # servers

    def check(self, tools: tuple[Tool, ...] | UnsetType, at: str) -> None:
        """Raise a `ProtocolError` for a server that a client may not name here, or for one too many."""
        for index, tool in enumerate(tools or ()):
            if isinstance(tool, McpServerTool) and (refusal := self._reach.refuses(tool.server_url or "")):
                raise invalid(f"{at}.tools[{index}].server_url", refusal)
        together = self._needed(named(tools)) if at == "response" else {key(one) for one in named(tools)}
        most = self.call.limits.mcp_servers
        if named(tools) and len(together) > most:
            raise invalid(
                f"{at}.tools", f"{len(together)} MCP servers; there may be {most} (limits.mcp_servers)."
            )

    def check_choice(self, manner: ResponseSettings) -> None:
        """Raise a `ProtocolError` for a `tool_choice` of which we know already that there is no such tool."""
        choice = manner.tool_choice
        if not isinstance(choice, ToolChoiceMcp):
            return
        chosen = [
            self._visits.get(key(one)) for one in manner.servers if one.server_label == choice.server_label
        ]
        for visit in chosen:
            if visit and visit.listed.is_set() and not any(_is(tool, choice) for tool in visit.tools):
                raise invalid("response.tool_choice", f"'{choice.server_label}' {_without(choice)}.")

    async def visit(self, servers: Sequence[McpServerTool]) -> None:
        """Ask those servers for their tools that are new here, and leave others that nobody needs any more."""
        needed = self._needed(servers)
        for forgotten in [one for one in self._visits if one not in needed]:
            self._visits.pop(forgotten).leave()
        for server in servers:
            known = self._visits.get(key(server))
            if known is None or known.failed:
                await self._arrive(server)

    def _needed(self, servers: Sequence[McpServerTool]) -> set[bytes]:
        busy = {known for known, visit in self._visits.items() if visit.errands}
        return {key(one) for one in (*servers, *named(self.call.session.tools))} | busy

    async def _arrive(self, server: McpServerTool) -> None:
        """Tell the client that a server is asked for its tools, and ask."""
        call = self.call
        visit = self._visits[key(server)] = Visit(server, self._reach, call.tasks, call.limits.mcp_seconds)
        item_id = e.new_id("mcpl")
        item = McpListTools(id=item_id, server_label=server.server_label, tools=())
        with anyio.CancelScope(shield=True):
            await call.send(e.ConversationItemAdded(item=item, previous_item_id=call.conversation.last_id))
            await call.send(e.McpListToolsInProgress(item_id=item_id))
        call.tasks.start_soon(self._list, visit, item, item_id)

    async def _list(self, visit: Visit, item: McpListTools, item_id: str) -> None:
        """`completed` comes before the item is done (openai-dotnet's test counts on it)."""
        told: e.McpListToolsCompleted | e.McpListToolsFailed = e.McpListToolsCompleted(item_id=item_id)
        try:
            self._check_room(visit, len(self._visits), "servers")
            item = replace(item, tools=tuple(await visit.list()))
            self._check_room(visit, sum(len(one.tools) for one in self._visits.values()), "tools")
        except ToolFailure as failure:
            visit.failed, visit.tools = True, ()
            item, told = replace(item, tools=()), e.McpListToolsFailed(item_id=item_id)
            log.warning("MCP server %r has not listed its tools: %s", item.server_label, failure.kind)
        self.call.revision += 1
        visit.listed.set()
        await self.call.send(told)
        if item_id in self.call.conversation:
            before = self.call.conversation.before(item_id)
            await self.call.send(e.ConversationItemDone(item=item, previous_item_id=before))
        await self._learned()

    def _check_room(self, visit: Visit, count: int, of: Literal["servers", "tools"]) -> None:
        limits = self.call.limits
        most = limits.mcp_servers if of == "servers" else limits.mcp_tools
        if count > most:
            message = f"there are {count} {of}; there may be {most} (limits.mcp_{of})"
            raise ToolFailure(visit.server.server_label, McpProtocolError(code=_REFUSED, message=message))

    # tools

    async def ready(self, manner: ResponseSettings, own: Sequence[McpServerTool]) -> None:
        """Return when those servers have listed their tools that an answer names itself, or has to call."""
        await self.visit(own)
        choice = manner.tool_choice
        label = choice.server_label if isinstance(choice, ToolChoiceMcp) else None
        for server in manner.servers:
            visit = self._visits.get(key(server))
            if visit and (server in own or server.server_label == label):
                await visit.listed.wait()

    def offer(
        self, manner: ResponseSettings, *, aside: bool = False
    ) -> tuple[tuple[FunctionTool, ...], ToolChoice]:
        """Return the functions that an answer's model may call, and which of them it must.

        Out of band (`aside`) there are none that need approval, for the request would have no place. Raises
        `ProviderError` if the model must call what is not there.
        """
        if len(self._meant) > _ANSWERS * self.call.limits.mcp_tools:
            self._names, self._meant = Names(), {}
        everything, chosen = list(manner.tools), list[FunctionTool]()
        taken = {tool.name for tool in manner.tools}
        for meant in self._listed(manner):
            if not (aside and needs_approval(meant.tool, meant.server)):
                name = self._names.of(meant.server.server_label, meant.tool.name, taken)
                self._meant[name] = meant
                everything.append(as_function(name, meant.tool, meant.server))
                if _fits(meant, manner.tool_choice):
                    chosen.append(everything[-1])
        choice = manner.tool_choice
        if not isinstance(choice, ToolChoiceMcp):
            return tuple(everything), choice if everything or choice != "required" else "auto"
        if not chosen:
            raise ProviderError(f"MCP server '{choice.server_label}'", _without(choice))
        if choice.name:
            return tuple(everything), ToolChoiceFunction(name=chosen[0].name)
        return tuple(chosen), "required"

    def find(self, name: str, manner: ResponseSettings) -> Meant | None:
        """Return what an answer's model calls by this name; None if that is a function of the client's."""
        is_function = any(tool.name == name for tool in manner.tools)
        return None if is_function else self._meant.get(name)

    def is_known(self, visit: Visit) -> bool:
        """Say whether somebody still needs this visit."""
        return visit in self._visits.values()

    def _listed(self, manner: ResponseSettings) -> Iterator[Meant]:
        for server in manner.servers:
            if visit := self._visits.get(key(server)):
                yield from (Meant(server, tool, visit) for tool in visit.tools)


def _fits(meant: Meant, choice: ToolChoice) -> bool:
    if not isinstance(choice, ToolChoiceMcp):
        return False
    return meant.server.server_label == choice.server_label and _is(meant.tool, choice)


def _is(tool: McpTool, choice: ToolChoiceMcp) -> bool:
    return not choice.name or tool.name == choice.name


def _without(choice: ToolChoiceMcp) -> str:
    return f"has no tool called '{choice.name}'" if choice.name else "has no tools"
