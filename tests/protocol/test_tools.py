"""Which tools a session may name, and what of them is shown."""

from typing import Any

import msgspec
import pytest

from vivavoce.errors import ProtocolError
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import Session
from vivavoce.protocol.settings import DEFAULT, DEFAULT_TRANSCRIPTION, check_response, merge
from vivavoce.protocol.tools import without_secrets

DESK = {"type": "mcp", "server_label": "desk", "server_url": "https://desk.example/mcp"}


def naming(*tools: dict[str, Any], **more: object) -> Session:
    return msgspec.convert({"type": "realtime", "tools": tools, **more}, Session)


def refusal(*tools: dict[str, Any], **more: object) -> tuple[str, str | None]:
    with pytest.raises(ProtocolError) as caught:
        merge(DEFAULT, naming(*tools, **more))
    return caught.value.code, caught.value.param


@pytest.mark.parametrize(
    "url",
    [
        "https://desk.example/mcp",
        "http://127.0.0.1:9000",
        "http://[::1]:9000/sse",
        "https://desk.example/mcp?key=1",
    ],
)
def test_a_server_has_an_address_on_the_web(url: str) -> None:
    session = merge(DEFAULT, naming({**DESK, "server_url": url}))
    assert session.tools[0].server_url == url  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://desk.example",
        "file:///etc/passwd",
        "desk.example/mcp",
        "https://",
        "https://user:word@desk.example",
        "https://desk.example/#part",
        "https://desk.example:99999",
        "https://desk.example:0",
        "https://[desk",
        "https://désk.example",
        "https://desk.example/a b",
        "https://desk.example\\@other.example",
        "https://desk.example/\r\nHost: other.example",
    ],
)
def test_anything_else_is_no_address(url: str) -> None:
    assert refusal({**DESK, "server_url": url}) == ("invalid_value", "session.tools[0].server_url")


def test_a_server_without_an_address_is_none() -> None:
    no_address = {"type": "mcp", "server_label": "desk"}
    assert refusal(no_address) == ("missing_required_parameter", "session.tools[0].server_url")


@pytest.mark.parametrize("field", ["connector_id", "tunnel_id"])
def test_what_only_openai_has_is_refused(field: str) -> None:
    assert refusal({**DESK, field: "connector_gmail"}) == ("invalid_value", f"session.tools[0].{field}")


@pytest.mark.parametrize(
    "headers", [{"Host": "elsewhere"}, {"content-length": "0"}, {"X Y": "z"}, {"X": "a\r\nb"}, {"X": "é"}]
)
def test_a_client_does_not_decide_where_a_request_goes(headers: dict[str, str]) -> None:
    code, param = refusal(DESK, {**DESK, "server_label": "other", "headers": headers})
    assert (code, param) == ("invalid_value", f"session.tools[1].headers.{next(iter(headers))}")


def test_a_token_that_cannot_be_sent_is_refused_and_not_repeated() -> None:
    with pytest.raises(ProtocolError, match="authorization") as caught:
        merge(DEFAULT, naming({**DESK, "authorization": "se\ncret"}))
    assert caught.value.param == "session.tools[0].authorization"
    assert "cret" not in caught.value.message


def test_two_servers_have_two_labels() -> None:
    assert refusal(DESK, DESK) == ("invalid_value", "session.tools[1].server_label")


def test_only_a_server_that_was_named_can_be_chosen() -> None:
    choice = {"type": "mcp", "server_label": "desk"}
    session = merge(DEFAULT, naming(DESK, tool_choice=choice))
    assert session.tool_choice.server_label == "desk"  # type: ignore[union-attr]
    assert refusal(tool_choice=choice) == ("invalid_value", "session.tool_choice.server_label")
    params = msgspec.convert({"tools": [], "tool_choice": choice}, ResponseParams)
    with pytest.raises(ProtocolError) as caught:
        check_response(params)
    assert caught.value.param == "response.tool_choice.server_label"


def test_what_a_client_said_for_a_servers_ears_alone_is_not_shown() -> None:
    weather = {"type": "function", "name": "get_weather"}
    told = naming(weather, {**DESK, "authorization": "secret", "headers": {"X-Key": "secret"}})
    shown = msgspec.json.encode(without_secrets(merge(DEFAULT, told)))
    assert b"secret" not in shown
    assert b"get_weather" in shown
    assert b"https://desk.example/mcp" in shown


def test_where_there_are_no_tools_nothing_is_hidden() -> None:
    assert without_secrets(DEFAULT) is DEFAULT
    assert without_secrets(DEFAULT_TRANSCRIPTION) is DEFAULT_TRANSCRIPTION
