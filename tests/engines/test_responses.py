"""Responses in every form: overrides, tools, cancelling, and what may be changed while we speak."""

import pytest
from hypothesis import given
from msgspec import UNSET

from engines.simulations import STORY, ask, done, errors, types, user
from engines.test_laws import callers, lawful, perform, simulations
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, InputAudio, ItemReference, Message, OutputText
from vivavoce.protocol.responses import Cancelled, Incomplete, ResponseParams, WantedAudio, WantedOutput
from vivavoce.protocol.session import (
    FunctionTool,
    OutputSettings,
    PromptReference,
    Reasoning,
    RetentionRatio,
    Session,
    SessionAudio,
    ToolChoiceFunction,
    Tracing,
)
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ChatUsage, ToolCall
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Step, Timeline, Unresponsive

pytestmark = pytest.mark.anyio

LOOK = FunctionTool(name="look", parameters={"type": "object"})
GO = FunctionTool(name="go", parameters={"type": "object"})
WITH_TOOLS = merge(DEFAULT, Session(tools=(LOOK, GO)))
TEXT = {"output_modalities": ("text",)}
ASIDE = {"conversation": "none", **TEXT}


def wanted(at: float, event_id: str = "", **params: object) -> ClientSends:
    event = e.ResponseCreate(response=ResponseParams(**params), event_id=event_id or UNSET)
    return ClientSends(at, event)


def changed(at: float, **settings: object) -> ClientSends:
    return ClientSends(at, e.SessionUpdate(session=Session(**settings)))


def cancelled(at: float, nth: int) -> ClientSends:
    """Cancel the nth response by its id."""
    return ClientSends(
        at, lambda timeline: e.ResponseCancel(response_id=timeline.of(e.ResponseCreated)[nth].response.id)
    )


HALF = Message(role="user", content=(InputAudio(audio=b"abc"),))


# what is otherwise for one response


async def test_a_response_may_have_its_own_tools_and_choice() -> None:
    simulation = Simulation(["Fine."], session=WITH_TOOLS)
    await simulation.run(
        *ask(0.1, "One", tools=(GO,), tool_choice="required", **TEXT),
        *ask(1.0, "Two", tool_choice=ToolChoiceFunction(name="look"), **TEXT),
        *ask(2.0, "Three", parallel_tool_calls=False, instructions="", **TEXT),
        until=3,
    )
    first, second, third = simulation.chat.requests
    assert (list(first.tools), first.tool_choice) == ([GO], "required")
    assert (list(second.tools), second.tool_choice) == ([LOOK, GO], ToolChoiceFunction(name="look"))
    assert (third.tool_choice, third.parallel_tool_calls) == ("auto", False)


async def test_a_choice_of_the_session_is_left_to_the_model_where_its_tools_are_not_on_offer() -> None:
    session = merge(WITH_TOOLS, Session(tool_choice=ToolChoiceFunction(name="look")))
    simulation = Simulation(["Fine."], session=session)
    await simulation.run(*ask(0.1, "One", tools=(GO,), **TEXT), *ask(1.0, "Two", tools=(), **TEXT), until=2)
    assert [request.tool_choice for request in simulation.chat.requests] == ["auto", "auto"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"tool_choice": ToolChoiceFunction(name="fly")}, "response.tool_choice.name"),
        ({"tool_choice": "required", "tools": ()}, "response.tool_choice"),
        ({"input": (ItemReference(id="nobody"),)}, "response.input[0].id"),
        ({"input": (user("Hi"), HALF)}, "response.input[1].content[0].audio"),
        ({"input": tuple(user(str(n)) for n in range(11))}, "response.input"),
    ],
)
async def test_what_a_response_cannot_be_made_of_is_named(params: dict[str, object], param: str) -> None:
    simulation = Simulation(["Fine."], session=WITH_TOOLS, limits=Limits(items=10))
    timeline = await simulation.run(wanted(0.1, "mine", **params), *ask(0.5, "Still there?"), until=3)
    assert errors(timeline) == [("invalid_value", param)]
    assert timeline.of(e.ErrorEvent)[0].error.event_id == "mine"
    assert done(timeline).response.status == "completed"


@pytest.mark.parametrize("metadata", [None, {}, {"client_event_id": "response_create_1"}])
async def test_metadata_come_back_as_they_were_given(metadata: dict[str, str] | None) -> None:
    timeline = await Simulation(["Fine."]).run(*ask(0.1, "Hi", metadata=metadata, **TEXT), until=2)
    assert timeline.of(e.ResponseCreated)[0].response.metadata == metadata
    assert done(timeline).response.metadata == metadata


