"""Who attends a conversation: hears what passes, speaks as the caller, and keeps back what is not to pass."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest

from engines.plays import ask, done
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import verbatim
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.session.line import Heard, Line, SessionHandle
from vivavoce.session.switchboard import Caller, Switchboard
from vivavoce.testing.stage import Stage

pytestmark = pytest.mark.anyio

CARD = e.CardShown(call_id="call_1", title="Order", html="<p>On its way.</p>")
TOOL = FunctionTool(name="look", parameters={"type": "object"})
TEXT = {"output_modalities": ("text",)}
CANCEL = e.ResponseCancel(event_id="mine")


async def idle(seat: SessionHandle) -> None:
    await anyio.sleep_forever()


@dataclass
class Attendant:
    """Does what it is told to do, and remembers what it heard."""

    work: Callable[[SessionHandle], Awaitable[None]] = idle
    pass_on: Callable[[e.ClientEvent], e.ClientEvent | None] = lambda event: event
    heard: list[Heard] = field(default_factory=list)

    def passing(self, event: e.ClientEvent) -> e.ClientEvent | None:
        return self.pass_on(event)

    def hear(self, heard: Heard) -> None:
        self.heard.append(heard)

    async def attend(self, seat: SessionHandle) -> None:
        await self.work(seat)
        await anyio.sleep_forever()

    def heard_of(self, kind: type[e.Event]) -> list[e.Event]:
        return [heard.event for heard in self.heard if isinstance(heard.event, kind)]


def attended(attendant: Attendant, stage: Stage | None = None) -> Switchboard:
    return Switchboard((stage or Stage(["Yes."])).engine, seat=lambda caller: attendant)


async def until(line: Line, kind: type[e.Event]) -> list[e.Event]:
    """Return what is said on a line, up to the first event of this kind."""
    events = []
    with anyio.fail_after(60):
        async for event in line:
            events.append(event)
            if isinstance(event, kind):
                return events
    raise AssertionError(f"the line ended before {kind.__name__}")


async def test_an_attendant_speaks_as_the_caller() -> None:
    async def greet(seat: SessionHandle) -> None:
        await seat.say(e.ResponseCreate(response=verbatim("Good morning, what can I do for you?")))

    stage = Stage(["Nobody asked me."])
    stage.seat = lambda caller: Attendant(greet)
    score = await stage.play(until=5)
    assert done(score).response.status == "completed"
    said = "".join(event.delta for event in score.of(e.ResponseOutputAudioTranscriptDelta))
    assert said == "Good morning, what can I do for you?"
    assert score.of(e.ResponseOutputAudioDelta)
    assert not stage.chat.asked, "the words are given: no model was asked"


async def test_words_that_are_given_are_written_as_they_are_too() -> None:
    stage = Stage(["Nobody asked me."])
    score = await stage.play(*ask(0.1, "Hi", **{**TEXT, "metadata": verbatim("So be it.").metadata}), until=2)
    assert done(score).response.output[0].content[0].text == "So be it."
    assert done(score).response.metadata == {"vivavoce.verbatim": "So be it."}


async def test_an_engine_that_does_not_know_the_given_words_is_asked_for_them() -> None:
    wish = verbatim("One moment. " * 100)
    assert wish.tool_choice == "none"
    assert str(wish.instructions).startswith("Say exactly these words, and nothing else: One moment. One")
    assert len(wish.metadata["vivavoce.verbatim"]) == 512, "as long as the protocol lets it be"


async def test_what_is_wrong_with_an_attendants_words_is_for_its_ears_alone() -> None:
    async def blunder(seat: SessionHandle) -> None:
        await seat.say(CANCEL)

    attendant = Attendant(blunder)
    async with attended(attendant).connect(Caller("test")) as line:
        await line.send(e.InputAudioBufferClear())
        told = await until(line, e.InputAudioBufferCleared)
        assert not [event for event in told if isinstance(event, e.ErrorEvent)]
    (error,) = attendant.heard_of(e.ErrorEvent)
    assert error.error.event_id == "mine"


async def test_an_engine_far_away_finds_fault_later_and_still_whoever_said_it_is_told() -> None:
    class FarAway:
        async def converse(self, line: Line, session: object = None) -> None:
            said = [await anext(line), await anext(line)]
            for event in said:
                details = e.ErrorDetails(type="invalid_request_error", message="No.", event_id=event.event_id)
                await line.send(e.ErrorEvent(error=details))
            await line.send(e.InputAudioBufferCleared())

    async def blunder(seat: SessionHandle) -> None:
        await seat.say(CANCEL)

    attendant = Attendant(blunder)
    switchboard = Switchboard(FarAway(), seat=lambda caller: attendant)
    async with switchboard.connect(Caller("test")) as line:
        await line.send(e.ResponseCancel(event_id="theirs"))
        told = await until(line, e.InputAudioBufferCleared)
    assert [event.error.event_id for event in told if isinstance(event, e.ErrorEvent)] == ["theirs"]
    assert {event.error.event_id for event in attendant.heard_of(e.ErrorEvent)} == {"mine", "theirs"}


async def test_an_attendant_may_refuse_what_a_caller_says() -> None:
    def refuse(event: e.ClientEvent) -> e.ClientEvent:
        if isinstance(event, e.SessionUpdate):
            raise ProtocolError("Not here.", code="invalid_value", param="session")
        return event

    attendant = Attendant(pass_on=refuse)
    async with attended(attendant).connect(Caller("test")) as line:
        await line.send(e.SessionUpdate(session=Session(), event_id="mine"))
        await line.send(e.InputAudioBufferClear())
        told = await until(line, e.InputAudioBufferCleared)
    (error,) = [event.error for event in told if isinstance(event, e.ErrorEvent)]
    assert (error.message, error.param, error.event_id) == ("Not here.", "session", "mine")
    assert not attendant.heard_of(e.SessionUpdate)


async def test_an_attendant_may_change_what_passes() -> None:
    def with_tool(event: e.ClientEvent) -> e.ClientEvent:
        return e.SessionUpdate(session=Session(tools=(TOOL,))) if isinstance(event, e.SessionUpdate) else event

    attendant = Attendant(pass_on=with_tool)
    caller = Caller("test", session=Session(instructions="Be brief.", tools=()))
    async with attended(attendant).connect(caller) as line:
        (created,) = await until(line, e.SessionCreated)
        assert created.session.tools == (TOOL,), "also what the caller wants from the beginning"
        await line.send(e.SessionUpdate(session=Session(tools=())))
        (updated,) = await until(line, e.SessionUpdated)
        assert updated.session.tools == (TOOL,)
    (heard,) = attendant.heard_of(e.SessionUpdate)
    assert heard.session.tools == (TOOL,), "what is heard is what the engine hears"


async def test_an_attendant_may_keep_an_event_back_and_put_it_back_later() -> None:
    kept: list[e.ClientEvent] = []
    there = anyio.Event()

    def keep(event: e.ClientEvent) -> e.ClientEvent | None:
        if isinstance(event, e.ResponseCancel) and not kept:
            kept.append(event)
            there.set()
            return None
        return event

    async def put_back(seat: SessionHandle) -> None:
        await there.wait()
        await seat.say(e.InputAudioBufferClear())
        await seat.put_back(kept[0])

    async with attended(Attendant(put_back, keep)).connect(Caller("test")) as line:
        await line.send(CANCEL)
        *before, error = await until(line, e.ErrorEvent)
        assert isinstance(before[-1], e.InputAudioBufferCleared)
        assert error.error.event_id == "mine"


async def test_what_is_put_back_is_still_theirs_who_said_it_beside() -> None:
    kept: list[e.ClientEvent] = []
    there = anyio.Event()

    def keep(event: e.ClientEvent) -> e.ClientEvent | None:
        if kept:
            return event
        kept.append(event)
        there.set()
        return None

    async def put_back(seat: SessionHandle) -> None:
        await there.wait()
        await seat.put_back(kept[0])

    switchboard, caller = attended(Attendant(put_back, keep)), Caller("test")
    async with switchboard.connect(caller) as line, switchboard.join(caller.id) as beside:
        await beside.send(CANCEL)
        error = (await until(beside, e.ErrorEvent))[-1]
        assert error.error.event_id == "mine"
        await line.send(e.InputAudioBufferClear())
        told = await until(line, e.InputAudioBufferCleared)
        assert not [event for event in told if isinstance(event, e.ErrorEvent)]


@pytest.mark.parametrize("extras", [True, False])
async def test_events_of_our_own_reach_those_who_know_them(extras: bool) -> None:
    ready = anyio.Event()

    async def show(seat: SessionHandle) -> None:
        await ready.wait()
        await seat.tell(CARD)
        await seat.say(e.InputAudioBufferClear())

    attendant = Attendant(show)
    switchboard, caller = attended(attendant), Caller("test", extras=extras)
    async with (
        switchboard.connect(caller) as line,
        switchboard.join(caller.id, extras=extras) as beside,
    ):
        ready.set()
        for heard in (line, beside):
            told = await until(heard, e.InputAudioBufferCleared)
            assert (CARD in told) is extras
    assert attendant.heard_of(e.CardShown) == [CARD], "who listens hears it in any case"


async def test_an_engine_may_say_events_of_our_own_as_well() -> None:
    class Far:
        async def converse(self, line: Line, session: object = None) -> None:
            await line.send(e.EngineChanged(engine="cascade", reason="the far end is down"))
            await line.send(e.InputAudioBufferCleared())

    for extras in (True, False):
        async with Switchboard(Far()).connect(Caller("test", extras=extras)) as line:
            told = await until(line, e.InputAudioBufferCleared)
            assert isinstance(told[0], e.EngineChanged) is extras


async def test_an_attendant_with_a_bug_ends_its_conversation_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def break_down(seat: SessionHandle) -> None:
        raise ZeroDivisionError("a bug of ours")

    with caplog.at_level(logging.CRITICAL):
        healthy, broken = attended(Attendant()), attended(Attendant(break_down))
        async with healthy.connect(Caller("test")) as neighbour, broken.connect(Caller("test")) as line:
            error = (await until(line, e.ErrorEvent))[-1]
            assert error.error.code == "internal_error"
            await neighbour.send(e.InputAudioBufferClear())
            assert await until(neighbour, e.InputAudioBufferCleared)


async def test_an_attendant_leaves_when_the_caller_does() -> None:
    left = anyio.Event()

    async def stay(seat: SessionHandle) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            left.set()

    async with attended(Attendant(stay)).connect(Caller("test")) as line:
        await until(line, e.SessionCreated)
    assert left.is_set()


async def test_who_said_what_beside_is_remembered_for_a_while_and_no_longer() -> None:
    async def chatter(seat: SessionHandle) -> None:
        for _ in range(300):
            await seat.say(e.InputAudioBufferClear())

    switchboard, caller = attended(Attendant(chatter)), Caller("test")
    async with switchboard.connect(caller) as line:
        for _ in range(300):
            await until(line, e.InputAudioBufferCleared)
        assert len(switchboard._find(caller.id).askers) == 256
