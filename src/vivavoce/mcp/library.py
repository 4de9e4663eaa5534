"""Sessions by the official `mcp` library, which is slow to import: this module is imported on demand.

Of the library's private names one is used, `mcp.client._transport`, for the type that transports yield;
`tests/mcp/test_library.py` detects if it has changed.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
import httpx2
import msgspec
from anyio.streams.memory import MemoryObjectSendStream
from mcp.client._transport import ReadStream, TransportStreams
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)

from mcp import Client, StdioServerParameters
from vivavoce.limits import Limits
from vivavoce.mcp.servers import Command, McpFailure, McpSession, protocol_failure
from vivavoce.protocol.items import McpError, McpHttpError, McpProtocolError, McpTool, McpToolExecutionError
from vivavoce.protocol.session import McpServerTool

_CLOSED, _BROKEN = -32000, -32603
"""JSON-RPC codes, as the library uses them."""
_ONLY_SSE = range(400, 406)
"""The statuses with which a server that only supports SSE answers streamable HTTP (MCP, "Backwards
Compatibility").
"""


@asynccontextmanager
async def connect(server: McpServerTool, command: Command | None, limits: Limits) -> AsyncIterator[McpSession]:
    """Connect to a server, or start it by a command, until the block is left. Raises `McpFailure`.

    A started process is asked to end when the block is left, and killed after two seconds; if it ends before,
    `McpFailure` is raised. Its standard error is that of this process.
    """
    async with AsyncExitStack() as stack:
        with _failures(server.server_label) as statuses:
            if command:
                client = await stack.enter_async_context(Client(_process(command)))
            else:
                client = await _over_http(stack, server, limits, statuses)
        yield _Session(client, server.server_label, limits)


@dataclass(frozen=True)
class _Session:
    """A session of the library, whose failures are raised as `McpFailure`."""

    client: Client
    label: str
    limits: Limits

    async def list_tools(self) -> Sequence[McpTool]:
        found: list[McpTool] = []
        cursor: str | None = None
        with _failures(self.label):
            while len(found) <= self.limits.mcp_tools:
                page = await self.client.list_tools(cursor=cursor)
                found += [_tool(tool) for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None:
                    return found
        message = f"it offers more than {self.limits.mcp_tools} tools (limits.mcp_tools)"
        raise protocol_failure(self.label, _BROKEN, message)

    async def call_tool(self, name: str, arguments: dict[str, object]) -> str:
        with _failures(self.label):
            result = await self.client.call_tool(name, arguments)
        output = output_text(result)
        if result.is_error:
            raise McpFailure(self.label, McpToolExecutionError(message=output or "the tool has failed"))
        return output


def _tool(tool: Tool) -> McpTool:
    """Return a tool for an `mcp_list_tools` item. OpenAI's Agents SDK for JavaScript requires a description."""
    notes = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else None
    return McpTool(
        name=tool.name,
        input_schema=tool.input_schema,
        description=tool.description or "",
        annotations=notes or None,
    )


def output_text(result: CallToolResult) -> str:
    """Return a tool's output as text, with placeholders for what is none, such as images and audio."""
    if not result.content and result.structured_content is not None:
        return msgspec.json.encode(result.structured_content).decode()
    return "\n".join(map(_part, result.content)).encode(errors="replace").decode()


def _part(part: ContentBlock) -> str:
    match part:
        case TextContent(text=text) | EmbeddedResource(resource=TextResourceContents(text=text)):
            return text
        case EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=kind)):
            return f"({kind or 'data'}: {uri})"
        case ResourceLink():
            words = (part.title or part.name, part.description, part.uri)
            return ": ".join(str(one) for one in words if one)
        case _:
            return f"({part.type})"


# over HTTP


async def _over_http(
    stack: AsyncExitStack, server: McpServerTool, limits: Limits, statuses: Sequence[int]
) -> Client:
    ways = [_streamable_http, _sse]
    if urlsplit(server.server_url or "").path.rstrip("/").endswith("/sse"):
        ways.reverse()
    try:
        return await stack.enter_async_context(ways[0](server, limits))
    except Exception:  # whatever the library makes of it: what counts is the server's status
        if not statuses or statuses[-1] not in _ONLY_SSE:
            raise
    return await stack.enter_async_context(ways[1](server, limits))


