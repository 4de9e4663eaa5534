"""Laws that tools keep in every conversation, whatever the caller says, the model wants, and the tools do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.simulations import MANUAL, TRANSCRIBED, user
from tools.support import CANCEL, QUESTION, Made, desk, items
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, Message
from vivavoce.protocol.responses import VERBATIM, ResponseParams
from vivavoce.protocol.session import FunctionTool, InputSettings, SemanticVad, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.testing.clock import JumpingClock
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Step, Timeline
from vivavoce.text.yes_no import judge_answer
from vivavoce.tools.types import Context, Outcome, ToolError

LIMITS = Limits(tool_seconds=4, tool_calls=4, tool_rounds=3, confirmation_seconds=8)
WORDS = [
    "yes please",
    "yes",
    "yes do it",
    "no thank you",
    "tell me more about it",
    "what was that",
    "stop it now",
    "",
]
CALLS = [
    ToolCall("quick", "{}"),
    ToolCall("slow", "{}"),
    ToolCall("endless", "{}"),
    ToolCall("broken", "{}"),
    ToolCall("nobodys", "{}"),
    ToolCall("theirs", "{}"),
    CANCEL,
    CANCEL,
    CANCEL,
    ToolCall("cancel_order", "[]"),
]
THEIRS = FunctionTool(name="theirs")
TYPED: list[e.ClientEvent] = [
    e.ConversationItemCreate(item=user("Yes.")),
    e.ConversationItemCreate(item=user("And this?")),
    e.ResponseCreate(),
    e.ResponseCreate(response=ResponseParams(conversation="none", output_modalities=("text",))),
    e.ResponseCancel(),
    e.InputAudioBufferCommit(),
    e.InputAudioBufferClear(),
    e.SessionUpdate(session=Session(tools=())),
    e.SessionUpdate(session=Session(audio=SessionAudio(input=InputSettings(turn_detection=SemanticVad())))),
    e.SessionUpdate(session=Session(audio=SessionAudio(input=InputSettings(turn_detection=None)))),
]


def tenths(least: int, most: int) -> st.SearchStrategy[float]:
    return st.integers(least, most).map(lambda n: n / 10)


@dataclass
class Play:
    """One conversation: who sits where, what the caller does, and which tools were really called."""

    simulation: Simulation
    steps: list[Step]
    made: Made
    until: float

    def perform(self, more: float = 40) -> Timeline:
        async def play() -> Timeline:
            return await self.simulation.run(*self.steps, until=self.until + more)

        return anyio.run(play, backend_options={"loop_factory": JumpingClock})


@st.composite
def plays(draw: st.DrawFn, calls: Sequence[ToolCall] = CALLS) -> Play:
    made, at, steps = Made(), 0.2, list[Step]()
    for _ in range(draw(st.integers(1, 5))):
        at += draw(tenths(1, 70))
        steps.append(CallerSays(at, draw(st.sampled_from(WORDS)), seconds=draw(tenths(3, 20))))
        at = steps[-1].until
    for _ in range(draw(st.integers(0, 4))):
        steps.append(ClientSends(draw(tenths(1, int(at * 10) + 60)), draw(st.sampled_from(TYPED))))
    simulation = desk(
        *_tools(draw, made),
        replies=draw(st.lists(_scripts(calls), min_size=1, max_size=3)),
        limits=LIMITS,
        session=draw(st.sampled_from([DEFAULT, DEFAULT, TRANSCRIBED, MANUAL])),
        client_session=Session(tools=(THEIRS,)),
        transcriber_delay=draw(tenths(0, 20)),
        chat_delay=draw(tenths(0, 8)),
    )
    return Play(simulation, steps, made, at)


def _tools(draw: st.DrawFn, made: Made) -> list[Any]:
    fillers = st.sampled_from(["", "One moment."])
    interruptions = st.sampled_from(["continue", "cancel"])
    seconds, error = draw(tenths(1, 35)), draw(st.sampled_from([ToolError("No."), ZeroDivisionError("No.")]))

    async def slow(arguments: str, context: Context) -> Outcome:
        await anyio.sleep(seconds)
        return Outcome("slowly")

    async def endless(arguments: str, context: Context) -> Outcome:
        await context.say("It takes its time.")
        await anyio.sleep_forever()
        raise AssertionError

    async def broken(arguments: str, context: Context) -> Outcome:
        raise error

    return [
        made.tool("quick"),
        made.tool("slow", slow, filler=draw(fillers), on_interruption=draw(interruptions), max_concurrency=2),
        made.tool("endless", endless, on_interruption=draw(interruptions)),
        made.tool("broken", broken),
        made.canceller(),
    ]


@st.composite
def _scripts(draw: st.DrawFn, calls: Sequence[ToolCall]) -> Any:
    """A model that calls some tools, and then some more, until it is told to stop or has had enough."""
    rounds = draw(st.lists(st.lists(st.sampled_from(calls), min_size=1, max_size=3), min_size=1, max_size=6))

    def script(request: ChatRequest) -> Any:
        before = sum(isinstance(item, FunctionCallOutput) for item in request.items)
        if request.tool_choice == "none" or before >= len(rounds):
            return "That is all that there is to say."
        return rounds[before]

    return script


lawful = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def ours(timeline: Timeline) -> list[FunctionCall]:
    """The calls that are for the house, as far as that is sure: a client may forget what it has named."""
    calls = [
        event.item for event in timeline.of(e.ResponseOutputItemDone) if isinstance(event.item, FunctionCall)
    ]
    aside = {
        event.response.id for event in timeline.of(e.ResponseCreated) if not event.response.conversation_id
    }
    in_aside = {
        event.item.call_id
        for event in timeline.of(e.ResponseOutputItemDone)
        if isinstance(event.item, FunctionCall) and event.response_id in aside
    }
    return [call for call in calls if call.name != "theirs" and call.call_id not in in_aside]


@lawful
@given(plays())
def test_every_call_of_ours_gets_exactly_one_output(play: Play) -> None:
    timeline = play.perform()
    answered = [item.call_id for item in items(timeline) if isinstance(item, FunctionCallOutput)]
    assert len(set(answered)) == len(answered)
    assert {str(call.call_id) for call in ours(timeline)} <= set(answered)


def _is_our_wish(event: e.Event) -> bool:
    if not isinstance(event, e.ResponseCreate) or not event.event_id:
        return False
    return not event.response or VERBATIM not in (event.response.metadata or {})


@lawful
@given(plays())
def test_the_model_is_asked_to_go_on_once_for_each_news(play: Play) -> None:
    timeline = play.perform()
    refused = {event.error.event_id for event in timeline.of(e.ErrorEvent)}
    news = 0
    for heard in timeline.entries:
        match heard.event:
            case e.ConversationItemCreate(item=FunctionCallOutput()):
                news += 1
            case e.ResponseCreate() as wish if _is_our_wish(wish) and wish.event_id not in refused:
                assert news, "asked twice for the same outcomes"
                news = 0


@lawful
@given(plays())
def test_every_outcome_is_known_to_an_answer_that_begins_after_it(play: Play) -> None:
    """Unless the caller cut it short, the client has the last word, or the model has been told to stop."""
    timeline = play.perform()
    rounds = {event.response.id: event.response.output for event in timeline.of(e.ResponseDone)}
    waiting: set[str] = set()
    for event in timeline.events:
        match event:
            case e.ConversationItemAdded(item=FunctionCallOutput(call_id=call_id, output=output)):
                (called_with,) = [
                    output
                    for output in rounds.values()
                    if call_id in [getattr(i, "call_id", "") for i in output]
                ]
                mixed = any(getattr(item, "name", "") == "theirs" for item in called_with)
                if not mixed and "interrupted" not in output and "tool_rounds" not in output:
                    waiting.add(call_id)
            case e.ResponseCreated(response=response) if response.conversation_id:
                if VERBATIM not in (response.metadata or {}):
                    waiting.clear()
    assert not waiting


@lawful
@given(plays([CANCEL]))
def test_nothing_is_cancelled_without_a_yes_to_the_whole_question(play: Play) -> None:
    timeline = play.perform()
    asked_by: dict[str, bool] = {}
    whole, yeses, spoke_after = False, 0, set[str]()
    for event in timeline.events:
        match event:
            case e.ResponseCreated(response=response) if (response.metadata or {}).get(VERBATIM) == QUESTION:
                asked_by[response.id], whole = False, False
            case e.ResponseDone(response=response) if response.id in asked_by:
                whole = response.status == "completed"
            case e.InputAudioBufferSpeechStarted(item_id=item_id) if whole:
                spoke_after.add(item_id)
            case e.ConversationItemAdded(item=Message(role="user", id=item_id, content=content)) if whole:
                if judge_answer(getattr(content[0], "text", ""), question=QUESTION):
                    yeses, whole = yeses + 1, False
                spoke_after.add(str(item_id))
            case e.TranscriptionCompleted(item_id=item_id, transcript=text) if item_id in spoke_after:
                if judge_answer(text, question=QUESTION):
                    yeses, whole = yeses + 1, False
    assert play.made.arguments.count('{"order_id": "4321"}') <= yeses


@settings(lawful, max_examples=8)
@given(plays())
def test_in_the_end_the_session_is_as_the_client_wants_it(play: Play) -> None:
    timeline = play.perform()
    wanted = play.simulation.session
    for act in play.steps:
        if isinstance(act, ClientSends) and isinstance(act.event, e.SessionUpdate) and act.event.session.audio:
            return  # what it wants then is another law's matter
    told = timeline.of(e.SessionCreated, e.SessionUpdated)[-1].session
    assert told.audio.input == wanted.audio.input


@settings(lawful, max_examples=8)
@given(plays(), tenths(1, 100))
def test_hanging_up_ends_every_tool(play: Play, until: float) -> None:
    """`perform` returns only when every task of the conversation is gone: a leak would deadlock the clock."""
    play.until = 0
    play.perform(until)
