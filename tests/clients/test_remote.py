"""Other people's clients talk with a server that lets another answer: what works with one works through two."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from openai import AsyncOpenAI

from clients.phone import calling
from clients.phone import has as heard
from clients.recorder import recording
from clients.serving import doomed, running
from clients.talk import has, only, sound_of, talking, transcript
from clients.test_aiortc import test_a_recording_is_understood_and_the_answer_heard_to_its_end as by_webrtc
from clients.test_aiortc import test_a_tool_is_called_and_its_answer_spoken as test_by_webrtc_a_tool_is_called
from clients.test_openai import (
    test_an_answer_can_be_cancelled_and_the_next_one_comes,
    test_items_are_put_in_looked_at_cut_short_and_taken_out,
    test_two_spoken_turns_a_tool_and_an_interruption,
    test_what_is_asked_in_writing_is_answered_in_writing,
)

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

__all__ = [
    "test_an_answer_can_be_cancelled_and_the_next_one_comes",
    "test_by_webrtc_a_tool_is_called",
    "test_by_webrtc_an_answer_is_heard_to_its_end",
    "test_items_are_put_in_looked_at_cut_short_and_taken_out",
    "test_two_spoken_turns_a_tool_and_an_interruption",
    "test_what_is_asked_in_writing_is_answered_in_writing",
]

test_by_webrtc_an_answer_is_heard_to_its_end = by_webrtc


@contextmanager
def standing_before(
    far: str, folder: Path, *, failover: bool = False, data: Path | None = None
) -> Iterator[str]:
    """Run a server that lets the one at this address answer."""
    server = far.replace("http", "ws", 1)
    table = f"engine = 'remote'\n[remote]\nserver = '{server}'\nfailover = {str(failover).lower()}\n"
    limits = "[limits]\nupstream_reconnect_seconds = 1\n"
    (folder / "vivavoce.toml").write_text(f"preset = 'scripted'\n{table}{limits}")
    with running(*(["--data", str(data)] if data else []), folder=folder) as url:
        yield url


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Stand before the scripted server, where other tests talk with it."""
    far, near = tmp_path_factory.mktemp("far"), tmp_path_factory.mktemp("near")
    with running("--preset", "scripted", folder=far) as url, standing_before(url, near) as ours:
        yield ours


async def test_a_session_that_only_writes_down_is_dialled_as_such(scripted: str) -> None:
    client = AsyncOpenAI(api_key="x", base_url=scripted)
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        created = await connection.recv()
        assert created.session.type == "transcription"
        for frame in range(0, len(sound_of("brooklyn")), 9600):
            sound = base64.b64encode(sound_of("brooklyn")[frame : frame + 9600]).decode()
            await connection.input_audio_buffer.append(audio=sound)
        silence = base64.b64encode(bytes(96_000)).decode()
        await connection.input_audio_buffer.append(audio=silence)
        with anyio.fail_after(30):
            async for event in connection:
                if event.type == "conversation.item.input_audio_transcription.completed":
                    assert event.transcript.startswith("I said something")
                    return


async def test_a_far_end_that_is_killed_in_mid_answer_is_stood_in_for(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    far, near = tmp_path_factory.mktemp("doomed"), tmp_path_factory.mktemp("near")
    with (
        doomed("--preset", "scripted", folder=far) as (url, server),
        standing_before(url, near, failover=True) as ours,
        recording(ours) as relay,
    ):
        async with talking(relay.url, instructions="Tell a long story.") as talk:
            await talk.write("My name is Ada.")
            await talk.connection.response.create()
            await talk.until(has("response.output_audio.delta", 5))
            server.kill()
            failed = only(await talk.until(has("response.done")), "response.done").response
            assert (failed.status, failed.status_details.error.code) == ("failed", "connection_lost")
            await talk.until(has("response.created", 2))
            await talk.until(has("response.output_audio.delta"), since=len(talk.events))
            await talk.connection.response.cancel()
            await talk.until(has("response.done", 2))
            at = len(talk.events)
            await talk.connection.session.update(
                session={"type": "realtime", "instructions": "Answer in one word."}
            )
            talk.say("brooklyn")
            third = await talk.until(has("response.done"), since=at)
            assert only(third, "response.done").response.status == "completed"
            assert len(transcript(third).split()) == 1
    log = (near / "serve.log").read_text()
    assert "was lost" in log
    assert "cannot be reached" in log


async def test_a_call_by_webrtc_goes_on_when_the_far_end_is_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    far, near = tmp_path_factory.mktemp("doomed"), tmp_path_factory.mktemp("near")
    with (
        doomed("--preset", "scripted", folder=far) as (url, server),
        standing_before(url, near, failover=True) as ours,
    ):
        async with calling(ours) as phone:
            phone.tell("session.update", session={"type": "realtime", "instructions": "Answer in one word."})
            await phone.until(heard("session.updated"))
            phone.say("brooklyn")
            await phone.until(heard("output_audio_buffer.stopped"))
            server.kill()
            phone.say("weather")
            await phone.until(heard("output_audio_buffer.stopped", 2))
