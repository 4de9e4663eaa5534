"""Calls that ring, with a transport of the test's."""

from dataclasses import dataclass, field

import anyio
import pytest

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce.session.call import Caller
from vivavoce.session.line import Rejected
from vivavoce.session.ringing import IncomingCall, IncomingCalls
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio

BRIEF = Session(instructions="Be brief.", model="gpt-realtime")


@dataclass
class Telephone:
    """Rings in a incoming, and remembers what became of its call."""

    incoming: IncomingCalls
    caller: Caller = field(default_factory=lambda: Caller("telephone"))
    ended: str = ""
    session: object = None
    put_through: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)

    async def ring(self) -> None:
        try:
            async with self.incoming.connect(IncomingCall(self.caller)) as line:
                created = await anext(line)
                assert isinstance(created, e.SessionCreated)
                self.session = created.session
                self.put_through.set()
                async for _ in line:
                    continue
                self.ended = "hung up"
        except Rejected as rejected:
            self.ended = str(rejected.status)
        except ProtocolError as error:
            self.ended = error.code
        self.over.set()


def incoming_calls(**limits: float) -> tuple[Switchboard, IncomingCalls]:
    switchboard = Switchboard(Simulation().engine, limits=Limits(**limits))  # type: ignore[arg-type]
    return switchboard, IncomingCalls(switchboard)


async def test_an_accepted_call_is_put_through_as_it_was_asked_for() -> None:
    switchboard, incoming = incoming_calls()
    telephone = Telephone(incoming)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(telephone.ring)
        await anyio.wait_all_tasks_blocked()
        assert [call.caller for call in incoming.ringing] == [telephone.caller]
        assert not switchboard.callers, "who rings takes nobody's place"
        await incoming.accept(telephone.caller.id, BRIEF)
        assert switchboard.caller(telephone.caller.id).model == "gpt-realtime", "it can be joined at once"
        assert not incoming.ringing
        await telephone.put_through.wait()
        switchboard.hang_up(telephone.caller.id)
    assert telephone.ended == "hung up"
    assert telephone.session.instructions == "Be brief."  # type: ignore[attr-defined]


async def test_a_rejected_call_is_told_the_status() -> None:
    switchboard, incoming = incoming_calls()
    telephone = Telephone(incoming)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(telephone.ring)
        await anyio.wait_all_tasks_blocked()
        incoming.reject(telephone.caller.id, 486)
    assert telephone.ended == "486"
    assert not switchboard.callers


async def test_a_call_that_nobody_answers_rings_out() -> None:
    _, incoming = incoming_calls(ringing_seconds=20)
    telephone, began = Telephone(incoming), anyio.current_time()
    await telephone.ring()
    assert telephone.ended == "480"
    assert anyio.current_time() - began == pytest.approx(20)
    assert not incoming.ringing


async def test_a_caller_may_give_up() -> None:
    _, incoming = incoming_calls()
    telephone = Telephone(incoming)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(telephone.ring)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    with pytest.raises(ProtocolError, match="no call"):
        await incoming.accept(telephone.caller.id, BRIEF)


async def test_a_call_is_decided_on_once() -> None:
    switchboard, incoming = incoming_calls()
    telephone = Telephone(incoming)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(telephone.ring)
        await anyio.wait_all_tasks_blocked()
        await incoming.accept(telephone.caller.id, BRIEF)
        with pytest.raises(ProtocolError) as caught:
            incoming.reject(telephone.caller.id, 603)
        assert caught.value.code == "call_not_ringing"
        switchboard.hang_up(telephone.caller.id)


async def test_whoever_accepts_is_told_when_there_is_no_place_after_all() -> None:
    switchboard, incoming = incoming_calls(conversations=1)
    telephone = Telephone(incoming)
    async with anyio.create_task_group() as tasks, switchboard.connect(Caller("test")):
        tasks.start_soon(telephone.ring)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ProtocolError, match=r"limits\.conversations"):
            await incoming.accept(telephone.caller.id, BRIEF)
        tasks.cancel_scope.cancel()
    assert telephone.ended == "server_busy"


async def test_only_so_many_ring() -> None:
    _, incoming = incoming_calls(ringing_calls=1)
    first, second = Telephone(incoming), Telephone(incoming)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.ring)
        await anyio.wait_all_tasks_blocked()
        await second.ring()
        incoming.reject(first.caller.id, 603)
    assert (first.ended, second.ended) == ("603", "server_busy")
