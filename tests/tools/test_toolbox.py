"""Tools at work in conversations, as plays: asked for, slow, talked over, and called by a model that errs."""

import logging
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from msgspec import UNSET

from engines.simulations import ask, done, errors, user
from tools.support import Made, desk, items, model, outputs, returning, said, wishes
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.testing.simulation import CallerSays, ClientSends, Reply, Timeline
from vivavoce.tools.function import tool
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Assistant, Card, Context, Outcome, ToolError

pytestmark = pytest.mark.anyio

LOOK = ToolCall("order_status", '{"order_id": "4321"}')
ASKS = CallerSays(0.5, "Where is my order?")
THEIRS = FunctionTool(name="theirs", parameters={"type": "object"})


def slowly(seconds: float, output: str = "on its way") -> Any:
    async def run(arguments: str, context: Context) -> Outcome:
        await anyio.sleep(seconds)
        return Outcome(output)

    return run


# what is asked for is done and told


async def test_what_a_caller_asks_for_is_done_and_told() -> None:
    made = Made()
    timeline = await desk(made.tool(), replies=[model(LOOK)]).run(ASKS, until=5)
    assert made.arguments == ['{"order_id": "4321"}']
    assert said(timeline) == ["So: on its way"]
    assert len(wishes(timeline)) == 1


async def test_what_is_typed_as_well() -> None:
    made = Made()
    simulation = desk(made.tool(), replies=[model(LOOK)])
    timeline = await simulation.run(*ask(0.5, "Where is it?", output_modalities=("text",)), until=5)
    assert said(timeline) == ["So: on its way"]


async def test_words_before_a_call_are_said_and_the_call_is_made() -> None:
    timeline = await desk(Made().tool(), replies=[model("Let me look.", LOOK)]).run(ASKS, until=6)
    assert said(timeline) == ["Let me look.", "So: on its way"]


async def test_several_calls_work_side_by_side_and_are_told_of_once() -> None:
    made = Made()
    tools = [made.tool("first", slowly(1, "one")), made.tool("second", slowly(1, "two"))]
    timeline = await desk(*tools, replies=[model(ToolCall("first", "{}"), ToolCall("second", "{}"))]).run(
        ASKS, until=6
    )
    assert said(timeline) == ["So: one | two"]
    assert len(wishes(timeline)) == 1
    assert timeline.at(e.ConversationItemCreate, 1) - timeline.at(e.ResponseDone) == pytest.approx(1, abs=0.1)


async def test_one_call_may_follow_another() -> None:
    made = Made()
    simulation = desk(
        made.tool("first"), made.tool("second"), replies=[model(ToolCall("first", "{}"), then=SECOND)]
    )
    timeline = await simulation.run(ASKS, until=6)
    assert [item.name for item in items(timeline) if isinstance(item, FunctionCall)] == ["first", "second"]
    assert said(timeline) == ["So: on its way | on its way"]
    assert len(wishes(timeline)) == 2


SECOND = [ToolCall("second", "{}")]


async def test_tools_of_a_conversation_share_what_they_know() -> None:
    async def learn(arguments: str, context: Context) -> Outcome:
        context.state["customer"] = "Ada"
        return Outcome("known")

    async def tell(arguments: str, context: Context) -> Outcome:
        assert context.caller.startswith("sess_")
        return Outcome(context.state["customer"])

    made = Made()
    tools = [made.tool("first", learn), made.tool("second", tell)]
    timeline = await desk(*tools, replies=[model(ToolCall("first", "{}"), then=SECOND)]).run(ASKS, until=6)
    assert outputs(timeline) == {"first": "known", "second": "Ada"}


async def test_a_card_is_shown_before_the_outcome_is_told() -> None:
    async def show(arguments: str, context: Context) -> Outcome:
        return Outcome("shown", card=Card("Order 4321", markdown="**On its way** <script>alert()</script>"))

    timeline = await desk(Made().tool(run=show), replies=[model(LOOK)]).run(ASKS, until=5)
    card, output = timeline.of(e.CardShown, e.ConversationItemCreate)
    assert isinstance(card, e.CardShown)
    assert (card.title, card.call_id) == ("Order 4321", output.item.call_id)
    assert "<strong>On its way</strong>" in card.html
    assert "<script" not in card.html


