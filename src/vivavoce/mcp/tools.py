"""The tools of MCP servers for the chat model: which are allowed, their names, and which need approval."""

import re
from collections.abc import Collection, Iterator
from itertools import chain, count

from msgspec import UNSET, UnsetType

from vivavoce.protocol.items import McpTool
from vivavoce.protocol.session import FunctionTool, McpApproval, McpServerTool, McpToolFilter

_NAME_CHARS = 64
"""the longest name of a function; names consist of letters, digits, `_` and `-`"""


def is_allowed(tool: McpTool, server: McpServerTool) -> bool:
    """Return whether the session's `allowed_tools` include this tool."""
    match server.allowed_tools:
        case None | UnsetType():
            return True
        case McpToolFilter() as wanted:
            return _fits(tool, wanted)
        case names:
            return tool.name in names


def needs_approval(tool: McpTool, server: McpServerTool) -> bool:
    """Return whether the client must approve each call (`require_approval`; by default it must)."""
    match server.require_approval:
        case "never":
            return False
        case McpApproval(always=always, never=never):
            return (always is not UNSET and _is_named(tool, always)) or not (
                never is not UNSET and _is_named(tool, never)
            )
        case _:
            return True


def _is_named(tool: McpTool, wanted: McpToolFilter) -> bool:
    """Return whether a filter names this tool. An empty filter names none."""
    return wanted != McpToolFilter() and _fits(tool, wanted)


def _fits(tool: McpTool, wanted: McpToolFilter) -> bool:
    reads_only = bool(tool.annotations and tool.annotations.get("readOnlyHint"))
    return (wanted.tool_names is UNSET or tool.name in wanted.tool_names) and (
        wanted.read_only is UNSET or wanted.read_only == reads_only
    )


def as_function(name: str, tool: McpTool, server: McpServerTool) -> FunctionTool:
    """Return the tool as a function that a chat model can call."""
    about = [tool.description or "", f"({server.server_description})" if server.server_description else ""]
    return FunctionTool(name=name, description=" ".join(filter(None, about)), parameters=tool.input_schema)


class ToolNames:
    """Assigns a unique function name to each tool of each server, fixed for the conversation.

    It is the tool's own name, unless a client's function or another server's tool has it.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._tools: dict[str, tuple[str, str]] = {}

    def name(self, label: str, tool: str, taken: Collection[str]) -> str:
        """Return the name of a server's tool, which is not in `taken`."""
        known = self._names.get((label, tool))
        for name in chain([known] if known else [], _candidates(label, tool)):
            if name not in taken and self._tools.get(name, (label, tool)) == (label, tool):
                break
        self._names[label, tool] = name
        self._tools[name] = (label, tool)
        return name


def _candidates(label: str, tool: str) -> Iterator[str]:
    """Yield candidates for a tool's name, the preferred ones first."""
    for whole in (tool, f"{label}_{tool}"):
        yield _plain(whole, _NAME_CHARS) or "tool"
    for number in count(2):
        yield f"{_plain(f'{label}_{tool}', _NAME_CHARS - 8)}_{number}"


def _plain(name: str, limit: int) -> str:
    return re.sub(r"[^\w-]+", "_", name, flags=re.ASCII)[:limit]
