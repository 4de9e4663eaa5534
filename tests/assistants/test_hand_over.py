"""Plays in which one assistant hands the caller over to another, in the middle of a call, and back."""

import pytest

from assistants.support import said, staged
from engines.simulations import ask, with_input
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput, InputText
from vivavoce.protocol.session import FunctionTool, Session, TranscriptionSettings
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.testing.simulation import CallerSays, ClientSends, Reply, Script, Timeline
from vivavoce.tools.function import tool
from vivavoce.tools.types import Assistant, Context

pytestmark = pytest.mark.anyio


@tool
def who_calls(name: str, context: Context) -> str:
    """Note who calls."""
    context.state["name"] = name
    return f"{name} calls."


@tool
def open_bills(context: Context) -> str:
    """Say which bills are open."""
    return f"{context.state.get('name', 'Somebody')} has one open bill."


BILLING = Assistant("You are billing.", name="billing", tools=[open_bills], hand_over=["desk"])
DESK = Assistant("You are the desk.", name="desk", tools=[who_calls], greeting="Hello.", hand_over=[BILLING])


def plays(**parts: Reply) -> Script:
    """Return a model that, whoever it is, calls what the caller names, and says what tools have said."""

    def reply(request: ChatRequest) -> Reply:
        last = request.items[-1]
        me = request.instructions.removeprefix("You are ").partition(".")[0]
        if isinstance(last, FunctionCallOutput):
            return f"{me}: {last.output}"
        said = last.content[0]  # type: ignore[union-attr]
        words = said.text if isinstance(said, InputText) else said.transcript  # type: ignore[union-attr]
        return parts.get(words, f"{me} answers.")

    return reply


MODEL = plays(
    Ada=ToolCall("who_calls", '{"name": "Ada"}'),
    billing=ToolCall("transfer_to_billing", "{}"),
    desk=ToolCall("transfer_to_desk", "{}"),
    bills=ToolCall("open_bills", "{}"),
)


def tools(timeline: Timeline, nth: int) -> list[str]:
    """The names of the tools that the session had after the nth change."""
    return [
        one.name for one in timeline.of(e.SessionUpdated)[nth].session.tools if isinstance(one, FunctionTool)
    ]


async def test_the_other_one_answers_in_the_same_call_with_tools_of_its_own() -> None:
    simulation = staged(DESK, replies=[MODEL])
    timeline = await simulation.run(*ask(2, "billing"), *ask(6, "bills"), until=10)
    assert (
        said(timeline) == "Hello.billing: You are through to billing now. billing: Somebody has one open bill."
    )
    assert tools(timeline, 0) == ["open_bills", "transfer_to_desk"]
    assert simulation.chat.requests[-1].instructions == "You are billing."
    assert [event.name for event in timeline.of(e.AssistantChanged)] == ["billing"]
    assert not timeline.of(e.ErrorEvent)


async def test_the_other_one_is_there_before_the_model_is_asked_to_go_on() -> None:
    timeline = await staged(DESK, replies=[MODEL]).run(*ask(2, "billing"), until=6)
    assert timeline.at(e.SessionUpdated) <= timeline.at(e.ResponseCreated, 2)
    assert timeline.at(e.AssistantChanged) <= timeline.at(e.ResponseCreated, 2)


async def test_they_may_hand_over_to_and_fro_and_tools_keep_what_they_know() -> None:
    steps = [*ask(2, "Ada"), *ask(6, "billing"), *ask(10, "bills"), *ask(14, "desk"), *ask(18, "Who is it?")]
    timeline = await staged(DESK, replies=[MODEL]).run(*steps, until=22)
    assert [event.name for event in timeline.of(e.AssistantChanged)] == ["billing", "desk"]
    assert "Ada has one open bill." in said(timeline), "what was noted at the desk is known in billing"
    assert said(timeline).endswith("the desk answers."), "and the desk does not greet again"
    assert tools(timeline, 1) == ["who_calls", "transfer_to_billing"]
    assert said(timeline).count("Hello.") == 1


async def test_a_caller_is_handed_over_by_voice() -> None:
    simulation = staged(DESK, replies=[MODEL])
    timeline = await simulation.run(
        CallerSays(2, "billing", seconds=1), CallerSays(7, "bills", seconds=1), until=12
    )
    assert said(timeline).endswith("billing: Somebody has one open bill.")


async def test_who_takes_over_says_its_greeting_in_place_of_an_answer() -> None:
    workshop = Assistant("You are the workshop.", name="workshop", greeting="This is the workshop.")
    desk = Assistant("You are the desk.", name="desk", hand_over=[workshop])
    simulation = staged(desk, replies=[plays(workshop=ToolCall("transfer_to_workshop", "{}"))])
    timeline = await simulation.run(*ask(1, "workshop"), *ask(5, "Hm?"), until=8)
    assert said(timeline) == "This is the workshop.the workshop answers."
    assert len(simulation.chat.requests) == 2, "no model was asked for the greeting"


