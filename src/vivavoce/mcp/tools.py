"""The tools of MCP servers as the chat model sees them: which, by what names, and which need approval."""

import re
from collections.abc import Collection, Iterator
from itertools import chain, count

from msgspec import UNSET, UnsetType

from vivavoce.protocol.items import McpTool
from vivavoce.protocol.session import FunctionTool, McpApproval, McpServerTool, McpToolFilter

_NAME_CHARS = 64
"""characters of a function's name, of which chat models know letters, digits, `_` and `-`"""


def is_allowed(tool: McpTool, server: McpServerTool) -> bool:
    """Return whether the session offers this tool to the model."""
    match server.allowed_tools:
        case None | UnsetType():
            return True
        case McpToolFilter() as wanted:
            return _fits(tool, wanted)
        case names:
            return tool.name in names


def needs_approval(tool: McpTool, server: McpServerTool) -> bool:
    """Return whether the client must approve each call: unless it has said `never` of this tool."""
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
    """Return whether a filter names this tool. One that is empty names none."""
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
    """Gives each tool of each server a name of its own, which it keeps as long as the conversation lasts.

    It is the tool's own name, unless a function of the client's or another server's tool has it.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._tools: dict[str, tuple[str, str]] = {}

    def name(self, label: str, tool: str, taken: Collection[str]) -> str:
        """Return the name of a server's tool. It is none of those that are `taken`."""
        known = self._names.get((label, tool))
        for name in chain([known] if known else [], _candidates(label, tool)):
            if name not in taken and self._tools.get(name, (label, tool)) == (label, tool):
                break
        self._names[label, tool] = name
        self._tools[name] = (label, tool)
        return name


def _candidates(label: str, tool: str) -> Iterator[str]:
    """Yield what a tool may be called, from the plainest to the oddest."""
    for whole in (tool, f"{label}_{tool}"):
        yield _plain(whole, _NAME_CHARS) or "tool"
    for number in count(2):
        yield f"{_plain(f'{label}_{tool}', _NAME_CHARS - 8)}_{number}"


def _plain(name: str, limit: int) -> str:
    return re.sub(r"[^\w-]+", "_", name, flags=re.ASCII)[:limit]