async def test_a_card_that_is_too_long_is_not_shown_and_the_outcome_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def show(arguments: str, context: Context) -> Outcome:
        return Outcome("shown", card=Card(markdown="a" * 101))

    simulation = desk(Made().tool(run=show), replies=[model(LOOK)], limits=Limits(card_chars=100))
    with caplog.at_level(logging.WARNING):
        timeline = await simulation.run(ASKS, until=5)
    assert not timeline.of(e.CardShown)
    assert outputs(timeline) == {"order_status": "shown"}
    assert "limits.card_chars" in caplog.text


async def test_a_tools_author_may_say_what_is_spoken_word_for_word() -> None:
    async def look(arguments: str, context: Context) -> Outcome:
        return Outcome("state=sent carrier=DHL", say="It is on its way.")

    timeline = await desk(Made().tool(run=look), replies=[model(LOOK)]).run(ASKS, until=5)
    assert said(timeline) == ["It is on its way."]
    assert outputs(timeline) == {"order_status": "state=sent carrier=DHL"}
    assert not wishes(timeline), "the model adds nothing"


async def test_words_to_be_spoken_are_the_output_where_there_is_no_other() -> None:
    async def look(arguments: str, context: Context) -> Outcome:
        return Outcome(say="It is on its way.")

    timeline = await desk(Made().tool(run=look), replies=[model(LOOK)]).run(ASKS, until=5)
    assert outputs(timeline) == {"order_status": "It is on its way."}


async def test_the_model_still_responds_to_the_other_calls_after_words_to_be_spoken() -> None:
    async def look(arguments: str, context: Context) -> Outcome:
        return Outcome("sent", say="It is on its way.")

    made = Made()
    tools = [made.tool("first", look), made.tool("second", returning("two"))]
    simulation = desk(*tools, replies=[model(ToolCall("first", "{}"), ToolCall("second", "{}"))])
    timeline = await simulation.run(ASKS, until=8)
    assert said(timeline) == ["It is on its way.", "So: sent | two"]


def test_more_words_than_can_be_spoken_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="say has 513 characters; at most 512"):
        Outcome(say="a" * 513)


# slow tools


async def test_a_slow_tool_says_its_filler_and_tells_its_outcome_afterwards() -> None:
    made = Made()
    simulation = desk(made.tool(run=slowly(4), filler="One moment, please."), replies=[model(LOOK)])
    timeline = await simulation.run(ASKS, until=10)
    assert said(timeline) == ["One moment, please.", "So: on its way"]
    called = timeline.at(e.ResponseFunctionCallArgumentsDone)
    assert timeline.at(e.ResponseCreated, 1) - called == pytest.approx(1.2, abs=0.05)
    assert timeline.at(e.ResponseCreated, 2) - called == pytest.approx(4, abs=0.05)


async def test_an_outcome_waits_until_the_filler_has_been_said() -> None:
    simulation = desk(Made().tool(run=slowly(1.5), filler="One moment, I will look."), replies=[model(LOOK)])
    timeline = await simulation.run(ASKS, until=8)
    filler, answer = timeline.at(e.ResponseDone, 1), timeline.at(e.ResponseCreated, 2)
    assert timeline.at(e.ConversationItemCreate) < filler <= answer < filler + 0.1
    assert not errors(timeline)


async def test_a_quick_tool_says_no_filler() -> None:
    simulation = desk(Made().tool(run=slowly(1), filler="One moment."), replies=[model(LOOK)])
    assert said(await simulation.run(ASKS, until=6)) == ["So: on its way"]


async def test_one_filler_is_enough_for_all_that_one_answer_calls() -> None:
    made = Made()
    tools = [made.tool(name, slowly(5), filler="One moment.") for name in ("first", "second")]
    simulation = desk(*tools, replies=[model(ToolCall("first", "{}"), ToolCall("second", "{}"))])
    timeline = await simulation.run(ASKS, until=12)
    assert said(timeline) == ["One moment.", "So: on its way | on its way"]


