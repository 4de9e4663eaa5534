"""Whose tools a session names."""

import pytest

from tools.support import Made
from vivavoce.errors import ConfigError
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import AnySession, FunctionTool, McpServerTool, Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT
from vivavoce.tools.session_tools import SessionTools

OURS = Made().tool("ours")
THEIRS = FunctionTool(name="theirs")
SERVER = McpServerTool(server_label="ours", server_url="https://tools.example", authorization="secret")


def named(*tools: FunctionTool | McpServerTool) -> e.SessionUpdate:
    return e.SessionUpdate(session=Session(tools=tools))


def test_ours_are_added_to_what_a_client_names() -> None:
    assert SessionTools([OURS]).intercept(named(THEIRS, SERVER)) == named(THEIRS, SERVER, OURS.definition)
    assert SessionTools([OURS]).intercept(named()) == named(OURS.definition)
    assert SessionTools([OURS]).intercept(named(FunctionTool(name="ours"))) == named(OURS.definition)


@pytest.mark.parametrize("session", [Session(instructions="Be brief."), TranscriptionSession()])
def test_who_says_nothing_of_tools_is_left_alone(session: AnySession) -> None:
    update = e.SessionUpdate(session=session)
    assert SessionTools([OURS]).intercept(update) is update


def test_when_ours_change_the_clients_stay() -> None:
    offer = SessionTools([OURS])
    assert offer.session.tools == (OURS.definition,)
    offer.intercept(named(THEIRS, SERVER))
    offer.tools = ()
    assert offer.session.tools == (THEIRS, SERVER), "with what only an MCP server may know"


def test_it_is_known_whose_a_tool_is() -> None:
    offer = SessionTools([OURS])
    offer.intercept(named(THEIRS))
    offer.on_event(
        e.SessionCreated(session=Session(tools=(OURS.definition, FunctionTool(name="the engine's"))))
    )
    assert offer.find("ours") is OURS
    assert offer.find("theirs") is None
    assert [offer.is_clients(name) for name in ("ours", "theirs", "the engine's", "invented")] == [
        *(False, True, True, False)
    ]
    offer.on_event(e.SessionUpdated(session=DEFAULT))
    assert not offer.is_clients("the engine's")
    offer.on_event(e.ResponseCreate(response=ResponseParams(tools=(FunctionTool(name="for once"),))))
    assert offer.is_clients("for once")


def test_the_house_cannot_have_two_tools_with_one_name() -> None:
    with pytest.raises(ConfigError, match="two tools called 'ours'"):
        SessionTools([OURS, OURS])
