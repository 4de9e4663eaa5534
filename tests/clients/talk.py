"""One conversation with the stock `openai` client: a microphone, a loudspeaker, and patience."""

import base64
import wave
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from openai import AsyncOpenAI

from vivavoce.audio.resample import resample

__all__ = [
    *("RECORDINGS", "WEATHER", "Talk", "has", "on_the_phone", "only"),
    *("sound", "sound_of", "talking", "transcript"),
]

RECORDINGS = Path(__file__).parent.parent / "recordings"
RATE = 24000
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


def sound_of(name: str, rate: int = RATE) -> bytes:
    """Return a recording as a client sends it: PCM16."""
    with wave.open(str(RECORDINGS / f"{name}.wav")) as file:
        return resample(file.readframes(file.getnframes()), file.getframerate(), rate)


class Talk:
    """Speaks recordings in real time, like a microphone, and keeps what comes back."""

    def __init__(self, connection: Any, encode: Callable[[bytes], bytes] | None = None) -> None:
        self.connection = connection
        self.events: list[Any] = []
        self._news = anyio.Event()
        self._to_say = b""
        self._said = anyio.Event()
        self._encode = encode

    def say(self, recording: str | bytes) -> None:
        """Let the microphone hear a recording, by its name or as it is sent."""
        self._said = anyio.Event()
        rate = 8000 if self._encode else RATE
        self._to_say += recording if isinstance(recording, bytes) else sound_of(recording, rate)

    async def until_said(self) -> None:
        """Wait until the microphone has sent all that was to be said."""
        await self._said.wait()

    async def write(self, text: str, **place: str) -> None:
        """Put a user's words into the conversation."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.connection.conversation.item.create(item=item, **place)

    async def until(
        self, done: Callable[[list[Any]], bool], *, since: int = 0, seconds: float = 30
    ) -> list[Any]:
        """Return the events since a moment, once they are what was waited for."""
        with anyio.fail_after(seconds):
            while not done(self.events[since:]):
                await self._news.wait()
        return self.events[since:]

    async def microphone(self) -> None:
        """Send what is to be said, or silence, in frames of 20 ms."""
        chunk = (8000 if self._encode else RATE) // 50 * 2
        due = anyio.current_time()
        while True:
            frame, self._to_say = self._to_say[:chunk].ljust(chunk, b"\0"), self._to_say[chunk:]
            frame = self._encode(frame) if self._encode else frame
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(frame).decode())
            if not self._to_say:
                self._said.set()
            due += 0.02
            await anyio.sleep_until(due)

    async def loudspeaker(self) -> None:
        """Keep every event."""
        async for event in self.connection:
            self.events.append(event)
            self._news.set()
            self._news = anyio.Event()


@asynccontextmanager
async def on_the_phone(
    connecting: Any, *, encode: Callable[[bytes], bytes] | None = None, silent: bool = False, **session: Any
) -> AsyncIterator[Talk]:
    """Hold a conversation on a connection that is about to be made, beginning with a `session.update`."""
    async with connecting as connection:
        talk = Talk(connection, encode)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.loudspeaker)
            if session:
                await connection.session.update(session=session)
            if not silent:
                tasks.start_soon(talk.microphone)
            yield talk
            tasks.cancel_scope.cancel()


def has(kind: str, times: int = 1) -> Callable[[list[Any]], bool]:
    """Wait for so many events of a type."""
    return lambda events: sum(event.type == kind for event in events) >= times


def only(events: list[Any], kind: str) -> Any:
    """Return the one event of a type."""
    (event,) = [event for event in events if event.type == kind]
    return event


def sound(events: list[Any]) -> "array[int]":
    """Return the samples of an answer."""
    deltas = [base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta"]
    return array("h", b"".join(deltas))


def transcript(events: list[Any]) -> str:
    """Return the words of a spoken answer."""
    return "".join(e.delta for e in events if e.type == "response.output_audio_transcript.delta")


@asynccontextmanager
async def talking(url: str, **session: Any) -> AsyncIterator[Talk]:
    """Hold a conversation with openai's client of today."""
    client = AsyncOpenAI(api_key="none", base_url=url)
    connecting = client.realtime.connect(model="vivavoce")
    async with client, on_the_phone(connecting, type="realtime", **session) as talk:
        yield talk