async def test_what_is_settled_for_a_response_is_told_at_once() -> None:
    audio = WantedAudio(output=WantedOutput(voice="other"))
    timeline = await Simulation(["Fine."]).run(*ask(0.1, "Hi", audio=audio, max_output_tokens=7), until=3)
    response = timeline.of(e.ResponseCreated)[0].response
    assert (response.status, response.output, response.max_output_tokens) == ("in_progress", (), 7)
    assert response.audio.output.voice == "other"
    assert response.conversation_id == done(timeline).response.conversation_id is not None


async def test_an_answer_may_be_made_from_items_that_are_in_no_conversation() -> None:
    simulation = Simulation(["Fine."])
    system = Message(role="system", content=user("Be brief.").content)
    answer = Message(role="assistant", content=(OutputText(text="I am."),))
    timeline = await simulation.run(
        *ask(0.1, "Forget me", **TEXT),
        wanted(1.0, input=(system, user("Are you brief?"), answer, user("Good.")), **ASIDE),
        wanted(2.0, input=(), **ASIDE),
        until=3,
    )
    assert [len(request.items) for request in simulation.chat.requests] == [1, 4, 0]
    assert len(timeline.of(e.ConversationItemAdded)) == 2


async def test_an_answer_in_the_conversation_may_be_made_from_other_items() -> None:
    simulation = Simulation(["Fine."])
    timeline = await simulation.run(wanted(0.1, input=(user("Alone"),), **TEXT), until=2)
    assert [item.content[0].text for item in simulation.chat.requests[0].items] == ["Alone"]
    assert len(timeline.of(e.ConversationItemAdded)) == 1, (
        "the answer is an item, what it was made from is none"
    )


async def test_sound_that_is_given_to_a_response_is_understood() -> None:
    simulation = Simulation(["Fine."])
    sound = (1000).to_bytes(2, "little") * 24_000
    item = Message(role="user", content=(InputAudio(audio=sound),))
    silent = Message(role="user", content=(InputAudio(audio=bytes(48_000)),))
    known = Message(role="user", content=(InputAudio(audio=sound, transcript="as it is"),))
    timeline = await simulation.run(
        CallerSays(20.0, "hello from a file", seconds=1.0),
        wanted(0.1, input=(item, silent, known), **ASIDE),
        until=3,
    )
    asked = [message.content[0].transcript for message in simulation.chat.requests[0].items]
    assert asked == ["hello from a file", "", "as it is"]
    assert done(timeline).response.status == "completed"


async def test_sound_that_is_given_and_cannot_be_understood_is_a_failed_response() -> None:
    simulation = Simulation(transcriber_failure=ProviderError("transcriber", "is deaf"))
    item = Message(role="user", content=(InputAudio(audio=(1000).to_bytes(2, "little") * 24_000),))
    timeline = await simulation.run(wanted(0.1, input=(item,), **ASIDE), until=3)
    assert done(timeline).response.status == "failed"
    assert not errors(timeline)


async def test_a_reference_waits_for_the_words_of_what_was_just_said() -> None:
    simulation = Simulation(["Fine."], transcriber_delay=1.0)
    sound = (1000).to_bytes(2, "little") * 24_000
    item = Message(id="spoken", role="user", content=(InputAudio(audio=sound),))
    await simulation.run(
        CallerSays(20.0, "hello from a file", seconds=1.0),
        ClientSends(0.1, e.ConversationItemCreate(item=item)),
        ClientSends(0.1, e.ConversationItemCreate(item=user("gone", "gone"))),
        wanted(0.2, input=(ItemReference(id="spoken"), ItemReference(id="gone")), **ASIDE),
        ClientSends(0.4, e.ConversationItemDelete(item_id="gone")),
        until=4,
    )
    (heard,) = simulation.chat.requests[0].items
    assert heard.content == (InputAudio(transcript="hello from a file"),)


# tools


async def test_several_calls_are_several_items_in_order_with_their_arguments_in_pieces() -> None:
    calls = [ToolCall("look", '{"where": "in the attic", "for": "the key"}'), ToolCall("go", '{"to":"Bern"}')]
    timeline = await Simulation([["One moment.", *calls]], session=WITH_TOOLS).run(*ask(0.1, "Look"), until=4)
    message, *items = done(timeline).response.output
    assert isinstance(message, Message)
    assert [(i.name, i.arguments, i.status) for i in items] == [
        (c.name, c.arguments, "completed") for c in calls
    ]
    for index, item in enumerate(items, start=1):
        pieces = [d for d in timeline.of(e.ResponseFunctionCallArgumentsDelta) if d.item_id == item.id]
        assert len(pieces) > 1
        assert "".join(piece.delta for piece in pieces) == item.arguments
        assert {(piece.output_index, piece.call_id) for piece in pieces} == {(index, item.call_id)}
    (first, second) = timeline.of(e.ResponseFunctionCallArgumentsDone)
    assert (first.name, second.name) == ("look", "go")


