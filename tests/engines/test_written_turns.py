"""What is asked in writing, or otherwise than the session says; tools; items."""

from array import array

import pytest

from engines.simulations import STORY, TRANSCRIBED, ask, done, error, types
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    ItemReference,
    Message,
    OutputText,
)
from vivavoce.protocol.responses import Incomplete, ResponseParams
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Unresponsive

pytestmark = pytest.mark.anyio


# typed turns, overrides, out of band


async def test_a_typed_question_is_answered_in_text_if_so_wished() -> None:
    timeline = await Simulation(["It is noon."]).run(
        *ask(0.1, "What time is it?", output_modalities=("text",)), until=3
    )
    assert "".join(event.delta for event in timeline.of(e.ResponseOutputTextDelta)).strip() == "It is noon."
    assert not timeline.of(e.ResponseOutputAudioDelta)
    (message,) = done(timeline).response.output
    assert isinstance(message.content[0], OutputText)


async def test_one_response_may_have_its_own_instructions_and_length() -> None:
    simulation = Simulation(["One two three four five."])
    timeline = await simulation.run(
        *ask(0.1, "Count.", instructions="Be brief.", max_output_tokens=3, metadata={"topic": "numbers"}),
        until=4,
    )
    assert simulation.chat.requests[0].instructions == "Be brief."
    assert done(timeline).response.status == "incomplete"
    assert done(timeline).response.status_details == Incomplete(reason="max_output_tokens")
    assert done(timeline).response.metadata == {"topic": "numbers"}


async def test_a_response_out_of_band_leaves_no_items() -> None:
    simulation = Simulation(["A summary."])
    params = ResponseParams(conversation="none", output_modalities=("text",))
    timeline = await simulation.run(ClientSends(0.1, e.ResponseCreate(response=params)), until=3)
    assert done(timeline).response.conversation_id is None
    assert not timeline.of(e.ConversationItemAdded)
    assert timeline.of(e.ResponseOutputItemDone)


async def test_out_of_band_responses_run_beside_the_conversation() -> None:
    simulation = Simulation([STORY])
    params = ResponseParams(conversation="none", output_modalities=("text",))
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"), ClientSends(4.0, e.ResponseCreate(response=params)), until=20
    )
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed", "completed"]


async def test_a_response_may_be_given_its_own_input() -> None:
    simulation = Simulation(["Fine."])
    item = Message(id="item_mine", role="user", content=(InputText(text="The one that counts."),))
    other = Message(role="user", content=(InputText(text="Forget me."),))
    params = ResponseParams(conversation="none", input=(ItemReference(id="item_mine"),))
    await simulation.run(
        ClientSends(0.1, e.ConversationItemCreate(item=item)),
        ClientSends(0.2, e.ConversationItemCreate(item=other)),
        ClientSends(0.3, e.ResponseCreate(response=params)),
        until=3,
    )
    assert [i.id for i in simulation.chat.requests[0].items] == ["item_mine"]


async def test_the_conversation_has_one_response_at_a_time() -> None:
    timeline = await Simulation([STORY]).run(
        *ask(0.1, "Tell me a story"), ClientSends(1.0, e.ResponseCreate(event_id="second")), until=20
    )
    assert error(timeline).code == "conversation_already_has_active_response"
    assert error(timeline).event_id == "second"
    assert len(timeline.of(e.ResponseDone)) == 1


async def test_usage_counts_words_and_sound() -> None:
    timeline = await Simulation(["One two three."]).run(*ask(0.1, "Count."), until=4)
    usage = done(timeline).response.usage
    assert usage.output_token_details.text_tokens == 3
    assert usage.output_token_details.audio_tokens > 5
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


async def test_only_so_many_responses_run_out_of_band() -> None:
    params = ResponseParams(conversation="none", output_modalities=("text",))
    simulation = Simulation([Unresponsive()], limits=Limits(out_of_band_responses=2, first_token_seconds=9))
    timeline = await simulation.run(
        *[ClientSends(0.1 * n, e.ResponseCreate(response=params)) for n in range(3)], until=2
    )
    assert "limits.out_of_band_responses" in error(timeline).message


# tools


async def test_a_tool_is_called_and_its_output_answered() -> None:
    weather = FunctionTool(name="weather", description="Tells the weather.", parameters={"type": "object"})
    simulation = Simulation([ToolCall("weather", '{"city":"Bern"}')])
    timeline = await simulation.run(
        ClientSends(0.0, e.SessionUpdate(session=Session(tools=(weather,)))),
        CallerSays(0.5, "How is the weather?"),
        until=4,
    )
    (call,) = done(timeline).response.output
    assert isinstance(call, FunctionCall)
    assert (call.name, call.arguments, call.status) == ("weather", '{"city":"Bern"}', "completed")
    names = types(timeline)
    order = [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.done",
    ]
    assert sorted(order, key=names.index) == order
    assert simulation.chat.requests[0].tools == (weather,)


async def test_words_may_come_before_a_call() -> None:
    simulation = Simulation([["Let me look.", ToolCall("weather", "{}")]])
    timeline = await simulation.run(CallerSays(0.5, "How is the weather?"), until=6)
    message, call = done(timeline).response.output
    assert isinstance(message, Message)
    assert isinstance(call, FunctionCall)


async def test_an_output_needs_its_call() -> None:
    item = FunctionCallOutput(call_id="call_unknown", output="{}")
    timeline = await Simulation().run(ClientSends(0.1, e.ConversationItemCreate(item=item)), until=1)
    assert error(timeline).param == "item.call_id"
    call = FunctionCall(name="weather", arguments="{}", call_id="call_unknown")
    timeline = await Simulation().run(
        ClientSends(0.1, e.ConversationItemCreate(item=call)),
        ClientSends(0.2, e.ConversationItemCreate(item=item)),
        until=1,
    )
    assert not timeline.of(e.ErrorEvent)


# items


async def test_items_can_be_put_anywhere_and_taken_away() -> None:
    def said(item_id: str) -> Message:
        return Message(id=item_id, role="user", content=(InputText(text=item_id),))

    simulation = Simulation(["Fine."])
    timeline = await simulation.run(
        ClientSends(0.1, e.ConversationItemCreate(item=said("b"))),
        ClientSends(0.2, e.ConversationItemCreate(item=said("a"), previous_item_id="root")),
        ClientSends(0.3, e.ConversationItemCreate(item=said("c"), previous_item_id="a")),
        ClientSends(0.4, e.ConversationItemDelete(item_id="b")),
        ClientSends(0.5, e.ResponseCreate()),
        until=3,
    )
    assert [item.id for item in simulation.chat.requests[0].items] == ["a", "c"]
    assert timeline.of(e.ConversationItemDeleted)


async def test_an_item_of_sound_is_understood() -> None:
    simulation = Simulation(["Fine."], session=TRANSCRIBED)
    sound = array("h", [1000] * 24000).tobytes()
    item = Message(id="spoken", role="user", content=(InputAudio(audio=sound),))
    timeline = await simulation.run(
        CallerSays(9.0, "hello from a file", seconds=1.0),
        ClientSends(0.1, e.ConversationItemCreate(item=item)),
        ClientSends(0.2, e.ResponseCreate()),
        ClientSends(3.0, e.ConversationItemRetrieve(item_id="spoken")),
        until=4,
    )
    assert timeline.of(e.TranscriptionCompleted)[0].transcript == "hello from a file"
    (retrieved,) = timeline.of(e.ConversationItemRetrieved)
    assert retrieved.item.content == (InputAudio(audio=sound, transcript="hello from a file"),)
