import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import FunctionTool, McpServerTool, Session
from vivavoce.protocol.settings import DEFAULT
from vivavoce.session.call import Caller
from vivavoce.session.line import HungUp, Line, open_line
from vivavoce.session.middleware import Listener, ObservedEvent
from vivavoce.session.switchboard import Busy, Switchboard
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio

UNREADABLE = error_event(ProtocolError("The event is not valid JSON.", code="invalid_event"), "mine")
"""What a transport sends in place of an event that it could not read."""

QUESTION = e.ConversationItemCreate(item=Message(role="user", content=(InputText(text="Hello?"),)))


class Echo:
    """An engine that says one thing for every event."""

    async def converse(self, line: Line, session: object = None) -> None:
        async for _ in line:
            await line.send(e.SessionCreated(session=DEFAULT))


class Broken:
    """An engine with a bug, which shows when it is asked something."""

    async def converse(self, line: Line, session: object = None) -> None:
        async for _ in line:
            raise ZeroDivisionError("a bug of ours")


async def answer(line: Line) -> e.Event:
    return await anext(aiter(line))


async def test_a_caller_is_put_through() -> None:
    switchboard = Switchboard(Echo())
    async with switchboard.connect(Caller("test")) as line:
        await line.send(QUESTION)
        assert isinstance(await answer(line), e.SessionCreated)
        assert len(switchboard.callers) == 1
    assert not switchboard.callers


async def test_one_more_than_there_are_places_is_refused_and_told_the_limit() -> None:
    switchboard = Switchboard(Echo(), limits=Limits(conversations=1))
    async with switchboard.connect(Caller("test")):
        with pytest.raises(Busy, match=r"limits\.conversations"):
            async with switchboard.connect(Caller("test")):
                pytest.fail("was put through")
    async with switchboard.connect(Caller("test")):
        assert len(switchboard.callers) == 1, "the place is free again"


async def test_an_error_of_ours_ends_one_conversation_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    healthy, broken = Switchboard(Echo()), Switchboard(Broken())
    with caplog.at_level(logging.CRITICAL):
        async with healthy.connect(Caller("test")) as neighbour, broken.connect(Caller("test")) as line:
            await line.send(QUESTION)
            said = await answer(line)
            assert isinstance(said, e.ErrorEvent)
            assert (said.error.type, said.error.code) == ("server_error", "internal_error")
            with pytest.raises(StopAsyncIteration):
                await answer(line)
            await neighbour.send(QUESTION)
            assert isinstance(await answer(neighbour), e.SessionCreated)


async def test_hanging_up_is_nobodys_fault() -> None:
    simulation = Simulation(["A long answer, and so on and so on, until it ends. And more. And more."])
    switchboard = Switchboard(simulation.engine)
    for moment in range(12):
        async with switchboard.connect(Caller("test")) as line:
            await line.send(QUESTION)
            await line.send(e.ResponseCreate())
            await anyio.sleep(moment / 10)
    assert not switchboard.callers


async def test_listeners_hear_both_sides_in_order_and_know_who_spoke() -> None:
    heard = []
    switchboard = Switchboard(Echo(), listeners=[lambda caller: heard.append])
    async with switchboard.connect(Caller("test")) as line:
        await line.send(QUESTION)
        await answer(line)
    assert [(h.source, type(h.event)) for h in heard] == [
        ("client", e.ConversationItemCreate),
        ("server", e.SessionCreated),
    ]


async def test_listeners_hear_no_secrets() -> None:
    heard: list[ObservedEvent | Caller] = []

    def listener(caller: Caller) -> Listener:
        heard.append(caller)
        return heard.append

    desk = McpServerTool(
        server_label="desk",
        server_url="https://desk.example",
        authorization="secret",
        headers={"X-Key": "secret"},
    )
    async with Switchboard(Echo(), listeners=[listener]).connect(
        Caller("test", session=Session(tools=(desk,)))
    ) as line:
        for event in (
            e.SessionUpdate(session=Session(tools=(desk,))),
            e.ResponseCreate(response=ResponseParams(tools=(desk,))),
        ):
            await line.send(event)
            await answer(line)
    assert str(heard).count("https://desk.example") == 3
    assert "secret" not in str(heard)


