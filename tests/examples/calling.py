"""A call to the desk, aloud: what the caller says, what they hear, and what is shown to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from clients.talk import Talk, on_the_phone, transcript

__all__ = ["DeskCall", "calling"]

SECONDS = 60


class DeskCall:
    """One call, by a client that nobody here wrote, which knows nothing of tools."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    async def greeting(self) -> str:
        """Return the desk's first words."""
        return await self._answer(0)

    async def hears(self, sound: bytes) -> str:
        """Say something (24 kHz PCM), and return what the desk answers."""
        since = len(self._talk.events)
        self._talk.say(sound)
        return await self._answer(since)

    @property
    def heard(self) -> list[str]:
        """What the desk has understood."""
        kind = "conversation.item.input_audio_transcription.completed"
        return [event.transcript for event in self._talk.events if event.type == kind]

    @property
    def tools(self) -> list[str]:
        """The tools that the model has called."""
        kind = "response.function_call_arguments.done"
        return [event.name for event in self._talk.events if event.type == kind]

    @property
    def outputs(self) -> list[str]:
        """What came of them."""
        items = [event.item for event in self._talk.events if event.type == "conversation.item.done"]
        return [item.output for item in items if item.type == "function_call_output"]

    @property
    def cards(self) -> list[str]:
        """The titles of what was shown."""
        return [event.title for event in self._talk.events if event.type == "vivavoce.card"]

    async def _answer(self, since: int) -> str:
        events = await self._talk.until(_is_answered, since=since, seconds=SECONDS)
        return transcript(events)


def _is_answered(events: list[Any]) -> bool:
    done = [event.response for event in events if event.type == "response.done"]
    return any(item.type == "message" for response in done for item in response.output)


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[DeskCall]:
    """Call the desk at this address."""
    client = AsyncOpenAI(api_key="none", base_url=url)
    connecting = client.realtime.connect(model="vivavoce", extra_query={"extras": "1"})
    async with client, on_the_phone(connecting, type="realtime") as talk:
        yield DeskCall(talk)
