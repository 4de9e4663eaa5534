"""What the page about the client shows runs, and what there is, it mentions."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from client.plays import FRAME_SECONDS, Network, logged, said, sound
from engines.simulations import STORY, TRANSCRIBED
from samples.client import answer_the_phone, ask, go_on, on_end, on_start, servers
from tools.support import model
from vivavoce import RealtimeClient
from vivavoce.client import notifications as happenings
from vivavoce.client.settings import SETTINGS
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import CallerSays, Simulation

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs/client.md").read_text(encoding="utf-8")


@pytest.mark.real_time
async def test_a_question_in_writing_is_answered(scripted: str) -> None:
    assert await ask("Say exactly: until eight.", scripted) == "until eight."


async def test_the_shop_answers_the_phone() -> None:
    call = ToolCall("opening_hours", '{"day": "Sunday"}')
    simulation = Simulation([model(call), STORY, "Fine."], session=TRANSCRIBED)
    simulation.caller.utterances = [
        CallerSays(0.5, "How late are you open on Sunday?"),
        CallerSays(8.0, "Tell me a story"),
        CallerSays(11.5, "stop it now please"),
    ]
    heard = 0

    async def microphone() -> AsyncIterator[bytes]:
        for frame in range(round(16 / FRAME_SECONDS)):
            await anyio.sleep(FRAME_SECONDS)
            yield sound(simulation.caller.sample(frame * FRAME_SECONDS))

    def play(sound: bytes) -> None:
        nonlocal heard
        heard += len(sound)

    client = RealtimeClient(simulation.engine)
    await answer_the_phone(client, microphone(), play, lambda: 12_000 if anyio.current_time() > 10 else None)
    assert "assistant: So: from ten to four" in said(client)
    assert "assistant: Once" in said(client), "half a second was played"
    assert said(client)[-1] == "assistant: Fine."
    assert heard > 48_000


async def test_other_servers_are_made_by_their_addresses() -> None:
    assert len(servers()) == 6


@pytest.mark.real_time
async def test_a_framework_may_begin_and_end_in_different_functions(scripted: str) -> None:
    async with anyio.create_task_group() as tasks:
        client = await on_start(tasks, scripted)
        assert client.is_connected
        await on_end(client)
    assert not client.is_connected


async def test_an_answer_that_broke_off_is_given_anew() -> None:
    simulation = Simulation([STORY])
    network = Network(simulation)
    client = RealtimeClient(network.connect)
    go_on(client)
    async with client:
        await client.send_user_message_content("Tell me a story.")
        await client.wait_for_next("response.output_audio.delta")
        await network.break_off()
        again = await client.wait_for_next_completed_item(role="assistant", timeout=30)
    assert again.transcript.strip() == STORY
    assert logged(client).count("response.create") == 2


def test_every_method_has_a_line() -> None:
    names = [name for name in vars(RealtimeClient) if not name.startswith("_")]
    assert len(names) > 20
    assert [name for name in names if f"`{name}" not in PAGE and f".{name}(" not in PAGE] == []


def test_every_event_and_setting_has_a_line() -> None:
    source = inspect.getsource(happenings)
    ours = [name for name in source.split('"') if name.startswith(("conversation.", "connection.", "handler."))]
    assert len(set(ours)) == 8
    assert [name for name in (*ours, *SETTINGS) if f"`{name}" not in PAGE] == []