@asynccontextmanager
async def _streamable_http(server: McpServerTool, limits: Limits) -> AsyncIterator[Client]:
    async with (
        _http_client(server, limits) as http,
        Client(streamable_http_client(server.server_url or "", http_client=http)) as client,
    ):
        yield client


def _sse(server: McpServerTool, limits: Limits) -> AbstractAsyncContextManager[Client]:
    transport = sse_client(
        server.server_url or "",
        httpx_client_factory=lambda headers=None, timeout=None, auth=None: _http_client(server, limits),
    )
    return Client(transport, mode="legacy")


def _http_client(server: McpServerTool, limits: Limits) -> httpx2.AsyncClient:
    """Return an HTTP client with the server's credentials, no compression, and a limit on response sizes."""

    async def on_response(response: httpx2.Response) -> None:
        _statuses.get([]).append(response.status_code)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.DecodingError("the response is compressed, which was not asked for")
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _Bounded(response.stream, limits.mcp_bytes)

    bearer = {"Authorization": f"Bearer {server.authorization}"} if server.authorization else {}
    return httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity", **(server.headers or {}), **bearer},
        timeout=httpx2.Timeout(limits.mcp_seconds, read=None),
        event_hooks={"response": [on_response]},
    )


class _Bounded(httpx2.AsyncByteStream):
    """The body of a response, which fails when it exceeds the limit."""

    def __init__(self, stream: httpx2.AsyncByteStream | httpx2.SyncByteStream, limit: int) -> None:
        self._stream, self._limit = stream, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        async for chunk in self._stream:  # type: ignore[union-attr]  # an async client's stream is async
            left -= len(chunk)
            if left < 0:
                raise httpx2.ReadError(f"the response has more than {self._limit} bytes (limits.mcp_bytes)")
            yield chunk

    async def aclose(self) -> None:
        if isinstance(self._stream, httpx2.AsyncByteStream):
            await self._stream.aclose()


# by a command


@asynccontextmanager
async def _process(command: Command) -> AsyncIterator[TransportStreams]:
    program, *arguments = command.line
    parameters = StdioServerParameters(command=program, args=arguments, env=dict(command.environment))
    async with stdio_client(parameters) as (messages, write), anyio.create_task_group() as tasks:
        passed_on, read = anyio.create_memory_object_stream[SessionMessage | Exception]()
        tasks.start_soon(_pass_on, messages, passed_on)
        yield read, write
        tasks.cancel_scope.cancel()


async def _pass_on(
    messages: ReadStream[SessionMessage | Exception],
    passed_on: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    """Forward what the process writes; report when it has ended, which the library's `Client` would not."""
    async with passed_on:
        async for message in messages:
            await passed_on.send(message)
    raise EOFError("the process has ended")


# failures

_statuses: ContextVar[list[int]] = ContextVar("statuses")
"""The HTTP statuses of the current request's responses, which the library does not expose."""


@contextmanager
def _failures(label: str) -> Iterator[Sequence[int]]:
    """Raise all exceptions as `McpFailure`."""
    statuses: list[int] = []
    token = _statuses.set(statuses)
    try:
        yield statuses
    except Exception as error:  # an unknown server can make the library raise anything
        lost = isinstance(error, MCPError) and error.code == _CLOSED
        fault = _error(error, statuses[-1] if statuses else 0)
        raise McpFailure(label, fault, connection_lost=lost) from error
    finally:
        _statuses.reset(token)


def _error(error: BaseException, status: int) -> McpError:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if status >= 400:  # the HTTP library's message contains the URL, perhaps with a key
        phrase = httpx2.codes.get_reason_phrase(status) or "refused"
        message = f"{phrase}: {error.message}" if isinstance(error, MCPError) else phrase
        return McpHttpError(code=status, message=message)
    if isinstance(error, MCPError):
        return McpProtocolError(code=error.code, message=error.message)
    code = _CLOSED if isinstance(error, httpx2.HTTPError) else _BROKEN
    return McpProtocolError(code=code, message=str(error) or type(error).__name__)
