"""The tools of an MCP server that the owner names: one connection, for all conversations of the process."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import count

import anyio
import msgspec
from anyio.abc import TaskGroup

from vivavoce.backoff import backoff
from vivavoce.config.tools import McpToolsTable, from_environment, placeholders
from vivavoce.limits import Limits
from vivavoce.mcp.servers import Command, OwnServers, ToolFailure
from vivavoce.mcp.tools import Names
from vivavoce.mcp.visits import Visit
from vivavoce.protocol.items import McpTool, McpToolExecutionError
from vivavoce.protocol.session import McpServerTool
from vivavoce.tools.types import Context, Outcome, Tool, ToolError

__all__ = ["McpToolSource"]

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class McpToolSource:
    """One server, and what it has to offer as soon as it has said so. Raises `ConfigError`."""

    def __init__(self, table: McpToolsTable, tasks: TaskGroup, limits: Limits) -> None:
        """Its connection is held by a task among `tasks`."""
        place = f"[[tools.mcp]] {table.label}"
        server = McpServerTool(
            server_label=table.label,
            server_url=table.url or "",
            headers=_filled(table.headers, f"{place}: headers"),
            allowed_tools=table.allowed_tools,
        )
        commands = {table.label: Command(table.command, _filled(table.env, f"{place}: env"))}
        reach = OwnServers(limits, commands if table.command else {})
        self.asked = anyio.Event()
        self._table, self._seconds = table, table.seconds or limits.mcp_seconds
        self._visit = Visit(server, reach, tasks, max(self._seconds, limits.mcp_seconds))  # it may start slowly
        self._offered: Sequence[McpTool] = ()

    async def ask(self) -> None:
        """Ask what it offers, again and again until it says so; `asked` is set after the first time."""
        for attempt in count(1):
            pause = backoff(attempt, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
            try:
                self._offered = self._fit(await self._visit.list())
                return
            except ToolFailure as failure:
                level = logging.WARNING if attempt == 1 else logging.INFO
                words = "MCP server %r has not listed its tools, and is asked again in %g s: %s"
                log.log(level, words, self._table.label, pause, failure.message)
            finally:
                self.asked.set()
            await anyio.sleep(pause)

    def _fit(self, offered: Sequence[McpTool]) -> Sequence[McpTool]:
        """Return the tools, or none if a question that should protect one could not be asked."""
        if fault := _misfit(self._table.confirm, offered):
            words = "MCP server %r is left out: confirm of [[tools.mcp]] speaks of %s"
            log.error(words, self._table.label, fault)
            return ()
        log.info(
            "MCP server %r offers %s", self._table.label, ", ".join(one.name for one in offered) or "no tools"
        )
        return offered

    def tools(self, names: Names, taken: Collection[str]) -> Sequence[Tool]:
        """Return its tools, by names that none of those `taken` has."""
        return [self._tool(tool, names.of(self._table.label, tool.name, taken)) for tool in self._offered]

    def _tool(self, tool: McpTool, name: str) -> Tool:
        async def run(arguments: str, context: Context) -> Outcome:  # noqa: ARG001
            try:
                given = msgspec.json.decode(arguments or "{}", type=dict[str, object])
                return Outcome(await self._visit.call(tool.name, given))
            except msgspec.MsgspecError as error:
                raise ToolError(f"The arguments are not a JSON object: {error}.") from error
            except ToolFailure as failure:
                raise ToolError(_told(failure)) from failure

        return Tool(
            name,
            tool.description or tool.name.replace("_", " "),
            tool.input_schema,
            run,
            self._seconds,
            filler=self._table.filler,
            confirm=self._table.confirm.get(tool.name, _question(tool)),
        )


def _told(failure: ToolFailure) -> str:
    """Return what the model is told: a tool's own words, or that its server has none."""
    if isinstance(failure.error, McpToolExecutionError):
        return failure.message
    return f"The tool's server has failed: {failure.message}"


def _question(tool: McpTool) -> str:
    """Return what is asked before a tool is used that calls itself destructive, if nobody says otherwise."""
    is_destructive = bool(tool.annotations and tool.annotations.get("destructiveHint") is True)
    return (
        f"Shall I really do this: {re.sub('[^a-zA-Z0-9]+', ' ', tool.name).strip()}?" if is_destructive else ""
    )


def _misfit(confirm: Mapping[str, str], offered: Sequence[McpTool]) -> str | None:
    """Return the first tool, or argument, of which a question speaks and the server knows nothing."""
    known = {tool.name: tool.input_schema.get("properties") for tool in offered}
    for name, question in confirm.items():
        if name not in known:
            return f"the tool {name!r}, which it does not offer"
        arguments = known[name]
        for one in placeholders(question):
            if not isinstance(arguments, dict) or one not in arguments:
                return f"{{{one}}}, which is no argument of {name!r}"
    return None


def _filled(texts: Mapping[str, str], place: str) -> dict[str, str]:
    return {name: from_environment(text, f"{place} {name}")[0] for name, text in texts.items()}