async def test_what_cannot_be_read_is_answered_in_its_turn() -> None:
    heard: list[ObservedEvent] = []
    switchboard = Switchboard(Simulation().engine, listeners=[lambda caller: heard.append])
    async with switchboard.connect(Caller("test")) as line:
        for event in (e.ResponseCancel(event_id="first"), UNREADABLE, e.ResponseCancel(event_id="last")):
            await line.send(event)
        told = [await answer(line) for _ in range(4)]
    named = [event.error.event_id for event in told if isinstance(event, e.ErrorEvent)]
    assert named == ["first", "mine", "last"]
    assert [said.event for said in heard if said.source == "server"] == told


async def test_a_line_is_bounded_both_ways() -> None:
    near, _far = open_line(depth=2)
    async with near, _far:
        await near.send(QUESTION)
        await near.send(QUESTION)
        with anyio.move_on_after(1) as waited:
            await near.send(QUESTION)
        assert waited.cancelled_caught


async def test_who_has_hung_up_hears_no_more() -> None:
    near, far = open_line()
    async with far:
        pass
    async with near:
        with pytest.raises(HungUp):
            await near.send(QUESTION)


# who joins


class Ear:
    """Hears a line out, and waits for what it is told to wait for."""

    def __init__(self, line: Line) -> None:
        self.line, self.events, self.over = line, list[e.Event](), False
        self._news = anyio.Event()

    async def listen(self) -> None:
        async for event in self.line:
            self.events.append(event)
            self._tell()
        self.over = True
        self._tell()

    async def until(self, kind: type[e.Event], times: int = 1) -> e.Event:
        with anyio.fail_after(60):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < times:
                assert not self.over, f"the line ended before {kind.__name__}"
                await self._news.wait()
        return found[times - 1]

    async def until_over(self) -> None:
        with anyio.fail_after(60):
            while not self.over:
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    @property
    def kinds(self) -> list[type[e.Event]]:
        return [type(event) for event in self.events]


@asynccontextmanager
async def a_call_and_one_who_joined(switchboard: Switchboard, caller: Caller) -> AsyncIterator[tuple[Ear, Ear]]:
    """Give the ears of the caller and of one who has joined their call."""
    async with anyio.create_task_group() as tasks, switchboard.connect(caller) as line:
        near = Ear(line)
        tasks.start_soon(near.listen)
        created = await near.until(e.SessionCreated)
        assert isinstance(created, e.SessionCreated)
        async with switchboard.join(created.session.id or "") as beside:
            joined = Ear(beside)
            tasks.start_soon(joined.listen)
            yield near, joined
            tasks.cancel_scope.cancel()


async def test_who_joins_hears_what_the_caller_hears_in_the_same_order() -> None:
    switchboard = Switchboard(Simulation(["Paris, of course. It is in France."]).engine)
    async with a_call_and_one_who_joined(switchboard, Caller("test")) as (near, joined):
        await near.line.send(QUESTION)
        await near.line.send(e.ResponseCreate())
        await near.until(e.ResponseDone)
        await joined.until(e.ResponseDone)
        assert near.events[0].session == joined.events[0].session  # type: ignore[attr-defined]
        assert near.events[1:] == joined.events[1:]
        assert e.ResponseOutputAudioDelta in joined.kinds


async def test_who_joins_late_is_told_how_things_are_and_nothing_of_before() -> None:
    switchboard = Switchboard(Simulation(["Paris."]).engine)
    caller = Caller("test")
    async with switchboard.connect(caller) as line:
        await line.send(e.SessionUpdate(session=Session(instructions="Be brief.")))
        await line.send(QUESTION)
        while not isinstance(await answer(line), e.ConversationItemDone):
            continue
        async with switchboard.join(caller.id) as beside:
            created = await answer(beside)
            assert isinstance(created, e.SessionCreated)
            assert created.session.instructions == "Be brief."  # type: ignore[union-attr]
            await beside.send(e.InputAudioBufferClear())
            assert isinstance(await answer(beside), e.InputAudioBufferCleared)


async def test_who_joins_may_say_whatever_the_caller_may() -> None:
    switchboard = Switchboard(
        Simulation(["A long story, and so on and so on, until it ends. And more."]).engine
    )
    tool = FunctionTool(name="get_weather", parameters={"type": "object"})
    async with a_call_and_one_who_joined(switchboard, Caller("test")) as (near, joined):
        await joined.line.send(e.SessionUpdate(session=Session(tools=(tool,))))
        updated = await near.until(e.SessionUpdated)
        assert updated.session.tools == (tool,)  # type: ignore[attr-defined]
        await joined.line.send(QUESTION)
        await joined.line.send(e.ResponseCreate())
        await near.until(e.ResponseOutputAudioDelta)
        await joined.line.send(e.ResponseCancel())
        done = await near.until(e.ResponseDone)
        assert done.response.status == "cancelled"  # type: ignore[attr-defined]
        await joined.line.send(e.ResponseCancel(event_id="mine"))
        error = await joined.until(e.ErrorEvent)
        assert (error.error.code, error.error.event_id) == ("response_cancel_not_active", "mine")  # type: ignore[attr-defined]


