"""Middleware observes a conversation, sends in the caller's place, and holds back what is not to pass."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest

from engines.simulations import ask, done
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import verbatim
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.session.call import Caller
from vivavoce.session.line import Line
from vivavoce.session.middleware import ObservedEvent, SessionHandle
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio

CARD = e.CardShown(call_id="call_1", title="Order", html="<p>On its way.</p>")
TOOL = FunctionTool(name="look", parameters={"type": "object"})
TEXT = {"output_modalities": ("text",)}
CANCEL = e.ResponseCancel(event_id="mine")


async def idle(handle: SessionHandle) -> None:
    await anyio.sleep_forever()


@dataclass
class Recorder:
    """Middleware that does what it is given to do, and records what it observes."""

    work: Callable[[SessionHandle], Awaitable[None]] = idle
    pass_on: Callable[[e.ClientEvent], e.ClientEvent | None] = lambda event: event
    observed: list[ObservedEvent] = field(default_factory=list)

    def intercept(self, event: e.ClientEvent) -> e.ClientEvent | None:
        return self.pass_on(event)

    def on_event(self, observed: ObservedEvent) -> None:
        self.observed.append(observed)

    async def run(self, handle: SessionHandle) -> None:
        await self.work(handle)
        await anyio.sleep_forever()

    def observed_of(self, kind: type[e.Event]) -> list[e.Event]:
        return [one.event for one in self.observed if isinstance(one.event, kind)]


def switchboard_with(middleware: Recorder, simulation: Simulation | None = None) -> Switchboard:
    return Switchboard((simulation or Simulation(["Yes."])).engine, middleware=lambda caller: middleware)


async def until(line: Line, kind: type[e.Event]) -> list[e.Event]:
    """Return what is said on a line, up to the first event of this kind."""
    events = []
    with anyio.fail_after(60):
        async for event in line:
            events.append(event)
            if isinstance(event, kind):
                return events
    raise AssertionError(f"the line ended before {kind.__name__}")


async def test_middleware_sends_in_the_callers_place() -> None:
    async def greet(handle: SessionHandle) -> None:
        await handle.send(e.ResponseCreate(response=verbatim("Good morning, what can I do for you?")))

    simulation = Simulation(["Nobody asked me."])
    simulation.middleware = lambda caller: Recorder(greet)
    timeline = await simulation.run(until=5)
    assert done(timeline).response.status == "completed"
    said = "".join(event.delta for event in timeline.of(e.ResponseOutputAudioTranscriptDelta))
    assert said == "Good morning, what can I do for you?"
    assert timeline.of(e.ResponseOutputAudioDelta)
    assert not simulation.chat.requests, "the words are given: no model was asked"


async def test_words_that_are_given_are_written_as_they_are_too() -> None:
    simulation = Simulation(["Nobody asked me."])
    timeline = await simulation.run(
        *ask(0.1, "Hi", **{**TEXT, "metadata": verbatim("So be it.").metadata}), until=2
    )
    assert done(timeline).response.output[0].content[0].text == "So be it."
    assert done(timeline).response.metadata == {"vivavoce.verbatim": "So be it."}


async def test_an_engine_that_does_not_know_verbatim_words_is_asked_to_say_them() -> None:
    wish = verbatim("One moment. " * 100)
    assert wish.tool_choice == "none"
    assert str(wish.instructions).startswith("Say exactly these words, and nothing else: One moment. One")
    assert len(wish.metadata["vivavoce.verbatim"]) == 512, "as long as the protocol lets it be"


async def test_an_error_about_what_middleware_sends_goes_to_the_middleware_alone() -> None:
    async def blunder(handle: SessionHandle) -> None:
        await handle.send(CANCEL)

    middleware = Recorder(blunder)
    async with switchboard_with(middleware).connect(Caller("test")) as line:
        await line.send(e.InputAudioBufferClear())
        told = await until(line, e.InputAudioBufferCleared)
        assert not [event for event in told if isinstance(event, e.ErrorEvent)]
    (error,) = middleware.observed_of(e.ErrorEvent)
    assert error.error.event_id == "mine"


async def test_a_remote_engine_reports_an_error_later_and_still_its_sender_gets_it() -> None:
    class RemoteEngine:
        async def converse(self, line: Line, session: object = None) -> None:
            said = [await anext(line), await anext(line)]
            for event in said:
                details = e.ErrorDetails(type="invalid_request_error", message="No.", event_id=event.event_id)
                await line.send(e.ErrorEvent(error=details))
            await line.send(e.InputAudioBufferCleared())

    async def blunder(handle: SessionHandle) -> None:
        await handle.send(CANCEL)

    middleware = Recorder(blunder)
    switchboard = Switchboard(RemoteEngine(), middleware=lambda caller: middleware)
    async with switchboard.connect(Caller("test")) as line:
        await line.send(e.ResponseCancel(event_id="theirs"))
        told = await until(line, e.InputAudioBufferCleared)
    assert [event.error.event_id for event in told if isinstance(event, e.ErrorEvent)] == ["theirs"]
    assert {event.error.event_id for event in middleware.observed_of(e.ErrorEvent)} == {"mine", "theirs"}


async def test_middleware_may_refuse_what_a_client_sends() -> None:
    def refuse(event: e.ClientEvent) -> e.ClientEvent:
        if isinstance(event, e.SessionUpdate):
            raise ProtocolError("Not here.", code="invalid_value", param="session")
        return event

    middleware = Recorder(pass_on=refuse)
    async with switchboard_with(middleware).connect(Caller("test")) as line:
        await line.send(e.SessionUpdate(session=Session(), event_id="mine"))
        await line.send(e.InputAudioBufferClear())
        told = await until(line, e.InputAudioBufferCleared)
    (error,) = [event.error for event in told if isinstance(event, e.ErrorEvent)]
    assert (error.message, error.param, error.event_id) == ("Not here.", "session", "mine")
    assert not middleware.observed_of(e.SessionUpdate)


async def test_middleware_may_change_what_a_client_sends() -> None:
    def with_tool(event: e.ClientEvent) -> e.ClientEvent:
        return e.SessionUpdate(session=Session(tools=(TOOL,))) if isinstance(event, e.SessionUpdate) else event

    middleware = Recorder(pass_on=with_tool)
    caller = Caller("test", session=Session(instructions="Be brief.", tools=()))
    async with switchboard_with(middleware).connect(caller) as line:
        (created,) = await until(line, e.SessionCreated)
        assert created.session.tools == (TOOL,), "also what the caller wants from the beginning"
        await line.send(e.SessionUpdate(session=Session(tools=())))
        (updated,) = await until(line, e.SessionUpdated)
        assert updated.session.tools == (TOOL,)
    (heard,) = middleware.observed_of(e.SessionUpdate)
    assert heard.session.tools == (TOOL,), "what is observed is what the engine receives"


async def test_middleware_may_hold_an_event_back_and_resume_it_later() -> None:
    kept: list[e.ClientEvent] = []
    there = anyio.Event()

    def keep(event: e.ClientEvent) -> e.ClientEvent | None:
        if isinstance(event, e.ResponseCancel) and not kept:
            kept.append(event)
            there.set()
            return None
        return event

    async def resume(handle: SessionHandle) -> None:
        await there.wait()
        await handle.send(e.InputAudioBufferClear())
        await handle.resume(kept[0])

    async with switchboard_with(Recorder(resume, keep)).connect(Caller("test")) as line:
        await line.send(CANCEL)
        *before, error = await until(line, e.ErrorEvent)
        assert isinstance(before[-1], e.InputAudioBufferCleared)
        assert error.error.event_id == "mine"


async def test_an_error_about_a_resumed_event_goes_to_the_sideband_that_sent_it() -> None:
    kept: list[e.ClientEvent] = []
    there = anyio.Event()

    def keep(event: e.ClientEvent) -> e.ClientEvent | None:
        if kept:
            return event
        kept.append(event)
        there.set()
        return None

    async def resume(handle: SessionHandle) -> None:
        await there.wait()
        await handle.resume(kept[0])

    switchboard, caller = switchboard_with(Recorder(resume, keep)), Caller("test")
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

    async def show(handle: SessionHandle) -> None:
        await ready.wait()
        await handle.notify(CARD)
        await handle.send(e.InputAudioBufferClear())

    middleware = Recorder(show)
    switchboard, caller = switchboard_with(middleware), Caller("test", extras=extras)
    async with (
        switchboard.connect(caller) as line,
        switchboard.join(caller.id, extras=extras) as beside,
    ):
        ready.set()
        for heard in (line, beside):
            told = await until(heard, e.InputAudioBufferCleared)
            assert (CARD in told) is extras
    assert middleware.observed_of(e.CardShown) == [CARD], "listeners observe it in any case"


async def test_an_engine_may_say_events_of_our_own_as_well() -> None:
    class Failing:
        async def converse(self, line: Line, session: object = None) -> None:
            await line.send(e.EngineChanged(engine="cascade", reason="the upstream is down"))
            await line.send(e.InputAudioBufferCleared())

    for extras in (True, False):
        async with Switchboard(Failing()).connect(Caller("test", extras=extras)) as line:
            told = await until(line, e.InputAudioBufferCleared)
            assert isinstance(told[0], e.EngineChanged) is extras


async def test_middleware_with_a_bug_ends_its_conversation_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def break_down(handle: SessionHandle) -> None:
        raise ZeroDivisionError("a bug of ours")

    with caplog.at_level(logging.CRITICAL):
        healthy, broken = switchboard_with(Recorder()), switchboard_with(Recorder(break_down))
        async with healthy.connect(Caller("test")) as neighbour, broken.connect(Caller("test")) as line:
            error = (await until(line, e.ErrorEvent))[-1]
            assert error.error.code == "internal_error"
            await neighbour.send(e.InputAudioBufferClear())
            assert await until(neighbour, e.InputAudioBufferCleared)


async def test_middleware_is_cancelled_when_the_caller_hangs_up() -> None:
    left = anyio.Event()

    async def stay(handle: SessionHandle) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            left.set()

    async with switchboard_with(Recorder(stay)).connect(Caller("test")) as line:
        await until(line, e.SessionCreated)
    assert left.is_set()


async def test_the_senders_of_so_many_events_are_remembered_and_no_more() -> None:
    async def chatter(handle: SessionHandle) -> None:
        for _ in range(300):
            await handle.send(e.InputAudioBufferClear())

    switchboard, caller = switchboard_with(Recorder(chatter)), Caller("test")
    async with switchboard.connect(caller) as line:
        for _ in range(300):
            await until(line, e.InputAudioBufferCleared)
        assert len(switchboard._find(caller.id).error_handlers) == 256
