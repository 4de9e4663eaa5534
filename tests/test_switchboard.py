import logging

import anyio
import pytest

from vivavoce.limits import Limits
from vivavoce.line import HungUp, Line, open_line
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.settings import DEFAULT
from vivavoce.switchboard import Busy, Caller, Switchboard
from vivavoce.testing.stage import Stage

pytestmark = pytest.mark.anyio

QUESTION = e.ConversationItemCreate(item=Message(role="user", content=(InputText(text="Hello?"),)))


class Echo:
    """An engine that says one thing for every event."""

    async def converse(self, line: Line) -> None:
        async for _ in line:
            await line.send(e.SessionCreated(session=DEFAULT))


class Broken:
    """An engine with a bug, which shows when it is asked something."""

    async def converse(self, line: Line) -> None:
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
    stage = Stage(["A long answer, and so on and so on, until it ends. And more. And more."])
    switchboard = Switchboard(stage.engine)
    for moment in range(12):
        async with switchboard.connect(Caller("test")) as line:
            await line.send(QUESTION)
            await line.send(e.ResponseCreate())
            await anyio.sleep(moment / 10)
    assert not switchboard.callers


async def test_listeners_hear_both_sides_in_order_and_know_who_spoke() -> None:
    heard = []
    switchboard = Switchboard(Echo(), attend=[lambda caller: heard.append])
    async with switchboard.connect(Caller("test")) as line:
        await line.send(QUESTION)
        await answer(line)
    assert [(h.by, type(h.event)) for h in heard] == [
        ("client", e.ConversationItemCreate),
        ("server", e.SessionCreated),
    ]


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