@pytest.mark.parametrize("unreadable", [False, True])
async def test_an_error_is_heard_by_whoever_made_the_mistake(unreadable: bool) -> None:
    mistake = UNREADABLE if unreadable else e.ResponseCancel(event_id="mine")
    switchboard = Switchboard(Simulation().engine)
    async with a_call_and_one_who_joined(switchboard, Caller("test")) as (near, joined):
        for clumsy, other in ((joined, near), (near, joined)):
            await clumsy.line.send(mistake)
            await clumsy.line.send(e.InputAudioBufferClear())
            error = await clumsy.until(e.ErrorEvent)
            assert error.error.event_id == "mine"  # type: ignore[attr-defined]
            cleared = clumsy.kinds.count(e.InputAudioBufferCleared) + 1
            await other.until(e.InputAudioBufferCleared, cleared)
            assert other.kinds.count(e.ErrorEvent) == (other is joined)


async def test_so_is_one_about_sound_that_is_heard_at_once() -> None:
    switchboard = Switchboard(Simulation().engine)
    async with a_call_and_one_who_joined(switchboard, Caller("test")) as (near, joined):
        assert joined.line.try_send(e.InputAudioBufferAppend(audio=b"odd"))
        await joined.until(e.ErrorEvent)
        assert e.ErrorEvent not in near.kinds


async def test_what_concerns_the_call_is_heard_by_all() -> None:
    switchboard = Switchboard(Simulation(limits=Limits(conversation_minutes=0.5)).engine)
    async with a_call_and_one_who_joined(switchboard, Caller("test")) as (near, joined):
        await joined.line.send(e.InputAudioBufferClear())
        for ear in (near, joined):
            error = await ear.until(e.ErrorEvent)
            assert error.error.code == "session_expired"  # type: ignore[attr-defined]


async def test_who_made_a_mistake_and_left_is_not_told() -> None:
    switchboard = Switchboard(Simulation().engine)
    async with a_call_and_one_who_joined(switchboard, Caller("test")) as (near, joined):
        async with switchboard.join(near.events[0].session.id) as hasty:  # type: ignore[attr-defined]
            await hasty.send(UNREADABLE)
        await near.line.send(e.InputAudioBufferClear())
        await joined.until(e.InputAudioBufferCleared)
        assert e.ErrorEvent not in near.kinds + joined.kinds


async def test_who_leaves_again_ends_nothing() -> None:
    switchboard = Switchboard(Simulation(["Paris."]).engine)
    async with a_call_and_one_who_joined(switchboard, Caller("test")) as (near, _):
        created = near.events[0]
        async with switchboard.join(created.session.id):  # type: ignore[attr-defined]
            pass
        await near.line.send(QUESTION)
        await near.line.send(e.ResponseCreate(response=ResponseParams(output_modalities=("text",))))
        await near.until(e.ResponseDone)


async def test_when_the_call_is_over_so_is_every_line_that_joined() -> None:
    switchboard, caller = Switchboard(Simulation().engine), Caller("test")
    async with anyio.create_task_group() as tasks:
        async with switchboard.connect(caller) as line:
            await answer(line)
            beside = await _stay(switchboard, caller.id, tasks)
        await beside.until_over()
        with pytest.raises(HungUp):
            await beside.line.send(QUESTION)
        tasks.cancel_scope.cancel()
    assert not switchboard.callers


async def test_who_joined_and_reads_too_slowly_is_left_behind_alone() -> None:
    switchboard = Switchboard(
        Simulation(["One two three four five six."]).engine, limits=Limits(sideband_depth=8)
    )
    caller = Caller("test")
    async with (
        a_call_and_one_who_joined(switchboard, caller) as (near, joined),
        switchboard.join(caller.id) as slow,
    ):
        await near.line.send(QUESTION)
        await near.line.send(e.ResponseCreate())
        await near.until(e.ResponseDone)
        await joined.until(e.ResponseDone)
        heard = [event async for event in slow]
    assert len(heard) == 9
    assert isinstance(heard[-1], e.ErrorEvent)
    assert "limits.sideband_depth" in heard[-1].error.message


