"""A client and a real server, in every dialect and form of address, and over a cable that is cut."""

from collections.abc import Callable
from functools import partial

import anyio
import pytest

from client.cable import laid_to
from client.plays import said
from clients.talk import sound_of
from vivavoce import Limits, ProtocolError, ProviderError, RealtimeClient
from vivavoce.client import ConnectionChanged, Interrupted, Update
from vivavoce.protocol import events as e
from vivavoce.protocol.session import TranscriptionSession

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SECOND = 48_000
HEARD = {"model": "scripted", "prompt": "Heard: my name is Ada"}


def _azure(url: str, version: str | None) -> RealtimeClient:
    return RealtimeClient.azure(url.removesuffix("/v1"), "vivavoce", key="none", api_version=version)


CLIENTS: dict[str, Callable[[str], RealtimeClient]] = {
    "any address": RealtimeClient,
    "OpenAI": lambda url: RealtimeClient.openai("vivavoce", key="none", url=url),
    "OpenAI's beta": lambda url: RealtimeClient.openai("vivavoce", key="none", url=url, beta=True),
    "Azure": partial(_azure, version=None),
    "Azure's preview": partial(_azure, version="2025-04-01-preview"),
    "Azure's first preview": partial(_azure, version="2024-10-01-preview"),
}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, scripted: str) -> RealtimeClient:
    return CLIENTS[request.param](scripted)


async def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"blue over {city}"


async def say(client: RealtimeClient, recording: str) -> None:
    """Say a recording, and be silent for a while: faster than a microphone does."""
    await client.append_input_audio(sound_of(recording) + bytes(4 * SECOND))


async def test_every_dialect_holds_a_spoken_conversation_with_tools_and_an_interruption(
    client: RealtimeClient,
) -> None:
    errors: list[e.ErrorEvent] = []
    client.on("error", errors.append)
    client.add_tool(get_weather)
    await client.update_session(transcription=HEARD, instructions="Be brief.")
    async with client:
        with anyio.fail_after(60):
            await say(client, "brooklyn")
            question = await client.wait_for_next_completed_item(role="user")
            answer = await client.wait_for_next_completed_item(role="assistant")
            assert answer.transcript
            assert len(answer.audio) > SECOND / 2
            await client.wait_for_next("response.done")
            await client.send_user_message_content("What is the weather in Paris?")
            told = await client.wait_for_next_completed_item(role="assistant")
            assert "blue over Paris" in told.transcript
            await client.wait_for_next("response.done")
            await _interrupted(client)
            await client.delete_item(question.id)
            with pytest.raises(ProtocolError):
                await client.delete_item(question.id)
            with pytest.raises(ProtocolError) as refused:
                await client.update_session(speed=9)
            assert "speed" in str(refused.value.param)
    assert {one.error.code for one in errors} == {"item_delete_invalid_item_id", "invalid_value"}
    assert said(client)[0].startswith("assistant:")


async def _interrupted(client: RealtimeClient) -> None:
    """Have a long story told, speak over it, and say how much of it was played."""
    await client.send_user_message_content("Tell me a long story.")
    story = await client.wait_for_next_item(role="assistant")
    heard = 0
    while heard < SECOND:
        update: Update = await client.wait_for_next("conversation.updated")
        heard += len(update.delta.audio) if update.delta and update.item.id == story.id else 0
    await client.append_input_audio(sound_of("weather")[:SECOND])
    interrupted: Interrupted = await client.wait_for_next("conversation.interrupted")
    assert interrupted.item is not None
    assert interrupted.item.id == story.id
    await client.cancel_response(story.id, SECOND // 4)
    await client.wait_for_next("conversation.item.truncated")
    left = client.find(story.id)
    assert left is not None
    assert len(left.audio) == SECOND // 2
    assert 0 < len(left.transcript) < 60
    await client.append_input_audio(bytes(4 * SECOND))
    await client.wait_for_next_completed_item(role="assistant")
    await client.wait_for_next("response.done")


async def test_a_cable_that_is_cut_ends_no_conversation(scripted: str) -> None:
    async with laid_to(scripted) as (cable, url), RealtimeClient(url) as client:
        news: list[ConnectionChanged] = []
        client.on("connection.*", news.append)
        client.add_tool(get_weather)
        await client.update_session(transcription=HEARD)
        with anyio.fail_after(60):
            await say(client, "brooklyn")
            await client.wait_for_next_completed_item(role="assistant")
            await client.wait_for_next("response.done")
            before = client.items
            cable.cut()
            lost: ConnectionChanged = await client.wait_for_next("connection.lost")
            assert lost.error is not None
            assert lost.error.retryable
            await client.send_user_message_content("What is my name?")
            answer = await client.wait_for_next_completed_item(role="assistant")
            assert "Ada" in answer.transcript, "it was told again what was said"
            await client.wait_for_next("response.done")
            await client.send_user_message_content("What is the weather in Paris?")
            answer = await client.wait_for_next_completed_item(role="assistant")
            assert "blue over Paris" in answer.transcript
            await client.delete_item(before[0].id)
    assert cable.connections == 2
    assert [one.name for one in news] == ["connection.lost", "connection.opened", "connection.closed"]
    assert client.items[0].id == before[1].id


async def test_a_server_that_is_gone_is_given_up(scripted: str) -> None:
    async with laid_to(scripted) as (_, url):
        pass
    with pytest.raises(ProviderError, match="cannot be reached"):
        async with RealtimeClient(url, limits=Limits(connect_attempts=1)):
            pytest.fail("nobody is there")


async def test_a_server_that_refuses_says_why(tmp_path_factory: pytest.TempPathFactory, scripted: str) -> None:
    with pytest.raises(ProviderError, match="HTTP 404"):
        async with RealtimeClient(f"{scripted}/realtime?call_id=nobody"):
            pytest.fail("there is no such call")


async def test_events_of_our_own_come_to_those_who_ask_for_them(scripted: str) -> None:
    async with RealtimeClient(f"{scripted}/realtime?extras=1") as client:
        assert client.is_connected


async def test_a_client_may_only_have_things_written_down(scripted: str) -> None:
    async with RealtimeClient(f"{scripted}/realtime?intent=transcription") as client:
        await client.update_session(type="transcription", transcription=HEARD)
        await say(client, "brooklyn")
        with anyio.fail_after(30):
            completed = await client.wait_for_next("conversation.item.input_audio_transcription.completed")
        assert isinstance(client.session, TranscriptionSession)
    assert completed.transcript == "my name is Ada"
    assert [entry.transcript for entry in client.items] == ["my name is Ada"]