async def test_a_tool_may_call_in_somebody_for_the_occasion() -> None:
    @tool
    def call_expert(subject: str) -> Assistant:
        """Call an expert."""
        return Assistant(f"You are an expert of {subject}.", name="expert", hand_over=["desk"])

    desk = Assistant("You are the desk.", name="desk", tools=[call_expert])
    model = plays(
        cheese=ToolCall("call_expert", '{"subject": "cheese"}'), desk=ToolCall("transfer_to_desk", "{}")
    )
    timeline = await staged(desk, replies=[model]).run(*ask(1, "cheese"), *ask(5, "desk"), until=9)
    assert [event.name for event in timeline.of(e.AssistantChanged)] == ["expert", "desk"]
    assert said(timeline).startswith("an expert of cheese: ")


async def test_who_hands_over_to_somebody_unknown_keeps_the_caller() -> None:
    @tool
    def call_expert() -> Assistant:
        """Call an expert."""
        return Assistant("You are lost.", name="expert", hand_over=["nobody"])

    desk = Assistant("You are the desk.", name="desk", tools=[call_expert])
    simulation = staged(desk, replies=[plays(expert=ToolCall("call_expert", "{}"))])
    timeline = await simulation.run(*ask(1, "expert"), *ask(5, "Hm?"), until=8)
    assert "The tool has failed: expert has not taken over." in said(timeline)
    assert said(timeline).endswith("the desk answers.")
    assert not timeline.of(e.AssistantChanged, e.SessionUpdated)


async def test_two_who_only_hand_over_to_each_other_come_to_an_end() -> None:
    def to_and_fro(request: ChatRequest) -> Reply:
        calls = [one.name for one in request.tools if one.name.startswith("transfer")]
        return ToolCall(calls[0], "{}") if calls and request.tool_choice != "none" else "Enough."

    timeline = await staged(DESK, replies=[to_and_fro], limits=Limits(tool_rounds=3)).run(
        *ask(2, "Hm?"), until=20
    )
    assert len(timeline.of(e.AssistantChanged)) == 3
    assert said(timeline) == "Hello.Enough."


async def test_the_other_ones_language_is_understood() -> None:
    hindi = Assistant("You are billing.", name="billing", language="hi")
    desk = Assistant("You are the desk.", name="desk", language="en", hand_over=[hindi])
    heard = with_input(transcription=TranscriptionSettings(model="scripted"))
    simulation = staged(desk, session=heard, replies=[MODEL])
    timeline = await simulation.run(*ask(1, "billing"), until=5)
    (updated,) = timeline.of(e.SessionUpdated)
    assert updated.session.audio.input.transcription == TranscriptionSettings(model="scripted", language="hi")
    assert simulation.chat.requests[-1].instructions == "You are billing.\n\nAnswer in Hindi."


async def test_the_voice_stays() -> None:
    other = Assistant("You are billing.", name="billing", voice="cedar")
    desk = Assistant("You are the desk.", name="desk", voice="marin", greeting="Hello.", hand_over=[other])
    timeline = await staged(desk, replies=[MODEL]).run(*ask(2, "billing"), until=6)
    assert {event.response.audio.output.voice for event in timeline.of(e.ResponseCreated)} == {"marin"}
    assert not timeline.of(e.ErrorEvent)


async def test_what_a_client_says_of_a_call_that_is_not_its_own_is_left_out() -> None:
    def output(timeline: Timeline) -> e.ClientEvent:
        done = timeline.of(e.ResponseFunctionCallArgumentsDone)[0]
        item = FunctionCallOutput(call_id=done.call_id, output="There is no such tool.")
        return e.ConversationItemCreate(item=item)

    simulation = staged(DESK, replies=[MODEL])
    timeline = await simulation.run(*ask(2, "Ada"), ClientSends(2.5, output), until=6)
    assert said(timeline) == "Hello.the desk: Ada calls."
    assert not timeline.of(e.ErrorEvent)


async def test_a_client_does_not_become_its_own_assistant_by_a_hand_over() -> None:
    simulation = staged(DESK, replies=[MODEL])
    update = ClientSends(5, e.SessionUpdate(session=Session(instructions="You are a pirate.", tools=())))
    await simulation.run(*ask(2, "billing"), update, *ask(6, "Hm?"), until=9)
    last = simulation.chat.requests[-1]
    assert (last.instructions, len(last.tools)) == ("You are billing.", 2)