async def test_only_so_many_may_join() -> None:
    switchboard, caller = Switchboard(Simulation().engine, limits=Limits(sidebands=1)), Caller("test")
    async with switchboard.connect(caller):
        async with switchboard.join(caller.id):
            with pytest.raises(ProtocolError, match=r"limits\.sidebands"):
                async with switchboard.join(caller.id):
                    pytest.fail("has joined")
        async with switchboard.join(caller.id):
            assert len(switchboard.callers) == 1, "who joins takes nobody's place"


async def test_nobody_joins_or_ends_a_call_that_there_is_not() -> None:
    switchboard = Switchboard(Simulation().engine)
    with pytest.raises(ProtocolError, match="no call 'rtc_x'"):
        async with switchboard.join("rtc_x"):
            pytest.fail("has joined")
    with pytest.raises(ProtocolError, match="no call 'rtc_x'"):
        switchboard.hang_up("rtc_x")


# where the transport plays the sound


async def test_the_sound_of_a_call_that_is_played_elsewhere_is_not_for_those_who_join() -> None:
    switchboard = Switchboard(Simulation(["Paris, of course."]).engine)
    async with a_call_and_one_who_joined(switchboard, Caller("test", plays_audio=True)) as (near, joined):
        await near.line.send(QUESTION)
        await near.line.send(e.ResponseCreate())
        await joined.until(e.ResponseDone)
        assert e.ResponseOutputAudioDelta in near.kinds
        assert e.ResponseOutputAudioDelta not in joined.kinds
        assert e.ResponseOutputAudioTranscriptDelta in joined.kinds


async def test_what_the_one_who_plays_tells_is_heard_by_all_in_the_same_order() -> None:
    heard: list[e.Event] = []
    switchboard = Switchboard(
        Simulation().engine, listeners=[lambda caller: lambda said: heard.append(said.event)]
    )
    started = e.OutputAudioBufferStarted(response_id="resp_1")
    async with a_call_and_one_who_joined(switchboard, Caller("test", plays_audio=True)) as (near, joined):
        await near.line.send(started)
        await near.line.send(QUESTION)
        await joined.until(e.ConversationItemDone)
        await near.until(e.ConversationItemDone)
        for kinds in (near.kinds, joined.kinds):
            assert kinds.index(e.OutputAudioBufferStarted) < kinds.index(e.ConversationItemAdded)
    assert heard.count(started) == 1


async def test_only_the_one_who_plays_is_told_to_stop() -> None:
    heard: list[tuple[str, e.Event]] = []
    switchboard = Switchboard(
        Simulation().engine, listeners=[lambda caller: lambda said: heard.append((said.source, said.event))]
    )
    clear = e.OutputAudioBufferClear()
    async with a_call_and_one_who_joined(switchboard, Caller("test", plays_audio=True)) as (near, joined):
        await joined.line.send(clear)
        assert await near.until(e.OutputAudioBufferClear) is clear
        await joined.line.send(e.InputAudioBufferClear())
        await joined.until(e.InputAudioBufferCleared)
        assert e.ErrorEvent not in joined.kinds, "the engine plays nothing, and was not asked"
    assert ("client", clear) in heard


# from outside


async def test_a_call_can_be_ended_from_outside() -> None:
    switchboard, caller = Switchboard(Simulation().engine), Caller("test")
    async with a_call_and_one_who_joined(switchboard, caller) as (near, _):
        switchboard.hang_up(caller.id)
        await near.until_over()


async def test_a_call_is_handed_over_by_its_transport_if_that_can() -> None:
    targets: list[str] = []

    async def refer(target: str) -> None:
        targets.append(target)

    switchboard = Switchboard(Simulation().engine)
    able, unable = Caller("telephone", refer=refer), Caller("websocket")
    async with switchboard.connect(able), switchboard.connect(unable):
        await switchboard.refer(able.id, "tel:+14155550123")
        with pytest.raises(ProtocolError, match="came by websocket"):
            await switchboard.refer(unable.id, "tel:+14155550123")
    assert targets == ["tel:+14155550123"]


async def _stay(switchboard: Switchboard, call_id: str, tasks: anyio.abc.TaskGroup) -> Ear:
    """Join in a task of its own, and do not leave before the line ends."""

    async def stay(*, task_status: anyio.abc.TaskStatus[Ear]) -> None:
        async with switchboard.join(call_id) as line:
            ear = Ear(line)
            task_status.started(ear)
            await ear.listen()
            await anyio.sleep_forever()

    ear: Ear = await tasks.start(stay)
    return ear
