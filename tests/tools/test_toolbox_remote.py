"""A toolbox and an engine far away, which has its own ideas of what happens when."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from engines.simulations import user
from tools.support import Made, Run, returning
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, McpCall
from vivavoce.protocol.responses import Response, ResponseParams
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.protocol.settings import DEFAULT
from vivavoce.session.call import Caller
from vivavoce.session.line import Line
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Switchboard
from vivavoce.tools.toolbox import Toolbox
from vivavoce.tools.types import Context, Outcome

pytestmark = pytest.mark.anyio

TOO_EARLY = "conversation_already_has_active_response"


def call(call_id: str = "call", status: Any = "completed", name: str = "order_status") -> FunctionCall:
    return FunctionCall(name=name, call_id=call_id, arguments="{}", status=status)


def response(name: str, status: Any = "in_progress") -> Response:
    return Response(id=name, status=status, output=(), conversation_id="conv")


def begins(name: str) -> e.ResponseCreated:
    return e.ResponseCreated(response=response(name))


def calls(name: str, *items: FunctionCall) -> list[e.Event]:
    return [e.ResponseOutputItemDone(response_id=name, output_index=0, item=item) for item in items]


def ends(name: str, status: Any = "completed") -> e.ResponseDone:
    return e.ResponseDone(response=response(name, status))


Reaction = Callable[["FarAway", e.Event], list[e.Event]]


@dataclass
class FarAway:
    """An engine that says some events to begin with, and then whatever it wants to what it hears."""

    first: list[e.Event]
    reacts: Reaction = lambda engine, event: []
    heard: list[e.Event] = field(default_factory=list)

    async def converse(self, line: Line, session: object = None) -> None:
        for event in (e.SessionCreated(session=DEFAULT), *self.first):
            await line.send(event)
        async for event in line:
            self.heard.append(event)
            for answer in self.reacts(self, event):
                await line.send(answer)

    def heard_of(self, kind: type[e.Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]


async def meet(engine: FarAway, run: Run | None = None, *said: e.ClientEvent, seconds: float = 10) -> Made:
    """Let a caller, a toolbox with one tool and this engine be with one another for a while."""
    made = Made()
    switchboard = Switchboard(
        engine, middleware=lambda caller: Toolbox([made.tool(run=run)], Limits(), "somebody")
    )
    async with switchboard.connect(Caller("test")) as line, anyio.create_task_group() as tasks:
        tasks.start_soon(_hear_out, line)
        for event in said:
            await line.send(event)
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
    return made


async def _hear_out(line: Line) -> None:
    async for _ in line:
        pass


def refused(event: e.Event, code: str) -> e.ErrorEvent:
    assert isinstance(event, e.ClientEvent)
    details = e.ErrorDetails(
        type="invalid_request_error", code=code, message="That cannot be.", event_id=event.event_id or None
    )
    return e.ErrorEvent(error=details)


async def test_a_call_that_was_cut_short_is_not_made() -> None:
    engine = FarAway([begins("one"), *calls("one", call(status="incomplete")), ends("one", "cancelled")])
    made = await meet(engine)
    assert not made.arguments
    assert not engine.heard


async def test_a_call_that_was_whole_is_made_though_its_answer_was_cut_short() -> None:
    engine = FarAway([begins("one"), *calls("one", call()), ends("one", "cancelled")])
    made = await meet(engine)
    assert made.arguments == ["{}"]
    assert [type(event) for event in engine.heard] == [e.ConversationItemCreate, e.ResponseCreate]


async def test_the_tool_begins_before_the_answer_ends_and_the_model_goes_on_after() -> None:
    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        return [ends("one")] if isinstance(event, e.ConversationItemCreate) else []

    engine = FarAway([begins("one"), *calls("one", call())], react)
    await meet(engine)
    assert [type(event) for event in engine.heard] == [e.ConversationItemCreate, e.ResponseCreate]


async def test_an_engine_that_does_not_answer_a_turn_after_all_is_waited_for_three_seconds() -> None:
    turn = [
        e.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="user"),
        e.InputAudioBufferSpeechStopped(audio_end_ms=900, item_id="user"),
    ]
    engine = FarAway([begins("one"), *calls("one", call()), ends("one"), *turn])
    await meet(engine, seconds=2.9)
    assert not engine.heard
    await meet(engine, seconds=3.1)
    assert [type(event) for event in engine.heard] == [e.ConversationItemCreate, e.ResponseCreate]


async def test_a_call_that_is_told_twice_is_made_once() -> None:
    engine = FarAway([begins("one"), *calls("one", call(), call()), ends("one")])
    made = await meet(engine)
    assert made.arguments == ["{}"]
    assert len(engine.heard) == 2


async def test_who_asks_too_early_asks_again_when_the_other_answer_is_over() -> None:
    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        if not isinstance(event, e.ResponseCreate) or len(engine.heard_of(e.ResponseCreate)) > 1:
            return []
        return [begins("two"), refused(event, TOO_EARLY), ends("two")]

    engine = FarAway([begins("one"), *calls("one", call()), ends("one")], react)
    await meet(engine)
    assert len(engine.heard_of(e.ResponseCreate)) == 2
    assert len(engine.heard_of(e.ConversationItemCreate)) == 1


async def test_who_asks_too_early_need_not_ask_again_if_the_other_answer_knew() -> None:
    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        if isinstance(event, e.ConversationItemCreate):
            return [e.ConversationItemAdded(item=event.item)]
        return [begins("two"), refused(event, TOO_EARLY), ends("two")]

    engine = FarAway([begins("one"), *calls("one", call()), ends("one")], react)
    await meet(engine)
    assert len(engine.heard_of(e.ResponseCreate)) == 1


async def test_who_is_refused_an_answer_does_not_insist(caplog: pytest.LogCaptureFixture) -> None:
    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        return [refused(event, "rate_limit_exceeded")] if isinstance(event, e.ResponseCreate) else []

    engine = FarAway([begins("one"), *calls("one", call()), ends("one")], react)
    with caplog.at_level(logging.WARNING):
        await meet(engine)
    assert len(engine.heard_of(e.ResponseCreate)) == 1
    assert "That cannot be." in caplog.text


async def test_an_output_that_is_refused_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        return [refused(event, "invalid_value")] if isinstance(event, e.ConversationItemCreate) else []

    engine = FarAway([begins("one"), *calls("one", call()), ends("one")], react)
    with caplog.at_level(logging.WARNING):
        await meet(engine)
    assert "the output of a tool was refused: That cannot be." in caplog.text


async def test_what_is_wrong_with_other_events_is_not_ours(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await meet(FarAway([refused(e.ResponseCreate(), TOO_EARLY)]))
    assert not caplog.records


async def test_a_conversation_that_begins_anew_knows_nothing_of_the_old_answers() -> None:
    again = e.SessionCreated(session=DEFAULT)
    engine = FarAway([begins("lost"), again, begins("one"), *calls("one", call()), ends("one")])
    await meet(engine)
    assert len(engine.heard) == 2


async def test_another_toolbox_on_the_same_line_has_its_own_calls() -> None:
    """The server's tools are in the session that it shows; the client's own toolbox leaves them alone."""
    session = Session(tools=(FunctionTool(name="the_servers"),))
    engine = FarAway(
        [
            e.SessionUpdated(session=session),
            begins("one"),
            *calls("one", call("theirs", name="the_servers"), call()),
            ends("one"),
        ]
    )

    async def run(arguments: str, context: Context) -> Outcome:
        await anyio.sleep(1)
        return Outcome("here")

    await meet(engine, run)
    (output,) = engine.heard_of(e.ConversationItemCreate)
    assert output.item == FunctionCallOutput(call_id="call", output="here")
    assert not engine.heard_of(e.ResponseCreate), "the server has not given its output, and goes on itself"


async def test_an_engine_that_does_not_name_the_conversation_speaks_in_it() -> None:
    nameless = Response(id="one", status="in_progress", output=(), conversation_id="")
    engine = FarAway([e.ResponseCreated(response=nameless), *calls("one", call()), ends("one")])
    made = await meet(engine)
    assert made.arguments
    assert len(engine.heard) == 2


@pytest.mark.parametrize("faster", [True, False])
async def test_what_the_engine_does_for_the_client_is_the_clients_to_go_on_with(faster: bool) -> None:
    mcp = McpCall(id="mcp_1", server_label="dice", name="roll", arguments="{}")
    done = e.ResponseOutputItemDone(response_id="one", output_index=1, item=mcp)

    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        return [] if faster else [done]

    first = [
        begins("one"),
        *calls("one", call()),
        e.ResponseOutputItemAdded(response_id="one", output_index=1, item=mcp),
        *([done] if faster else []),
        ends("one"),
    ]
    engine = FarAway(first, react)
    await meet(engine)
    assert bool(engine.heard_of(e.ResponseCreate)) is faster


async def test_of_a_flood_of_calls_no_more_are_made_than_can_be_kept_in_mind() -> None:
    flood = [call(f"call_{number}") for number in range(300)]
    made = Made()
    box = Toolbox([made.tool()])
    for event in calls("one", *flood):
        box.on_event(ObservedEvent(event, "server", 0))
    assert len(box._waiting) == 256


async def test_a_name_that_the_client_gives_for_one_answer_is_not_unknown() -> None:
    theirs = ResponseParams(tools=(FunctionTool(name="theirs"),))

    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        return [begins("one"), *calls("one", call(name="theirs")), ends("one")]

    engine = FarAway([], react)
    await meet(engine, returning("?"), e.ResponseCreate(response=theirs))
    assert len(engine.heard) == 1


async def test_what_was_said_to_another_engine_does_not_hold_up_the_next() -> None:
    changed = e.EngineChanged(engine="cascade", reason="down")

    def react(engine: FarAway, event: e.Event) -> list[e.Event]:
        return [changed] if len(engine.heard_of(e.ResponseCreate)) == 1 else []

    engine = FarAway([begins("one"), *calls("one", call()), ends("one")], react)
    await meet(engine, None, e.ConversationItemCreate(item=user("Hello?")))
    assert len(engine.heard_of(e.ResponseCreate)) == 2, "the first one was never heard"
