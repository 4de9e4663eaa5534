"""The tools of a session: their validation, and the removal of their credentials."""

import re
from typing import TypeVar
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.addresses import is_plain
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import (
    AnySession,
    FunctionTool,
    McpServerTool,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
    TranscriptionSession,
)
from vivavoce.protocol.validation import invalid, missing

TOOLS = 128
"""default limit on the tools of a session"""

HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_INVALID_URL = "expected the http or https address of an MCP server, without a user's name or a fragment."
RESERVED_HEADERS = {"host", "connection", "content-length", "transfer-encoding"}
"""headers about routing and framing, which a client may not set"""
_S = TypeVar("_S", bound=AnySession | ResponseParams)


def check_tools(tools: tuple[Tool, ...] | UnsetType, at: str, most: int) -> None:
    """Raise a `ProtocolError` for the first invalid tool. `at` is the path of the tools' owner."""
    if tools is UNSET:
        return
    if len(tools) > most:
        raise invalid(f"{at}.tools", f"{len(tools)} tools; there may be {most} (limits.tools).")
    seen = set[str]()
    for index, tool in enumerate(tools):
        name, field = (
            (tool.name, "name") if isinstance(tool, FunctionTool) else (tool.server_label, "server_label")
        )
        param = f"{at}.tools[{index}].{field}"
        if not name:
            raise invalid(param, "a tool needs a name.")
        if name in seen:
            raise invalid(param, f"there are two tools called '{name}'.")
        seen.add(name)
        if isinstance(tool, McpServerTool):
            _check_server(tool, f"{at}.tools[{index}]")


def _check_server(server: McpServerTool, at: str) -> None:
    for name in ("connector_id", "tunnel_id"):
        if getattr(server, name) is not UNSET:
            raise invalid(f"{at}.{name}", "only OpenAI has these; name the `server_url` of an MCP server.")
    if not server.server_url:
        raise missing(f"{at}.server_url")
    if not _is_http_url(server.server_url):
        raise invalid(f"{at}.server_url", _INVALID_URL)
    if server.authorization and not is_plain(server.authorization):
        raise invalid(f"{at}.authorization", "expected a token of printable ASCII characters.")
    for name, value in (server.headers or {}).items():
        if name.lower() in RESERVED_HEADERS:
            raise invalid(f"{at}.headers.{name}", "this header is not a client's to set.")
        if not HEADER_NAME.fullmatch(name) or not is_plain(value):
            raise invalid(f"{at}.headers.{name}", "expected a header of printable ASCII characters.")


def _is_http_url(url: str) -> bool:
    """Return whether this is an HTTP URL that all parsers read in the same way."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 and parts.scheme in ("http", "https") else None
    except ValueError:
        return False
    return bool(host) and is_plain(url) and not set("@ \\#") & set(url.partition("?")[0])


def check_choice(choice: ToolChoice | UnsetType, tools: tuple[Tool, ...] | UnsetType, at: str) -> None:
    """Raise a `ProtocolError` for a `tool_choice` that names none of the tools."""
    names = {tool.name for tool in tools or () if isinstance(tool, FunctionTool)}
    labels = {tool.server_label for tool in tools or () if isinstance(tool, McpServerTool)}
    if isinstance(choice, ToolChoiceFunction) and choice.name not in names:
        raise invalid(f"{at}.tool_choice.name", f"there is no tool called '{choice.name}'.")
    if isinstance(choice, ToolChoiceMcp) and choice.server_label not in labels:
        raise invalid(f"{at}.tool_choice.server_label", f"there is no MCP server '{choice.server_label}'.")


def without_secrets(settings: _S) -> _S:
    """Return a session, or the parameters of a response, without the credentials for MCP servers."""
    if isinstance(settings, TranscriptionSession) or not settings.tools:
        return settings
    shown = tuple(
        replace(tool, authorization=UNSET, headers=UNSET) if isinstance(tool, McpServerTool) else tool
        for tool in settings.tools
    )
    return replace(settings, tools=shown)


def event_without_secrets(event: e.Event) -> e.Event:
    """Return an event for logs and recordings: without the credentials for MCP servers."""
    match event:
        case e.SessionUpdate(session=session):
            return replace(event, session=without_secrets(session))
        case e.ResponseCreate(response=ResponseParams() as params):
            return replace(event, response=without_secrets(params))
        case _:
            return event
