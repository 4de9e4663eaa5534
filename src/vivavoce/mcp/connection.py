"""A server of tools that we are connected with, by the official `mcp` library, however it was reached."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import httpx2
import msgspec
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, Tool

from vivavoce.limits import Limits
from vivavoce.mcp.servers import ToolFailure
from vivavoce.protocol.items import McpError, McpHttpError, McpProtocolError, McpTool, McpToolExecutionError

__all__ = ["Connected", "answers", "failing"]

_CLOSED, _BROKEN = -32000, -32603
"""JSON-RPC codes, as the library uses them."""


@dataclass(frozen=True)
class Connected:
    """What such a server is asked, and how it answers."""

    client: Client
    label: str
    limits: Limits

    async def tools(self) -> Sequence[McpTool]:
        """Return all that it offers. Raises `ToolFailure`."""
        found: list[McpTool] = []
        cursor: str | None = None
        with failing(self.label):
            while len(found) <= self.limits.mcp_tools:
                page = await self.client.list_tools(cursor=cursor)
                found += [_told(tool) for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None:
                    return found
        message = f"it offers more than {self.limits.mcp_tools} tools (limits.mcp_tools)"
        raise ToolFailure(self.label, McpProtocolError(code=_BROKEN, message=message))

    async def call(self, name: str, arguments: dict[str, object]) -> str:
        """Let a tool do its work. Raises `ToolFailure`."""
        with failing(self.label):
            result = await self.client.call_tool(name, arguments)
        output = _said(result)
        if result.is_error:
            raise ToolFailure(self.label, McpToolExecutionError(message=output or "the tool has failed"))
        return output


def _told(tool: Tool) -> McpTool:
    """Return a tool as an item tells of it. OpenAI's Agents SDK for JavaScript insists on a description."""
    notes = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else None
    return McpTool(
        name=tool.name,
        input_schema=tool.input_schema,
        description=tool.description or "",
        annotations=notes or None,
    )


def _said(result: CallToolResult) -> str:
    """Return what a tool has said in words; of pictures and sounds, that there were some."""
    if not result.content and result.structured_content is not None:
        return msgspec.json.encode(result.structured_content).decode()
    return "\n".join(str(getattr(part, "text", None) or f"({part.type})") for part in result.content)


# what goes wrong

answers: ContextVar[list[int]] = ContextVar("answers")
"""The HTTP statuses with which a server answers what it is being asked; the library keeps them to itself."""


@contextmanager
def failing(label: str) -> Iterator[Sequence[int]]:
    """Make a `ToolFailure` of whatever a server breaks."""
    heard: list[int] = []
    token = answers.set(heard)
    try:
        yield heard
    except Exception as error:  # a stranger's server can make the library raise anything
        lost = isinstance(error, MCPError) and error.code == _CLOSED
        raise ToolFailure(label, _fault(error, heard[-1] if heard else 0), lost=lost) from error
    finally:
        answers.reset(token)


def _fault(error: BaseException, answered: int) -> McpError:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if answered >= 400:  # what the HTTP library says of it names the address, with the key that may be in it
        phrase = httpx2.codes.get_reason_phrase(answered) or "refused"
        message = f"{phrase}: {error.message}" if isinstance(error, MCPError) else phrase
        return McpHttpError(code=answered, message=message)
    if isinstance(error, MCPError):
        return McpProtocolError(code=error.code, message=error.message)
    code = _CLOSED if isinstance(error, httpx2.HTTPError) else _BROKEN
    return McpProtocolError(code=code, message=str(error) or type(error).__name__)