async def test_there_is_no_filler_while_the_caller_speaks() -> None:
    answers = [model(LOOK), lambda request: "It has come." if told(request) else "Go on."]
    simulation = desk(Made().tool(run=slowly(8), filler="One moment."), replies=answers)
    timeline = await simulation.run(
        ASKS, CallerSays(2.5, "Because you know I have been waiting for it"), until=14
    )
    assert said(timeline) == ["Go on.", "It has come."], "nor after they have been answered"


async def test_a_tool_may_say_words_of_its_own_while_it_works() -> None:
    async def chat(arguments: str, context: Context) -> Outcome:
        await context.say("I have found it.")
        await anyio.sleep(3)
        return Outcome("on its way")

    timeline = await desk(Made().tool(run=chat), replies=[model(LOOK)]).run(ASKS, until=8)
    assert said(timeline) == ["I have found it.", "So: on its way"]


async def test_what_a_tool_has_to_say_is_bounded() -> None:
    async def babble(arguments: str, context: Context) -> Outcome:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(context.say, "And another thing.")
        return Outcome("said")

    simulation = desk(Made().tool(run=babble), replies=[model(LOOK)], limits=Limits(tool_calls=2))
    assert outputs(await simulation.run(ASKS, until=8)) == {"order_status": "The tool has failed."}


async def test_where_words_enough_wait_already_there_is_no_filler() -> None:
    async def babble(arguments: str, context: Context) -> Outcome:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(context.say, f"This is number {number}, and it takes its time to be said.")
        return Outcome("said")

    made = Made()
    tools = [made.tool("first", babble), made.tool("second", slowly(4), filler="One moment.")]
    simulation = desk(
        *tools,
        replies=[model(ToolCall("first", "{}"), *SECOND)],
        limits=Limits(tool_calls=3, filler_seconds=0.0),
    )
    timeline = await simulation.run(ASKS, until=25)
    assert len(said(timeline)) == 4
    assert outputs(timeline) == {"first": "said", "second": "on its way"}


# talked over


async def test_a_tool_goes_on_while_people_talk_and_its_outcome_is_told_after_their_answer() -> None:
    made = Made()
    answers = [model(LOOK), lambda request: "It has come." if told(request) else "Till five."]
    simulation = desk(made.tool(run=slowly(5)), replies=answers)
    timeline = await simulation.run(ASKS, CallerSays(3, "Until when are you open?"), until=12)
    assert said(timeline) == ["Till five.", "It has come."]
    assert len(wishes(timeline)) == 1
    assert not errors(timeline)


def told(request: ChatRequest) -> list[str]:
    return [item.output for item in request.items if isinstance(item, FunctionCallOutput)]


async def test_an_outcome_that_comes_while_the_caller_speaks_is_known_to_their_answer_and_told_once() -> None:
    simulation = desk(Made().tool(run=slowly(1.5)), replies=[model(LOOK)])
    timeline = await simulation.run(
        ASKS, CallerSays(2.5, "And I wanted to ask you if it is a big one"), until=12
    )
    assert said(timeline) == ["So: on its way"]
    assert not wishes(timeline), "the answer to the caller knows already"


async def test_an_outcome_that_comes_while_an_answer_is_on_its_way_waits_for_it() -> None:
    answers = [model(LOOK), lambda request: "It has come." if told(request) else "Hello."]
    simulation = desk(Made().tool(run=slowly(3.5)), replies=answers, transcriber_delay=1.5)
    timeline = await simulation.run(ASKS, CallerSays(5, "hello you there"), until=14)
    came = timeline.at(e.ResponseFunctionCallArgumentsDone) + 3.5
    assert timeline.at(e.InputAudioBufferCommitted, 1) < came < timeline.at(e.ResponseCreated, 1)
    assert said(timeline) == ["Hello.", "It has come."]


async def test_an_interruption_cancels_a_tool_that_wants_it_and_nothing_is_told_of_it() -> None:
    made = Made()
    simulation = desk(made.tool(run=slowly(9), on_interruption="cancel"), replies=[model(LOOK), "Well then."])
    timeline = await simulation.run(ASKS, CallerSays(3, "No, leave it, I have it here"), until=14)
    assert outputs(timeline) == {"order_status": "Stopped: the caller interrupted."}
    assert timeline.at(e.ConversationItemCreate) == pytest.approx(
        timeline.at(e.InputAudioBufferSpeechStarted, 1), abs=0.1
    )
    assert said(timeline) == ["Well then."]
    assert not wishes(timeline)


