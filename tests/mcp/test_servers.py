"""Which servers of tools may be named, and what those that mean no good can do: little."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import SocketAttribute, SocketStream

from vivavoce.limits import Limits
from vivavoce.mcp.connection import McpConnection
from vivavoce.mcp.servers import McpFailure, McpServers
from vivavoce.protocol.items import McpError, McpHttpError, McpProtocolError
from vivavoce.protocol.session import McpServerTool

LISTED = McpServers(allowed=("https://tools.example/mcp", "http://127.0.0.1:9000"))


@pytest.mark.parametrize(
    "url",
    [
        "https://tools.example/mcp",
        "https://tools.example/mcp/",
        "https://tools.example:443/mcp/weather?key=1",
        "https://TOOLS.example/mcp",
        "http://127.0.0.1:9000",
        "http://127.0.0.1:9000/any/thing",
    ],
)
def test_what_is_listed_may_be_named_with_all_below_it(url: str) -> None:
    assert LISTED.refusal(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://tools.example/mcp",
        "https://tools.example:8443/mcp",
        "https://tools.example",
        "https://tools.example/mcpx",
        "https://tools.example/mcp/../admin",
        "https://tools.example/mcp/%2e%2e/admin",
        "https://tools.example.evil.example/mcp",
        "http://127.0.0.1:9001",
        "http://169.254.169.254/",
    ],
)
def test_anything_else_may_not(url: str) -> None:
    assert "[mcp] servers" in str(LISTED.refusal(url))
    assert "[mcp] servers" in str(McpServers().refusal(url))
    assert McpServers(allowed=None).refusal(url) is None


@pytest.mark.anyio
async def test_what_may_not_be_named_is_not_even_connected() -> None:
    with pytest.raises(McpFailure, match="servers"):
        async with LISTED.connect(McpServerTool(server_label="x", server_url="http://127.0.0.1:1")):
            pass


# servers that mean no good, over real sockets


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def answering(answer: bytes | Callable[[bytes], bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answer every request, with the same bytes or as it is asked; give the address, and what was asked."""
    asked: list[bytes] = []

    async def serve(stream: SocketStream) -> None:
        async with stream:
            request = await stream.receive()
            if request.startswith(b"POST"):
                while not request.rstrip().endswith(b"}"):
                    request += await stream.receive()
            asked.append(request)
            await stream.send(answer(request) if callable(answer) else answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[SocketAttribute.local_port]()
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(listener.serve, serve))
        yield f"http://127.0.0.1:{port}/mcp", asked
        tasks.cancel_scope.cancel()


async def failure_of(answer: bytes) -> McpError:
    servers = McpServers(Limits(mcp_bytes=1000), allowed=None)
    async with answering(answer) as (url, _):
        with pytest.raises(McpFailure) as caught:
            async with servers.connect(McpServerTool(server_label="x", server_url=f"{url}?key=mellon")):
                pass
    assert "mellon" not in str(caught.value)
    return caught.value.error


json = "Content-Type: application/json"


@pytest.mark.anyio
@pytest.mark.real_time
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http("401 Unauthorized"), McpHttpError(code=401, message="Unauthorized")),
        (http("503 Service Unavailable"), McpHttpError(code=503, message="Service Unavailable")),
    ],
)
async def test_a_server_that_refuses_is_told_of_by_its_status(answer: bytes, error: McpHttpError) -> None:
    told = await failure_of(answer)
    assert isinstance(told, McpHttpError)
    assert (told.code, told.message.partition(":")[0]) == (error.code, error.message)


@pytest.mark.anyio
@pytest.mark.real_time
@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", b"x" * 2000, json),
        http("200 OK", b"\x1f\x8b", json, "Content-Encoding: gzip"),
        http("200 OK", b"<html>", "Content-Type: text/html"),
        http("200 OK", b"{", json),
        b"nonsense",
        b"",
    ],
)
async def test_an_answer_too_long_compressed_or_none_is_a_failure_and_no_more(answer: bytes) -> None:
    assert isinstance(await failure_of(answer), McpProtocolError)


@pytest.mark.anyio
@pytest.mark.real_time
async def test_nobody_is_sent_elsewhere_with_a_secret() -> None:
    servers = McpServers(allowed=None)
    async with answering(b"") as (elsewhere, asked):
        redirect = http("307 Temporary Redirect", b"", f"Location: {elsewhere}")
        async with answering(redirect) as (url, asked_first):
            with pytest.raises(McpFailure):
                async with servers.connect(
                    McpServerTool(
                        server_label="x", server_url=url, authorization="mellon", headers={"X-A": "b"}
                    )
                ):
                    pass
    assert asked == []
    assert b"authorization: bearer mellon" in asked_first[0].lower()
    assert b"x-a: b" in asked_first[0].lower()


# servers that keep a session


def of_the_year_before(request: bytes) -> bytes:
    """Answer as servers do that know their visitors by `Mcp-Session-Id`."""
    head, _, body = request.partition(b"\r\n\r\n")
    if not head.startswith(b"POST"):
        return http("200 OK" if head.startswith(b"DELETE") else "405 Method Not Allowed")
    asked = msgspec.json.decode(body, type=dict[str, Any])
    if "id" not in asked:
        return http("202 Accepted")
    told: dict[str, object] = {"error": {"code": -32601, "message": "Method not found"}}
    if asked["method"] == "initialize":
        about = {"name": "old", "version": "1"}
        told = {"result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": about}}
    elif asked["method"] == "tools/list":
        told = {"result": {"tools": []}}
    return http("200 OK", msgspec.json.encode({"jsonrpc": "2.0", "id": asked["id"], **told}), json, SESSION)


SESSION = "Mcp-Session-Id: visitor-1"


@pytest.mark.anyio
@pytest.mark.real_time
async def test_a_session_is_ended_when_the_caller_hangs_up() -> None:
    async with answering(of_the_year_before) as (url, asked):
        async with anyio.create_task_group() as tasks:
            server = McpServerTool(server_label="x", server_url=url)
            assert await McpConnection(server, McpServers(allowed=None), tasks, 10).list_tools() == []
            tasks.cancel_scope.cancel()
        (goodbye,) = [request.lower() for request in asked if request.startswith(b"DELETE")]
        assert SESSION.lower().encode() in goodbye
