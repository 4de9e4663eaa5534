"""The stock `openai` client, which nobody here wrote, holds conversations with a real server."""

import base64
import re
import wave
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI

from vivavoce.audio.resample import resample

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

RECORDINGS = Path(__file__).parent.parent / "recordings"
CHUNK = 24000 // 50 * 2
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def recording(name: str) -> bytes:
    """Return a recording as a client sends it: 24 kHz PCM16."""
    with wave.open(str(RECORDINGS / f"{name}.wav")) as file:
        return resample(file.readframes(file.getnframes()), file.getframerate(), 24000)


class Talk:
    """One conversation: speaks recordings in real time, like a microphone, and keeps what comes back."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []
        self._news = anyio.Event()
        self._to_say = b""

    async def say(self, name: str) -> None:
        self._to_say += recording(name)

    async def until(
        self, done: Callable[[list[Any]], bool], *, since: int = 0, seconds: float = 30
    ) -> list[Any]:
        """Return the events since a moment, once they are what was waited for."""
        with anyio.fail_after(seconds):
            while not done(self.events[since:]):
                await self._news.wait()
        return self.events[since:]

    async def microphone(self) -> None:
        due = anyio.current_time()
        while True:
            sound, self._to_say = self._to_say[:CHUNK].ljust(CHUNK, b"\0"), self._to_say[CHUNK:]
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(sound).decode())
            due += 0.02
            await anyio.sleep_until(due)

    async def loudspeaker(self) -> None:
        async for event in self.connection:
            self.events.append(event)
            self._news.set()
            self._news = anyio.Event()


@asynccontextmanager
async def talking(url: str, **session: Any) -> AsyncIterator[Talk]:
    client = AsyncOpenAI(api_key="none", base_url=url)
    async with client, client.realtime.connect(model="vivavoce") as connection:
        talk = Talk(connection)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.loudspeaker)
            await connection.session.update(session={"type": "realtime", **session})
            tasks.start_soon(talk.microphone)
            yield talk
            tasks.cancel_scope.cancel()


def has(kind: str, times: int = 1) -> Callable[[list[Any]], bool]:
    return lambda events: sum(event.type == kind for event in events) >= times


def only(events: list[Any], kind: str) -> Any:
    (event,) = [event for event in events if event.type == kind]
    return event


def sound(events: list[Any]) -> "array[int]":
    deltas = [base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta"]
    return array("h", b"".join(deltas))


def transcript(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_audio_transcript.delta")


async def test_two_spoken_turns_a_tool_and_an_interruption(scripted: str) -> None:
    async with talking(scripted, instructions="Answer in one word.", tools=[WEATHER]) as talk:
        await talk.say("brooklyn")
        first = await talk.until(has("response.done"))
        assert only(first, "response.done").response.status == "completed"
        assert len(transcript(first).split()) == 1
        assert max(sound(first)) > 500

        at = len(talk.events)
        await talk.connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "What is the weather in Paris?"}],
            }
        )
        await talk.connection.response.create()
        second = await talk.until(has("response.done"), since=at)
        call = only(second, "response.function_call_arguments.done")
        assert (call.name, call.arguments) == ("get_weather", '{"city":"Paris"}')
        at = len(talk.events)
        await talk.connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": '{"sky": "blue"}'}
        )
        await talk.connection.response.create()
        third = await talk.until(has("response.done"), since=at)
        assert "blue" in transcript(third)

        at = len(talk.events)
        await talk.connection.session.update(
            session={"type": "realtime", "instructions": "Tell a long story.", "tools": []}
        )
        await talk.say("brooklyn")
        await talk.until(has("response.output_audio.delta", 15), since=at)
        await talk.say("weather")
        fourth = await talk.until(has("response.done"), since=at)
        done = only(fourth, "response.done")
        assert done.response.status == "cancelled"
        assert done.response.status_details.reason == "turn_detected"
        kinds = [event.type for event in fourth]
        started = len(kinds) - 1 - kinds[::-1].index("input_audio_buffer.speech_started")
        assert "response.output_audio.delta" not in kinds[started:]
        item_id = done.response.output[0].id
        await talk.connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=500)
        await talk.until(has("conversation.item.truncated"), since=at)


async def test_what_is_wrong_is_named_and_the_conversation_goes_on(scripted: str) -> None:
    async with talking(scripted, output_modalities=["text"]) as talk:
        await talk.connection.send({"type": "no.such.event", "event_id": "mine"})  # type: ignore[arg-type]
        events = await talk.until(has("error"))
        assert only(events, "error").error.event_id == "mine"
        await talk.connection.response.create(response={"instructions": "Say exactly: still here."})
        events = await talk.until(has("response.done"))
        assert "still here" in only(events, "response.output_text.done").text


@pytest.mark.models
async def test_a_spoken_question_gets_a_spoken_answer_offline(offline: str) -> None:
    """Asked aloud, answered aloud, by the models on this machine."""
    async with talking(offline) as talk:
        await talk.say("brooklyn")
        events = await talk.until(has("response.done"), seconds=60)
        heard = only(events, "conversation.item.input_audio_transcription.completed").transcript
        assert "brooklyn bridge" in heard.lower()
        answer = transcript(events)
        assert re.search(r"\w+ \w+ \w+", answer)
        assert not re.search(r"[*#`_\[\]]", answer)
        spoken = sound(events)
        assert len(spoken) / 24000 > 1.0
        assert max(spoken) > 3000