async def test_a_call_with_long_arguments_comes_in_not_too_many_pieces() -> None:
    long = '{"text":"' + "x" * 50_000 + '"}'
    timeline = await Simulation([ToolCall("look", long)], session=WITH_TOOLS).run(*ask(0.1, "Look"), until=4)
    pieces = [event.delta for event in timeline.of(e.ResponseFunctionCallArgumentsDelta)]
    assert "".join(pieces) == long
    assert len(pieces) <= 64


@pytest.mark.parametrize("where", ["session", "response"])
async def test_calls_come_one_at_a_time_if_so_wished(where: str) -> None:
    wish = {"parallel_tool_calls": False}
    session = merge(WITH_TOOLS, Session(**wish)) if where == "session" else WITH_TOOLS
    simulation = Simulation([[ToolCall("look", "{}"), ToolCall("go", "{}")]], session=session)
    timeline = await simulation.run(*ask(0.1, "Look", **(wish if where == "response" else {})), until=3)
    assert [item.name for item in done(timeline).response.output] == ["look"]


async def test_where_no_tool_is_to_be_called_none_is() -> None:
    simulation = Simulation([["I cannot.", ToolCall("look", "{}")]], session=WITH_TOOLS)
    timeline = await simulation.run(*ask(0.1, "Look", tool_choice="none"), until=4)
    (message,) = done(timeline).response.output
    assert isinstance(message, Message)


async def test_a_call_is_whole_even_if_it_is_cancelled_in_the_middle() -> None:
    simulation = Simulation([ToolCall("look", '{"where":"everywhere, and then some"}')], session=WITH_TOOLS)

    def cancel(timeline: Timeline) -> e.ClientEvent:
        return e.ResponseCancel()

    for at in (0.10, 0.20, 0.32, 0.34):
        timeline = await simulation.run(*ask(0.1, "Look"), ClientSends(at, cancel), until=3)
        output = done(timeline).response.output if timeline.of(e.ResponseDone) else ()
        assert all(isinstance(item, FunctionCall) and item.status == "completed" for item in output)


# how a response ends


async def test_a_filter_that_lets_no_more_pass_makes_an_answer_incomplete() -> None:
    simulation = Simulation([["Well, then.", ChatUsage(9, 2, finish="content_filter")]])
    timeline = await simulation.run(*ask(0.1, "Say it"), until=4)
    assert done(timeline).response.status == "incomplete"
    assert done(timeline).response.status_details == Incomplete(reason="content_filter")
    (message,) = done(timeline).response.output
    assert message.status == "incomplete"


@pytest.mark.parametrize(("finish", "reason"), [("content_filter",) * 2, ("length", "max_output_tokens")])
async def test_an_answer_may_be_cut_short_before_its_first_word(finish: str, reason: str) -> None:
    timeline = await Simulation([ChatUsage(9, 0, finish=finish)]).run(*ask(0.1, "Say it"), until=4)
    assert done(timeline).response.status_details == Incomplete(reason=reason)
    assert done(timeline).response.output == ()


# cancelling


async def test_an_answer_out_of_band_is_cancelled_by_its_name_while_we_go_on() -> None:
    simulation = Simulation([STORY])
    timeline = await simulation.run(*ask(0.1, "Tell me"), wanted(1.0, **ASIDE), cancelled(1.1, 1), until=16)
    aside, told = timeline.of(e.ResponseDone)
    assert aside.response.status_details == Cancelled(reason="client_cancelled")
    assert aside.response.conversation_id is None
    assert told.response.status == "completed"


async def test_without_a_name_it_is_the_conversations_answer_that_is_cancelled() -> None:
    simulation = Simulation([[STORY, Unresponsive()]], limits=Limits(next_token_seconds=60))
    timeline = await simulation.run(
        wanted(0.1, **ASIDE), *ask(0.2, "Tell me"), ClientSends(2.0, e.ResponseCancel()), until=5
    )
    (ended,) = timeline.of(e.ResponseDone)
    assert ended.response.conversation_id is not None
    assert ended.response.status == "cancelled"


