"""The tools of an MCP server in `[[tools.mcp]]`: one connection for all conversations of the process."""

import logging
import re
from collections.abc import Mapping, Sequence

from anyio.abc import TaskGroup

from vivavoce.config.tools import McpToolsTable, from_environment, placeholders
from vivavoce.limits import Limits
from vivavoce.mcp.connection import McpConnection
from vivavoce.mcp.servers import Command, McpFailure, McpServers
from vivavoce.protocol.items import McpTool, McpToolExecutionError
from vivavoce.protocol.session import McpServerTool
from vivavoce.tools.types import Context, Outcome, Tool, ToolError, decode_arguments

log = logging.getLogger(__name__)


class McpToolSource:
    """One MCP server as a source of tools. Its connection is a task in `tasks`. Raises `ConfigError`.

    `label` is its name in the log, and the prefix of tool names that would otherwise occur twice.
    """

    def __init__(self, table: McpToolsTable, tasks: TaskGroup, limits: Limits) -> None:
        self.label = table.label
        place = f"[[tools.mcp]] {table.label}"
        server = McpServerTool(
            server_label=table.label,
            server_url=table.url or "",
            headers=_filled(table.headers, f"{place}: headers"),
            allowed_tools=table.allowed_tools,
        )
        command = Command(table.command, _filled(table.env, f"{place}: env"))
        servers = McpServers(limits, allowed=None, commands={table.label: command} if table.command else {})
        self._table, self._seconds = table, table.seconds or limits.mcp_seconds
        seconds = max(self._seconds, limits.mcp_seconds)  # `seconds` is for calls; the start may be slower
        self._connection = McpConnection(server, servers, tasks, seconds)

    async def load(self) -> Sequence[Tool]:
        """Return its tools; none, and log an error, if `confirm` names an unknown tool or argument.

        Raises `ProviderError` if that fails; it can then be called again later.
        """
        found = await self._connection.list_tools()
        if fault := _unknown(self._table.confirm, found):
            message = "MCP server %r is left out: confirm of [[tools.mcp]] names %s"
            log.error(message, self.label, fault)
            return []
        names = ", ".join(one.name for one in found) or "no tools"
        log.info("MCP server %r offers %s", self.label, names)
        return [self._tool(one) for one in found]

    def _tool(self, tool: McpTool) -> Tool:
        async def run(arguments: str, context: Context) -> Outcome:  # noqa: ARG001
            values = decode_arguments(arguments, dict[str, object])
            try:
                return Outcome(await self._connection.call_tool(tool.name, values))
            except McpFailure as failure:
                is_tools = isinstance(failure.error, McpToolExecutionError)
                message = failure.message if is_tools else f"The tool's server has failed: {failure.message}"
                raise ToolError(message) from failure

        return Tool(
            tool.name,
            tool.description or tool.name.replace("_", " "),
            tool.input_schema,
            run,
            self._seconds,
            filler=self._table.filler,
            confirm=self._table.confirm.get(tool.name, _question(tool)),
        )


def _question(tool: McpTool) -> str:
    """Return the default confirmation question: for tools with MCP's `destructiveHint`, else none."""
    if not tool.annotations or tool.annotations.get("destructiveHint") is not True:
        return ""
    return f"Shall I really do this: {re.sub('[^a-zA-Z0-9]+', ' ', tool.name).strip()}?"


def _unknown(confirm: Mapping[str, str], tools: Sequence[McpTool]) -> str | None:
    """Return the first tool or argument that `confirm` names and the server does not have."""
    properties = {tool.name: tool.input_schema.get("properties") for tool in tools}
    for name, question in confirm.items():
        if name not in properties:
            return f"the tool {name!r}, which it does not offer"
        known = properties[name]
        for one in placeholders(question):
            if not isinstance(known, dict) or one not in known:
                return f"{{{one}}}, which is no argument of {name!r}"
    return None


def _filled(texts: Mapping[str, str], place: str) -> dict[str, str]:
    return {name: from_environment(text, f"{place} {name}")[0] for name, text in texts.items()}