async def test_hanging_up_stops_every_tool() -> None:
    stopped = []

    async def run(arguments: str, context: Context) -> Outcome:
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(arguments)
        raise AssertionError

    simulation = desk(Made().tool(run=run, filler="One moment."), replies=[model(LOOK)])
    timeline = await simulation.run(ASKS, until=6)
    assert stopped == [LOOK.arguments]
    assert not outputs(timeline)


# what goes wrong


async def test_of_a_tool_that_nobody_has_the_model_is_told_so_and_which_there_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    invented = ToolCall("refund" + "_" * 100, "{}")
    with caplog.at_level(logging.INFO):
        timeline = await desk(Made().tool(), Made().tool("b"), replies=[model(invented)]).run(ASKS, until=5)
    (output,) = outputs(timeline).values()
    assert output.startswith("There is no tool called 'refund_")
    assert output.endswith("…'. There are: order_status, b.")
    assert said(timeline) == [f"So: {output}"]
    assert "is not there" in caplog.text


@tool
async def order_status(order_id: int) -> str:
    """Tell where an order is."""
    return f"Order {order_id} is on its way."


@pytest.mark.parametrize(
    "arguments", ['{"order_id": "many"}', '{"order', "[]", "{}", '{"order_id": 1, "x": 2}']
)
async def test_of_malformed_arguments_the_model_is_told_what_is_wrong_and_may_try_again(arguments: str) -> None:
    again: Sequence[Reply] = [ToolCall("order_status", '{"order_id": 4321}')]
    simulation = desk(order_status, replies=[model(ToolCall("order_status", arguments), then=again)])
    timeline = await simulation.run(ASKS, until=6)
    first, second = [item.output for item in items(timeline) if isinstance(item, FunctionCallOutput)]
    assert first not in ("", "The tool has failed.")
    assert second == "Order 4321 is on its way."


async def test_a_tool_that_hangs_is_given_up_when_its_time_is_over() -> None:
    simulation = desk(Made().tool(run=slowly(99)), replies=[model(LOOK)], limits=Limits(tool_seconds=2))
    timeline = await simulation.run(ASKS, until=8)
    assert outputs(timeline) == {
        "order_status": "The tool has failed: no outcome within 2 s (limits.tool_seconds)."
    }
    took = timeline.at(e.ConversationItemCreate) - timeline.at(e.ResponseFunctionCallArgumentsDone)
    assert took == pytest.approx(2, abs=0.05)


async def test_a_tool_may_have_a_time_of_its_own() -> None:
    simulation = desk(Made().tool(run=slowly(99), seconds=0.5), replies=[model(LOOK)])
    assert "within 0.5 s" in outputs(await simulation.run(ASKS, until=5))["order_status"]


async def test_why_a_tool_cannot_do_it_is_told_in_its_own_sentence() -> None:
    async def run(arguments: str, context: Context) -> Outcome:
        raise ToolError("There is no order 4321.")

    timeline = await desk(Made().tool(run=run), replies=[model(LOOK)]).run(ASKS, until=5)
    assert outputs(timeline) == {"order_status": "There is no order 4321."}


async def fails(arguments: str, context: Context) -> Outcome:
    raise ZeroDivisionError("password=hunter2")


async def fails_by_cancelling(arguments: str, context: Context) -> Outcome:
    raise anyio.get_cancelled_exc_class()("password=hunter2")


async def returns_nonsense(arguments: str, context: Context) -> Any:
    return b"password=hunter2"


