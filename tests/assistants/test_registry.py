"""A server with an assistant, and with the tools that its configuration names."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from vivavoce.assistants.team import Team
from vivavoce.config.loading import load
from vivavoce.config.schema import Config
from vivavoce.config.telephone import TelephoneTable
from vivavoce.errors import ConfigError
from vivavoce.protocol import events as e
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.runtime import Runtime, choose_providers, language_warnings
from vivavoce.session.call import Caller
from vivavoce.testing.simulation import Simulation
from vivavoce.tools.function import tool
from vivavoce.tools.registry import ToolRegistry
from vivavoce.tools.types import Assistant, Tool

pytestmark = pytest.mark.anyio


@tool
def opening_hours() -> str:
    """Say when the shop is open."""
    return "From nine to six."


@tool
def order_status(order_id: str) -> str:
    """Say where an order is."""
    return "On its way."


DESK = Assistant("You are the desk.", name="desk", tools=[order_status], voice="marin", language="hi")
THEIRS = FunctionTool(name="look", parameters={"type": "object"})


class Late:
    """A source of tools that is there later."""

    label = "late"

    async def load(self) -> Sequence[Tool]:
        return [opening_hours]


def scripted(**tables: object) -> Config:
    return load(flags={"preset": "scripted", **tables}, dotenv=Path("nowhere")).config


async def begun(runtime: Runtime, wish: Session | None = None) -> Session:
    """Return the session with which a conversation in this house begins."""
    if not runtime.ready:
        await runtime.use_providers(Simulation().engine.providers)  # type: ignore[attr-defined]
    async with runtime.switchboard.connect(Caller("test", session=wish)) as line:
        created = await anext(line)
        assert isinstance(created, e.SessionCreated)
        assert isinstance(created.session, Session)
        return created.session


def names(session: Session) -> list[str]:
    return [one.name for one in session.tools or () if isinstance(one, FunctionTool)]


async def test_a_conversation_begins_as_the_assistant_wants_it() -> None:
    session = await begun(Runtime(scripted(), assistant=DESK))
    assert session.instructions == "You are the desk.\n\nAnswer in Hindi."
    assert names(session) == ["order_status"]
    assert session.audio.output.voice == "marin"  # type: ignore[union-attr]
    assert session.audio.input.transcription.language == "hi"  # type: ignore[union-attr]


async def test_the_model_has_read_what_the_tools_are_for_before_the_first_caller_comes() -> None:
    simulation = Simulation()
    await Runtime(scripted(), assistant=DESK).use_providers(simulation.engine.providers)  # type: ignore[attr-defined]
    (prepared,) = simulation.chat.prefills
    assert prepared.instructions == "You are the desk.\n\nAnswer in Hindi."
    assert [one.name for one in prepared.tools] == ["order_status"]


def test_a_model_that_reads_the_instructions_before_they_come_reads_the_assistants() -> None:
    choice = choose_providers(Config(), DESK)["chat"]
    assert choice.settings.warm == "You are the desk.\n\nAnswer in Hindi."  # type: ignore[attr-defined]


async def test_the_owners_tools_are_there_with_an_assistant_and_without() -> None:
    registry = ToolRegistry([opening_hours])
    assert names(await begun(Runtime(scripted(), tools=registry))) == ["opening_hours"]
    assert names(await begun(Runtime(scripted(), assistant=DESK, tools=registry))) == [
        "order_status",
        "opening_hours",
    ]


async def test_a_clients_tools_are_beside_the_owners_where_there_is_no_assistant() -> None:
    runtime = Runtime(scripted(), tools=ToolRegistry([opening_hours]))
    session = await begun(runtime, Session(tools=(THEIRS,), instructions="Be brief."))
    assert names(session) == ["look", "opening_hours"]
    assert session.instructions == "Be brief."


async def test_tools_that_come_late_are_there_from_the_next_conversation_on() -> None:
    registry = ToolRegistry([], [Late()])
    runtime = Runtime(scripted(), assistant=DESK, tools=registry)
    assert names(await begun(runtime)) == ["order_status"]
    await registry.load()
    assert names(await begun(runtime)) == ["order_status", "opening_hours"]


async def test_there_are_only_so_many_tools(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"more than 1 tools \(limits.tools\)"):
        Runtime(scripted(limits={"tools": 1}), assistant=Assistant("", tools=[order_status, opening_hours]))
    assert names(
        await begun(Runtime(scripted(limits={"tools": 1}), assistant=DESK, tools=ToolRegistry([opening_hours])))
    ) == ["order_status"]
    assert "only 0 of 1 shared tools are used (limits.tools)" in caplog.text


async def test_what_is_promised_by_http_is_what_is_kept() -> None:
    wish = Session(instructions="You are a pirate.", tools=(THEIRS,), max_output_tokens=100)
    runtime = Runtime(scripted(), assistant=DESK)
    promised, kept = runtime.resolve_session(wish), await begun(runtime, wish)
    assert isinstance(promised, Session)
    for session in (promised, kept):
        assert session.instructions == "You are the desk.\n\nAnswer in Hindi."
        assert (names(session), session.max_output_tokens) == (["order_status"], 100)
    promised = Runtime(scripted(), tools=ToolRegistry([opening_hours])).resolve_session(wish)
    assert isinstance(promised, Session)
    assert names(promised) == ["look", "opening_hours"]


async def test_nobody_sits_where_there_is_nothing_to_do() -> None:
    assert Runtime(scripted()).assistants.middleware(Caller("websocket")) is None


async def test_telephone_tools_are_offered_to_telephones_only() -> None:
    async def leave() -> None: ...

    config = scripted().model_copy(update={"telephone": TelephoneTable(avr=True)})
    assistants = Runtime(config).assistants
    assert assistants.middleware(Caller("websocket")) is None
    assert assistants.with_tools(Caller("websocket"), None) == Session(tools=())
    telephone = Caller("avr", leave=leave)
    assert assistants.middleware(telephone)
    session = assistants.with_tools(telephone, None)
    assert isinstance(session, Session)
    assert isinstance(session.tools, tuple)
    assert [tool.name for tool in session.tools if isinstance(tool, FunctionTool)] == ["hang_up"]


def test_who_is_to_speak_a_language_that_the_models_do_not_know_is_told_so() -> None:
    choices = choose_providers(Config())
    assert language_warnings(choices, Config(), Team(DESK)) == [
        "[transcriber] moonshine does not know Hindi, which desk asks for; choose another provider.",
        "[synthesizer] hibari does not know Hindi, which desk asks for; choose another provider.",
    ]
    assert not language_warnings(choices, Config(), Team(Assistant("Be brief.", language="en-GB")))
    german = Config.model_validate({"session": {"language": "de"}})
    assert "German, which [session] asks for" in language_warnings(choices, german)[0]
    assert not language_warnings(choose_providers(scripted()), scripted(), Team(DESK)), (
        "a script knows no language, and any"
    )
