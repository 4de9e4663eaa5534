"""What `vivavoce/mcp/library.py` relies on inside the `mcp` library. If one fails, the library has changed."""

import inspect
from typing import get_args

import mcp.client._transport as private
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from mcp import Client, StdioServerParameters
from vivavoce.mcp.library import output_text


def test_a_transport_yields_a_stream_to_read_and_one_to_write() -> None:
    read, write = get_args(private.TransportStreams)
    assert read.__origin__ is private.ReadStream
    assert write.__origin__ is private.WriteStream
    assert hasattr(private.ReadStream, "__aiter__")


def test_a_client_is_made_of_a_transport_and_speaks_to_older_servers() -> None:
    parameters = inspect.signature(Client).parameters
    assert next(iter(parameters)) == "server"
    assert "mode" in parameters


def test_transports_take_what_we_give_them() -> None:
    assert "http_client" in inspect.signature(streamable_http_client).parameters
    assert "httpx_client_factory" in inspect.signature(sse_client).parameters
    assert next(iter(inspect.signature(stdio_client).parameters)) == "server"
    assert {"command", "args", "env"} <= set(StdioServerParameters.model_fields)


def test_an_error_has_a_code_and_a_message() -> None:
    error = MCPError(code=-32000, message="Connection closed")
    assert (error.code, error.message) == (-32000, "Connection closed")


def test_whatever_a_tool_returns_is_told_by_its_words() -> None:
    parts = [
        TextContent(text="Two books."),
        TextContent(text=""),
        EmbeddedResource(resource=TextResourceContents(uri="file:///list.txt", text="Emma")),
        EmbeddedResource(resource=BlobResourceContents(uri="a:pdf", blob="", mime_type="audio/aac")),
        ResourceLink(name="emma", title="Emma, the novel", uri="https://books.example/emma"),
        ImageContent(data="", mime_type="image/png"),
        TextContent(text="half a pair: \ud83d"),
    ]
    assert output_text(CallToolResult(content=parts)).split("\n") == [
        "Two books.",
        "",
        "Emma",
        "(audio/aac: a:pdf)",
        "Emma, the novel: https://books.example/emma",
        "(image)",
        "half a pair: ?",
    ]
    assert output_text(CallToolResult(content=[TextContent(text="")])) == ""
