"""What a chat model reads while nobody waits, and how long it may read while somebody does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import anyio
import pytest

from engines.simulations import ask, done, user
from engines.upstream import DOWN, failing_over
from vivavoce.client import RealtimeClient
from vivavoce.engines.cascade.engine import Cascade
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Message, OutputAudio
from vivavoce.protocol.responses import Failed
from vivavoce.protocol.session import FunctionTool, Session
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ChatRequest, ChatUsage
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation

pytestmark = pytest.mark.anyio


def roles(request: ChatRequest) -> list[str]:
    return [item.role for item in request.items if isinstance(item, Message)]


async def test_what_was_said_is_read_before_the_caller_speaks_again() -> None:
    tools = (FunctionTool(name="look", parameters={"type": "object"}),)
    simulation = Simulation(["I am fine, thank you."], session=merge(DEFAULT, Session(tools=tools)))
    await simulation.run(CallerSays(0.5, "How are you?"), CallerSays(4.5, "What did you say?"), until=5.2)
    at_once, speaking, answered, again = simulation.chat.prefills
    assert not [*at_once.items, *speaking.items]
    assert roles(answered) == ["user", "assistant"]
    assert again == answered
    assert answered.tools == tools


async def test_a_conversation_that_is_told_again_is_read_from_its_first_item_on() -> None:
    simulation = Simulation(["Yes."])
    told = [
        ClientSends(0.5 + number / 100, e.ConversationItemCreate(item=user(f"Earlier question {number}")))
        for number in range(60)
    ]
    timeline = await simulation.run(*told, ClientSends(1.5, e.ResponseCreate()), until=4)
    first, *_, last = (len(request.items) for request in simulation.chat.prefills[:-1])
    assert 0 < first < 10
    assert last == 60
    assert done(timeline).response.status == "completed"


async def test_a_question_that_is_asked_at_once_is_not_read_ahead() -> None:
    simulation = Simulation(["Yes."])
    await simulation.run(*ask(0.5, "Is it?"), until=1.2)
    assert [roles(request) for request in simulation.chat.prefills] == [["user", "assistant"]]


async def test_only_what_was_heard_is_read() -> None:
    words = " ".join(f"number {n}" for n in range(40))
    simulation = Simulation([words])
    timeline = await simulation.run(CallerSays(0.5, "Count."), CallerSays(4, "Stop it now."), until=4.6)
    assert done(timeline).response.status == "cancelled"
    last = simulation.chat.prefills[-1].items[-1]
    assert isinstance(last, Message)
    (part,) = last.content
    assert isinstance(part, OutputAudio)
    assert isinstance(part.transcript, str)
    assert part.transcript
    assert words.startswith(part.transcript)
    assert len(part.transcript) < len(words)


@dataclass
class _Reading:
    """A chat model that reads for `seconds`, and says so every `step` seconds."""

    seconds: float
    step: float

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ChatUsage]:
        until = anyio.current_time() + self.seconds
        while anyio.current_time() < until:
            await anyio.sleep(self.step)
            request.on_progress()
        yield "Well."
        await anyio.sleep(8)
        yield " That is it."
        yield ChatUsage(1, 1)


async def reply_of(chat: _Reading, limits: Limits) -> e.ResponseDone:
    simulation = Simulation(limits=limits)
    assert isinstance(simulation.engine, Cascade)
    simulation.engine = replace(simulation.engine, providers=replace(simulation.engine.providers, chat=chat))
    return done(await simulation.run(*ask(0.5, "Is it?"), until=200))


async def test_progress_in_reading_is_no_silence() -> None:
    response = (await reply_of(_Reading(seconds=100, step=14), Limits())).response
    assert response.status == "completed"


@pytest.mark.parametrize(("seconds", "step"), [(40, 20), (150, 1)])
async def test_a_model_that_reads_without_progress_or_for_ever_fails(seconds: float, step: float) -> None:
    response = (await reply_of(_Reading(seconds, step), Limits(reading_seconds=60))).response
    assert isinstance(response.status_details, Failed)
    assert "limits.reading_seconds" in str(response.status_details.error.message)


async def test_after_a_failover_our_own_model_may_read_for_longer_than_a_server_may_be_silent() -> None:
    """The client writes: where it sends audio, the server's silence is measured from each frame."""
    simulation, then = Simulation(), Simulation()
    reading = replace(then.engine.providers, chat=_Reading(seconds=80, step=10))
    then.engine = replace(then.engine, providers=reading)
    failing_over(simulation, then, refuses=[DOWN] * 9, down=0)
    async with RealtimeClient(simulation.engine) as client:
        began = anyio.current_time()
        await client.send_user_message_content("Is it?")
        event = await client.wait_for_next("server.response.done")
    assert event.response.status == "completed"
    assert anyio.current_time() - began < 110, "it was not asked again"
