"""Servers of tools over HTTP, by the official `mcp` library. It is heavy: who needs it imports this late."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from vivavoce.limits import Limits
from vivavoce.mcp.connection import Connected, answers, failing
from vivavoce.mcp.servers import ToolServer
from vivavoce.protocol.session import McpServerTool

__all__ = ["connect"]

_KNOWS_ONLY_SSE = range(400, 406)
"""What a server of the old kind answers to the new kind's first question (MCP, "Backwards Compatibility")."""


@asynccontextmanager
async def connect(server: McpServerTool, limits: Limits) -> AsyncIterator[ToolServer]:
    """Connect in the newest way that the server knows, until the block is left. Raises `ToolFailure`."""
    async with AsyncExitStack() as stack:
        with failing(server.server_label) as heard:
            client = await _enter(stack, server, limits, heard)
        yield Connected(client, server.server_label, limits)


async def _enter(stack: AsyncExitStack, server: McpServerTool, limits: Limits, heard: Sequence[int]) -> Client:
    first, second = _streamable, _sse
    if urlsplit(server.server_url or "").path.rstrip("/").endswith("/sse"):
        first, second = _sse, _streamable
    try:
        return await stack.enter_async_context(first(server, limits))
    except Exception:  # whatever the library makes of it: the server's answer is what counts
        if not heard or heard[-1] not in _KNOWS_ONLY_SSE:
            raise
    return await stack.enter_async_context(second(server, limits))


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
        answers.get([]).append(response.status_code)
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