@pytest.mark.parametrize("run", [fails, fails_by_cancelling, returns_nonsense])
async def test_of_a_tool_that_breaks_the_model_learns_no_more_and_the_log_everything(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        timeline = await desk(Made().tool(run=run), replies=[model(LOOK)]).run(ASKS, until=5)
    assert outputs(timeline) == {"order_status": "The tool has failed."}
    assert said(timeline) == ["So: The tool has failed."], "the call goes on"
    assert "Traceback" in caplog.text


async def test_of_a_megabyte_the_model_is_told_the_beginning_and_that_there_is_more() -> None:
    answer = lambda request: "It is long." if told(request) else LOOK  # noqa: E731
    simulation = desk(Made().tool(run=returning("x" * 2**20)), replies=[answer])
    output = outputs(await simulation.run(ASKS, until=6))["order_status"]
    assert output == "x" * 20_000 + "… (cut off: limits.tool_output_chars)"


async def test_one_call_too_many_is_not_made() -> None:
    made = Made()
    simulation = desk(made.tool(run=slowly(1)), replies=[model(LOOK, LOOK, LOOK)], limits=Limits(tool_calls=2))
    timeline = await simulation.run(ASKS, until=6)
    assert len(made.arguments) == 2
    told = [item.output for item in items(timeline) if isinstance(item, FunctionCallOutput)]
    assert told == ["Not done: 2 calls are at work already (limits.tool_calls).", "on its way", "on its way"]
    assert len(wishes(timeline)) == 1


async def test_calls_of_a_tool_wait_for_one_another_where_it_can_do_only_so_many_at_once() -> None:
    busy, most = [0], [0]

    async def run(arguments: str, context: Context) -> Outcome:
        busy[0] += 1
        most[0] = max(most[0], busy[0])
        await anyio.sleep(0.3)
        busy[0] -= 1
        return Outcome("done")

    one_at_a_time = Made().tool(run=run, max_concurrency=1)
    stages = [desk(one_at_a_time, replies=[model(LOOK, LOOK)]) for _ in range(2)]
    scores = []

    async def play(simulation: Any) -> None:
        scores.append(await simulation.run(ASKS, until=6))

    async with anyio.create_task_group() as tasks:
        for simulation in stages:
            tasks.start_soon(play, simulation)
    assert most == [1], "of all conversations together"
    assert [said(timeline) for timeline in scores] == [["So: done | done"]] * 2


async def test_a_model_that_never_stops_calling_is_stopped() -> None:
    made = Made()
    driven = lambda request: "Well." if request.tool_choice == "none" else LOOK  # noqa: E731
    simulation = desk(made.tool(), replies=[driven], limits=Limits(tool_rounds=3))
    timeline = await simulation.run(ASKS, until=8)
    assert len(made.arguments) == 3
    assert [wish.response and wish.response.tool_choice for wish in wishes(timeline)] == [UNSET] * 3 + ["none"]
    last = [item.output for item in items(timeline) if isinstance(item, FunctionCallOutput)][-1]
    assert last == "Not done: no more calls now (limits.tool_rounds). Answer the caller with what you know."
    assert said(timeline) == ["Well."]


async def test_once_the_caller_has_spoken_again_tools_are_at_hand_again() -> None:
    made = Made()
    simulation = desk(
        made.tool(), replies=[model(LOOK), model(LOOK), model(LOOK)], limits=Limits(tool_rounds=1)
    )
    await simulation.run(ASKS, CallerSays(5, "And now?"), CallerSays(9, "And now, please?"), until=13)
    assert len(made.arguments) == 3


# the client's own tools


async def test_a_clients_own_calls_are_left_to_it() -> None:
    simulation = desk(
        Made().tool(), replies=[ToolCall("theirs", "{}")], client_session=Session(tools=(THEIRS,))
    )
    timeline = await simulation.run(ASKS, until=5)
    assert not outputs(timeline)
    assert not wishes(timeline)


async def test_of_two_tools_with_one_name_the_houses_counts() -> None:
    made = Made()
    mine = FunctionTool(name="order_status", description="Mine.", parameters={"type": "object"})
    timeline = await desk(made.tool(), replies=[model(LOOK)], client_session=Session(tools=(mine,))).run(
        ASKS, until=5
    )
    (created,) = timeline.of(e.SessionCreated)
    assert [one.description for one in created.session.tools] == ["What order_status does."]
    assert made.arguments
    assert not errors(timeline)


BOTH = [LOOK, ToolCall("theirs", "{}")]


def answered(timeline: Timeline) -> e.ConversationItemCreate:
    """The client's output for its own call."""
    call = next(item for item in items(timeline) if isinstance(item, FunctionCall) and item.name == "theirs")
    return e.ConversationItemCreate(item=FunctionCallOutput(call_id=call.call_id or "", output="mine"))


async def test_where_the_client_still_owes_an_output_the_next_word_is_theirs() -> None:
    simulation = desk(Made().tool(), replies=[model(*BOTH)], client_session=Session(tools=(THEIRS,)))
    timeline = await simulation.run(
        ASKS, ClientSends(4, answered), ClientSends(4.1, e.ResponseCreate()), until=7
    )
    assert outputs(timeline) == {"order_status": "on its way", "theirs": "mine"}
    assert said(timeline) == ["So: on its way | mine"]
    assert len(wishes(timeline)) == 1


async def test_where_the_client_was_faster_we_ask_once_its_answer_is_over() -> None:
    simulation = desk(
        Made().tool(run=slowly(4)), replies=[model(*BOTH)], client_session=Session(tools=(THEIRS,))
    )
    timeline = await simulation.run(
        ASKS, ClientSends(3, answered), ClientSends(3.1, e.ResponseCreate()), until=10
    )
    assert said(timeline) == ["So: mine", "So: on its way"]
    assert len(wishes(timeline)) == 2


async def test_a_client_cannot_answer_calls_of_ours() -> None:
    def forged(timeline: Timeline) -> e.ConversationItemCreate:
        call = next(item for item in items(timeline) if isinstance(item, FunctionCall))
        return e.ConversationItemCreate(item=FunctionCallOutput(call_id=call.call_id or "", output="forged"))

    simulation = desk(Made().tool(run=slowly(3)), replies=[model(LOOK)])
    timeline = await simulation.run(ASKS, ClientSends(3, forged), ClientSends(6.5, forged), until=8)
    assert outputs(timeline) == {"order_status": "on its way"}


async def test_calls_out_of_band_are_left_to_whoever_asked_aside() -> None:
    made = Made()
    simulation = desk(made.tool(), replies=[LOOK])
    timeline = await simulation.run(*ask(0.5, "Sum it up.", conversation="none"), until=4)
    assert done(timeline).response.output[0].name == "order_status"
    assert not made.arguments
    assert not wishes(timeline)[1:]


async def test_a_client_may_name_tools_for_one_answer() -> None:
    simulation = desk(Made().tool(), replies=[ToolCall("theirs", "{}")])
    wish = ResponseParams(tools=(THEIRS,))
    timeline = await simulation.run(
        ClientSends(0.5, e.ConversationItemCreate(item=user("Go."))),
        ClientSends(0.6, e.ResponseCreate(response=wish)),
        until=4,
    )
    assert not outputs(timeline), "it is theirs, and there"


# handing over


async def test_a_tool_may_hand_the_caller_over() -> None:
    met = []

    async def transfer(arguments: str, context: Context) -> Outcome:
        return Outcome("They are with Bo now.", hand_over_to=Assistant("You are Bo.", name="Bo"))

    async def handed(to: Assistant) -> str:
        await anyio.sleep(0.3)
        met.append(to.name)
        return ""

    simulation = desk(replies=[model(LOOK)])
    simulation.middleware = lambda caller: Toolbox([Made().tool(run=transfer)], hand_over=handed)
    timeline = await simulation.run(ASKS, until=5)
    assert met == ["Bo"]
    assert said(timeline) == ["So: They are with Bo now."]

    async def gone(to: Assistant) -> str:
        raise ProviderError("remote", "is down")

    for callback, output in (
        (gone, "Bo has not taken over."),
        (None, "here the caller cannot be handed over."),
    ):
        simulation = desk(replies=[model(LOOK)])
        simulation.middleware = lambda caller, call=callback: Toolbox(
            [Made().tool(run=transfer)], hand_over=call
        )
        assert outputs(await simulation.run(ASKS, until=5)) == {
            "order_status": f"The tool has failed: {output}"
        }


# what is written down


async def test_the_log_tells_of_each_call_and_nothing_of_its_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="vivavoce.tools"):
        await desk(Made().tool(run=slowly(1)), replies=[model(LOOK)]).run(ASKS, until=5)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("tool 'order_status' done after 1.00 s")
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="vivavoce.tools"):
        await desk(Made().tool(), replies=[model(LOOK)]).run(ASKS, until=5)
    assert "order_status is called" in caplog.text
    assert "4321" not in caplog.text
