"""Servers of tools over HTTP, by the official `mcp` library. It is heavy: who needs it imports this late."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import msgspec
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, Tool

from vivavoce.limits import Limits
from vivavoce.mcp.servers import ToolFailure, ToolServer
from vivavoce.protocol.items import McpError, McpHttpError, McpProtocolError, McpTool, McpToolExecutionError
from vivavoce.protocol.session import McpServerTool

__all__ = ["connect"]

_CLOSED, _BROKEN = -32000, -32603
"""JSON-RPC codes, as the library uses them."""
_KNOWS_ONLY_SSE = range(400, 406)
"""What a server of the old kind answers to the new kind's first question (MCP, "Backwards Compatibility")."""


@asynccontextmanager
async def connect(server: McpServerTool, limits: Limits) -> AsyncIterator[ToolServer]:
    """Connect in the newest way that the server knows, until the block is left. Raises `ToolFailure`."""
    async with AsyncExitStack() as stack:
        with _failing(server.server_label) as answers:
            client = await _enter(stack, server, limits, answers)
        yield _Connected(client, server.server_label, limits)


async def _enter(
    stack: AsyncExitStack, server: McpServerTool, limits: Limits, answers: Sequence[int]
) -> Client:
    first, second = _streamable, _sse
    if urlsplit(server.server_url or "").path.rstrip("/").endswith("/sse"):
        first, second = _sse, _streamable
    try:
        return await stack.enter_async_context(first(server, limits))
    except Exception:  # whatever the library makes of it: the server's answer is what counts
        if not answers or answers[-1] not in _KNOWS_ONLY_SSE:
            raise
    return await stack.enter_async_context(second(server, limits))


@dataclass(frozen=True)
class _Connected:
    client: Client
    label: str
    limits: Limits

    async def tools(self) -> Sequence[McpTool]:
        found: list[McpTool] = []
        cursor: str | None = None
        with _failing(self.label):
            while len(found) <= self.limits.mcp_tools:
                page = await self.client.list_tools(cursor=cursor)
                found += [_told(tool) for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None:
                    return found
        message = f"it offers more than {self.limits.mcp_tools} tools (limits.mcp_tools)"
        raise ToolFailure(self.label, McpProtocolError(code=_BROKEN, message=message))

    async def call(self, name: str, arguments: dict[str, object]) -> str:
        with _failing(self.label):
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

_answers: ContextVar[list[int]] = ContextVar("answers")
"""The HTTP statuses with which a server answers what it is being asked; the library keeps them to itself."""


@contextmanager
def _failing(label: str) -> Iterator[Sequence[int]]:
    """Make a `ToolFailure` of whatever a server breaks."""
    answers: list[int] = []
    token = _answers.set(answers)
    try:
        yield answers
    except Exception as error:  # a stranger's server can make the library raise anything
        raise ToolFailure(label, _fault(error, answers[-1] if answers else 0)) from error
    finally:
        _answers.reset(token)


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


# ways in


@asynccontextmanager
async def _streamable(server: McpServerTool, limits: Limits) -> AsyncIterator[Client]:
    async with (
        _http(server, limits) as http,
        Client(streamable_http_client(server.server_url or "", http_client=http)) as client,
    ):
        yield client


@asynccontextmanager
async def _sse(server: McpServerTool, limits: Limits) -> AsyncIterator[Client]:
    transport = sse_client(
        server.server_url or "",
        httpx_client_factory=lambda headers=None, timeout=None, auth=None: _http(server, limits),
    )
    async with Client(transport, mode="legacy") as client:
        yield client


def _http(server: McpServerTool, limits: Limits) -> httpx2.AsyncClient:
    """Return an HTTP client that shows who asks, believes no compression, and reads no more than it may."""

    async def heard(response: httpx2.Response) -> None:
        _answers.get([]).append(response.status_code)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.DecodingError("the answer is compressed, which nobody had asked for")
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _Bounded(response.stream, limits.mcp_bytes)

    bearer = {"Authorization": f"Bearer {server.authorization}"} if server.authorization else {}
    return httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity", **(server.headers or {}), **bearer},
        timeout=httpx2.Timeout(limits.mcp_seconds, read=None),
        event_hooks={"response": [heard]},
    )


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer, which breaks off where it becomes too long."""

    def __init__(self, stream: httpx2.AsyncByteStream | httpx2.SyncByteStream, most: int) -> None:
        self._stream, self._most = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for chunk in self._stream:  # type: ignore[union-attr]
            left -= len(chunk)
            if left < 0:
                raise httpx2.ReadError(f"the answer has more than {self._most} bytes (limits.mcp_bytes)")
            yield chunk

    async def aclose(self) -> None:
        if isinstance(self._stream, httpx2.AsyncByteStream):
            await self._stream.aclose()
