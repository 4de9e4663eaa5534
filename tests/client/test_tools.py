"""Tools on the client's side: whatever a program can do, the model may ask it for."""

from typing import Any

import anyio
import pytest

from client.plays import Network, logged, said
from tools.support import model
from vivavoce import Card, ConfigError, ProviderError, RealtimeClient, tool
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio

LOOK = {"name": "look", "description": "Look it up.", "parameters": {"type": "object"}}
CALL = ToolCall("opening_hours", '{"day": "sunday"}')


def opening_hours(day: str) -> str:
    """Tell when the shop is open.

    Args:
        day: the day of the week
    """
    return f"On {day} from ten to four."


def desk(*calls: ToolCall) -> Simulation:
    """Where the model makes these calls for whatever is asked, and then tells what came of them."""
    return Simulation([model(*(calls or [CALL]))])


async def answered(client: RealtimeClient) -> str:
    await client.send_user_message_content("When are you open on Sunday?")
    answer = await client.wait_for_next_completed_item(role="assistant")
    return answer.words.strip()


async def test_the_model_calls_a_python_function() -> None:
    client = RealtimeClient(desk().engine)
    client.add_tool(opening_hours)
    async with client:
        assert await answered(client) == "So: On sunday from ten to four."
    _, call, output, _ = client.items
    assert call.tool_call is not None
    assert (call.tool_call.name, call.tool_call.arguments) == ("opening_hours", '{"day": "sunday"}')
    assert (call.type, call.role, output.type) == ("function_call", None, "function_call_output")
    assert output.output == "On sunday from ten to four."


async def test_a_tool_may_come_and_go_while_people_talk() -> None:
    simulation = desk()
    async with RealtimeClient(simulation.engine) as client:
        client.add_tool(opening_hours)
        client.add_tool(LOOK, print)
        await client.send_user_message_content("Well?")
        await client.wait_for_next_completed_item(role="assistant")
        assert [one.name for one in simulation.chat.requests[-1].tools] == ["opening_hours", "look"]
        assert logged(client)[0] == "session.update", "before anything else, and once for both"
        assert logged(client).count("session.update") == 1
        client.remove_tool("look")
        updated = await client.wait_for_next("session.updated")
        assert [one.name for one in updated.session.tools] == ["opening_hours"]
        with pytest.raises(ConfigError, match="There is no tool 'look'"):
            client.remove_tool("look")
        with pytest.raises(ConfigError, match="remove_tool"):
            client.add_tool(opening_hours)


async def test_several_calls_of_one_answer_are_answered_once() -> None:
    calls = [ToolCall("opening_hours", f'{{"day": "{day}"}}') for day in ("sunday", "monday")]
    async with RealtimeClient(desk(*calls).engine) as client:
        client.add_tool(tool(opening_hours))
        told = await answered(client)
    assert "sunday" in told
    assert "monday" in told
    assert logged(client).count("response.create") == 2, "one for the question, one for both outputs"


async def look(day: str) -> dict[str, str]:
    return {day: "closed"}


def plain_look(day: str) -> dict[str, str]:
    return {day: "closed"}


@pytest.mark.parametrize("definition", [LOOK, FunctionTool(name="look", parameters={"type": "object"})])
async def test_a_definition_and_a_handler_make_a_tool(definition: Any) -> None:
    async with RealtimeClient(desk(ToolCall("look", '{"day": "sunday"}')).engine) as client:
        made = client.add_tool(definition, look)
        assert made.definition.name == "look"
        assert await answered(client) == 'So: {"sunday":"closed"}'


@pytest.mark.real_time
async def test_a_plain_handler_works_in_a_thread() -> None:
    simulation = desk(ToolCall("look", '{"day": "sunday"}'))
    async with RealtimeClient(simulation.engine) as client:
        client.add_tool(LOOK, plain_look)
        assert await answered(client) == 'So: {"sunday":"closed"}'


@pytest.mark.parametrize(
    ("given", "handler"), [(LOOK, None), ({"description": "nameless"}, print), (42, None), ({"name": 7}, print)]
)
async def test_what_is_no_tool_is_refused(given: Any, handler: Any) -> None:
    with pytest.raises(ConfigError):
        RealtimeClient(Simulation().engine).add_tool(given, handler)


async def test_a_tool_that_fails_fails_no_call() -> None:
    async def broken(day: str) -> str:
        raise ZeroDivisionError(day)

    async with RealtimeClient(desk(ToolCall("look", '{"day": "sunday"}')).engine) as client:
        client.add_tool(LOOK, broken)
        assert await answered(client) == "So: The tool has failed."


async def test_the_users_own_tools_are_the_users_to_answer() -> None:
    async with RealtimeClient(desk(ToolCall("look", "{}")).engine) as client:
        await client.update_session(tools=[LOOK])
        client.add_tool(opening_hours)

        @client.on("conversation.item.completed")
        async def answer(update: Any) -> None:
            if update.item.tool_call:
                output = FunctionCallOutput(call_id=update.item.tool_call.call_id, output="Mine.")
                await client.send(e.ConversationItemCreate(item=output))
                await client.wait_for_next("response.done")
                await client.create_response()

        assert await answered(client) == "So: Mine."
        assert isinstance(client.session, Session)
        assert [one.name for one in client.session.tools or () if isinstance(one, FunctionTool)] == [
            "look",
            "opening_hours",
        ]


async def test_a_card_is_emitted() -> None:
    async def show(day: str) -> Card:
        return Card(title="Hours", markdown=f"**{day}**: closed")

    cards: list[e.CardShown] = []
    async with RealtimeClient(desk(ToolCall("look", '{"day": "sunday"}')).engine) as client:
        client.add_tool(LOOK, show)
        client.on("vivavoce.card", cards.append)
        await answered(client)
    (card,) = cards
    assert card.title == "Hours"
    assert "<strong>sunday</strong>" in card.html


async def test_a_tool_may_hang_up() -> None:
    async with RealtimeClient(desk(ToolCall("look", "{}")).engine) as client:

        async def hang_up() -> None:
            await client.disconnect()

        client.add_tool(LOOK, hang_up)
        with pytest.raises(ProviderError, match="has hung up"):
            await answered(client)
        assert not client.is_connected


async def test_a_tool_at_work_when_the_connection_breaks_tells_the_next_one() -> None:
    network = Network(desk(ToolCall("look", "{}")))
    errors: list[e.ErrorEvent] = []
    async with RealtimeClient(network.connect) as client:
        client.on("error", errors.append)

        async def slow() -> str:
            await anyio.sleep(5)
            return "At last."

        client.add_tool(LOOK, slow)
        await client.send_user_message_content("Well?")
        await client.wait_for_next("response.done")
        await network.break_off()
        answer = await client.wait_for_next_completed_item(role="assistant", timeout=30)
    assert answer.words.strip() == "So: At last."
    assert said(client) == ["user: Well?", "assistant: So: At last."]
    assert errors == []


async def test_what_a_tool_says_during_a_break_waits_for_the_connection() -> None:
    network = Network(desk(ToolCall("look", "{}")))
    async with RealtimeClient(network.connect) as client:

        async def quick() -> str:
            await network.break_off()
            return "Done."

        client.add_tool(LOOK, quick)
        await client.send_user_message_content("Well?")
        answer = await client.wait_for_next_completed_item(role="assistant", timeout=30)
    assert answer.words.strip() == "So: Done."