async def test_a_response_that_is_over_cannot_be_cancelled() -> None:
    timeline = await Simulation(["Paris."]).run(
        *ask(0.1, "Where?"), cancelled(4.0, 0), ClientSends(4.1, e.ResponseCancel()), until=5
    )
    assert errors(timeline) == [("response_cancel_not_active", None)] * 2
    assert all(
        event.error.message == "Cancellation failed: no active response found"
        for event in timeline.of(e.ErrorEvent)
    )


async def test_cancelling_twice_ends_an_answer_once() -> None:
    timeline = await Simulation([STORY]).run(
        *ask(0.1, "Tell me"), cancelled(2.0, 0), cancelled(2.0, 0), until=5
    )
    assert len(timeline.of(e.ResponseDone)) == 1
    closing = types(timeline)[types(timeline).index("response.output_audio.done") :]
    assert closing[:6] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]


# what may be changed, and when


def output(**settings: object) -> SessionAudio:
    return SessionAudio(output=OutputSettings(**settings))


async def test_the_speed_is_changed_between_turns_only() -> None:
    timeline = await Simulation([STORY]).run(
        changed(0.0, audio=output(speed=0.9)),
        *ask(0.1, "Tell me"),
        changed(2.0, audio=output(speed=1.2)),
        changed(2.1, audio=output(speed=0.9), instructions="Be kind."),
        changed(18.0, audio=output(speed=1.2)),
        until=19,
    )
    assert errors(timeline) == [("invalid_value", "session.audio.output.speed")]
    updates = [event.session for event in timeline.of(e.SessionUpdated)]
    assert [session.audio.output.speed for session in updates] == [0.9, 0.9, 1.2]
    assert updates[1].instructions == "Be kind."


async def test_one_response_in_the_conversation_cannot_have_another_voice_once_ours_was_heard() -> None:
    voice = {"audio": WantedAudio(output=WantedOutput(voice="other"))}
    timeline = await Simulation(["Fine."]).run(
        *ask(0.1, "One", **voice),
        wanted(3.0, "mine", **voice),
        wanted(3.1, conversation="none", **voice),
        until=6,
    )
    assert errors(timeline) == [("cannot_update_voice", "response.audio.output.voice")]
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed"] * 2


async def test_the_voice_is_known_from_the_first_sound_on() -> None:
    timeline = await Simulation([STORY]).run(
        *ask(0.1, "Tell me"),
        changed(0.2, audio=output(voice="b")),
        changed(3.0, audio=output(voice="c")),
        until=4,
    )
    assert errors(timeline) == [("cannot_update_voice", "session.audio.output.voice")]
    assert timeline.of(e.SessionUpdated)[0].session.audio.output.voice == "b"


async def test_tracing_stays_as_it_is_once_it_is_on() -> None:
    mine = Tracing(workflow_name="mine")
    timeline = await Simulation().run(
        changed(0.0, tracing=mine),
        changed(0.1, tracing=Tracing(workflow_name="mine"), instructions="Be kind."),
        changed(0.2, tracing="auto"),
        changed(0.3, tracing=None),
        changed(0.4, tracing="auto"),
        until=1,
    )
    assert errors(timeline) == [("invalid_value", "session.tracing")]
    assert [event.session.tracing for event in timeline.of(e.SessionUpdated)] == [mine, mine, None, "auto"]


async def test_what_has_no_effect_here_is_kept_and_shown() -> None:
    prompt, reasoning = PromptReference(id="pmpt_1", version="2"), Reasoning(effort="low")
    truncation = RetentionRatio(retention_ratio=0.8)
    timeline = await Simulation(["Fine."]).run(
        changed(0.0, prompt=prompt, reasoning=reasoning, truncation=truncation),
        *ask(0.1, "Hi", prompt=prompt, reasoning=reasoning),
        until=3,
    )
    session = timeline.of(e.SessionUpdated)[0].session
    assert (session.prompt, session.reasoning, session.truncation) == (prompt, reasoning, truncation)
    assert done(timeline).response.status == "completed"


# laws


@lawful
@given(simulations(), callers())
def test_every_event_has_an_id_of_its_own(simulation: Simulation, caller: tuple[list[Step], float]) -> None:
    ids = [event.event_id for event in perform(simulation, *caller).of(e.ServerEvent)]
    assert len(set(ids)) == len(ids)


@lawful
@given(simulations(), callers())
def test_every_answer_is_followed_by_what_is_left_of_the_minute(
    simulation: Simulation, caller: tuple[list[Step], float]
) -> None:
    names = [type(event) for event in perform(simulation, *caller).of(e.ResponseDone, e.RateLimitsUpdated)]
    assert names.count(e.ResponseDone) - names.count(e.RateLimitsUpdated) in (0, 1)
