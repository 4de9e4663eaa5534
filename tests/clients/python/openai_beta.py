"""The stock `openai` client speaks the beta dialect, to us as OpenAI and to us as Azure."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import openai
from openai import AsyncAzureOpenAI, AsyncOpenAI
from telling import URL, Ear, frames, hold, tell

HEARD = {"model": "scripted", "prompt": "Heard: my name is Ada"}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Talk:
    """A connection and what is heard on it."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.ear = connection, Ear()

    async def listen(self) -> None:
        async for event in self.connection:
            self.ear.hear(event)

    async def say(self, recording: str) -> None:
        async for frame in frames(recording):
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(frame).decode())

    async def write(self, text: str, **fields: Any) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, **fields.pop("item", {})}
        await self.connection.conversation.item.create(item=item, **fields)

    async def got(self, kind: str, *, since: int = 0, times: int = 1) -> list[Any]:
        """Wait for events of a type; return them."""
        heard = await self.ear.until(lambda event: event.type == kind, since=since, times=times)
        return [event for event in heard if event.type == kind]

    def words(self, since: int = 0) -> str:
        return "".join(e.delta for e in self.ear.heard[since:] if e.type == "response.audio_transcript.delta")

    def sound(self) -> int:
        return sum(len(base64.b64decode(e.delta)) for e in self.ear.heard if e.type == "response.audio.delta")


@asynccontextmanager
async def talking(client: Any = None, **session: Any) -> AsyncIterator[Talk]:
    client = client or AsyncOpenAI(api_key="none", websocket_base_url=URL)
    async with (
        client,
        client.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection,
        anyio.create_task_group() as tasks,
    ):
        talk = Talk(connection)
        tasks.start_soon(talk.listen)
        await connection.session.update(session=session)
        await talk.got("session.updated")
        yield talk
        tasks.cancel_scope.cancel()


async def writes() -> None:
    async with talking(modalities=["text"], temperature=0.8, tools=[WEATHER]) as talk:
        session = (await talk.got("session.updated"))[0].session
        await talk.write("Say exactly: good morning.")
        await talk.connection.response.create()
        done = (await talk.got("response.done"))[0].response
        tell(
            "a text turn",
            version=openai.__version__,
            modalities=session.modalities,
            words=(await talk.got("response.text.done"))[0].text,
            content=[part.type for part in done.output[0].content],
            tokens=done.usage.total_tokens > 0,
        )
        await talk.write("What is the weather in Paris?")
        await talk.connection.response.create()
        call = (await talk.got("response.function_call_arguments.done"))[0]
        done = (await talk.got("response.done", times=2))[1].response
        output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"sky": "blue"}'}
        await talk.connection.conversation.item.create(item=output)
        await talk.connection.response.create()
        words = (await talk.got("response.text.done", times=2))[1].text
        await talk.got("response.done", times=3)
        tell("a tool", name=done.output[0].name, arguments=call.arguments, words=words)


async def speaks() -> None:
    async with talking(input_audio_transcription=HEARD, voice="alloy") as talk:
        await talk.say("weather")
        done = (await talk.got("response.done"))[0].response
        heard = (await talk.got("conversation.item.input_audio_transcription.completed"))[0]
        await talk.connection.conversation.item.retrieve(item_id=heard.item_id)
        item = (await talk.got("conversation.item.retrieved"))[0].item
        content = [part.type for part in done.output[0].content]
        tell(
            "a spoken turn",
            heard=[heard.transcript, item.content[0].transcript],
            words=talk.words(),
            sound=talk.sound(),
            content=content,
        )


async def turns_by_hand() -> None:
    async with talking(turn_detection=None, input_audio_transcription=HEARD) as talk:
        await talk.say("weather")
        await talk.connection.input_audio_buffer.commit()
        await talk.connection.response.create()
        await talk.got("response.done")
        started = [event for event in talk.ear.heard if event.type == "input_audio_buffer.speech_started"]
        tell("a turn by hand", words=talk.words(), started=len(started))


async def interrupts() -> None:
    async with talking(instructions="Tell a long story.") as talk:
        await talk.connection.response.create()
        await talk.got("response.audio.delta", times=15)
        await talk.say("weather")
        done = (await talk.got("response.done"))[0].response
        item_id = done.output[0].id
        truncate = talk.connection.conversation.item.truncate
        await truncate(item_id=item_id, content_index=0, audio_end_ms=500)
        await talk.got("conversation.item.truncated")
        tell("an interruption", status=[done.status, done.status_details.reason])


async def cancels() -> None:
    async with talking(instructions="Tell a long story.") as talk:
        await talk.connection.response.create()
        await talk.got("response.audio.delta", times=3)
        await talk.connection.response.cancel()
        done = (await talk.got("response.done"))[0].response
        at = len(talk.ear.heard)
        await talk.connection.response.create(response={"instructions": "Say exactly: well then."})
        await talk.got("response.done", since=at)
        tell("a cancel", status=[done.status, done.status_details.reason], words=talk.words(at))


async def edits() -> None:
    async with talking(modalities=["text"]) as talk:
        await talk.write("My name is Ada.", item={"id": "name"})
        await talk.write("Hello.", item={"id": "hello"}, previous_item_id="root")
        created = await talk.got("conversation.item.created", times=2)
        places = [[event.item.id, event.previous_item_id] for event in created]
        await talk.connection.conversation.item.delete(item_id="hello")
        await talk.got("conversation.item.deleted")
        await talk.connection.send({"type": "no.such.event", "event_id": "mine"})
        error = (await talk.got("error"))[0].error
        await talk.write("What is my name?")
        await talk.connection.response.create()
        words = (await talk.got("response.text.done"))[0].text
        await talk.got("response.done")
        tell("item edits", places=places, error=error.event_id, words=words)


async def calls_azure() -> None:
    address = URL.removesuffix("/v1") + "/openai"
    client = AsyncAzureOpenAI(
        api_key="none",
        api_version="2024-10-01-preview",
        azure_endpoint="http://127.0.0.1:9",
        websocket_base_url=address,
    )
    async with talking(client, modalities=["text"]) as talk:
        await talk.write("Say exactly: good evening.")
        await talk.connection.response.create()
        words = (await talk.got("response.text.done"))[0].text
        await talk.got("response.done")
        tell("as Azure", words=words)


async def asks() -> None:
    transcription = {"model": "whisper-1"}
    async with talking(
        instructions="Answer in one short sentence.", input_audio_transcription=transcription
    ) as talk:
        await talk.say("brooklyn")
        await talk.got("response.done")
        heard = (await talk.got("conversation.item.input_audio_transcription.completed"))[0].transcript
        tell("a question", heard=heard, words=talk.words(), seconds=talk.sound() / 48000)


anyio.run(hold, writes, speaks, turns_by_hand, interrupts, cancels, edits, calls_azure, asks)
