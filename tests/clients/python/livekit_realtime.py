"""LiveKit's `RealtimeModel`, the model behind a voice agent, talks with the server without a room."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import anyio
from livekit import rtc
from livekit.agents import llm
from livekit.plugins.openai import realtime
from openai.types.realtime import AudioTranscription
from telling import RATE, URL, Ear, frames, hold, tell

HEARD = AudioTranscription(model="scripted", prompt="Heard: my name is Ada")
KINDS = ("generation_created", "input_speech_started", "input_audio_transcription_completed", "error")
HTTP = URL.replace("ws", "http", 1)
OPENAI = partial(realtime.RealtimeModel, base_url=HTTP, model="any")
AZURE = partial(
    realtime.RealtimeModel.with_azure,
    azure_deployment="gpt-realtime",
    azure_endpoint=HTTP.removesuffix("/v1"),
    api_version="2024-10-01-preview",
)
SERVER = "openai_server_event_received"


@llm.function_tool
async def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"The sky over {city} is blue."


class Complaints(logging.Handler):
    """What LiveKit does without, it only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


class Talk:
    """A session and what comes of it."""

    def __init__(self, session: realtime.RealtimeSession) -> None:
        self.session, self.ear = session, Ear()
        for kind in KINDS:
            session.on(kind, lambda event, kind=kind: self.ear.hear((kind, event)))
        session.on(SERVER, lambda event: self.ear.hear((f"server {event['type']}", event)))

    async def got(self, kind: str, *, since: int = 0, times: int = 1) -> list[Any]:
        heard = await self.ear.until(lambda one: one[0] == kind, since=since, times=times)
        return [event for what, event in heard if what == kind]

    async def say(self, recording: str) -> None:
        async for frame in frames(recording):
            self.session.push_audio(rtc.AudioFrame(frame, RATE, 1, len(frame) // 2))

    async def write(self, text: str) -> None:
        context = self.session.chat_ctx.copy()
        context.add_message(role="user", content=text)
        await self.session.update_chat_ctx(context)


async def told(generation: llm.GenerationCreatedEvent) -> dict[str, Any]:
    """Return what an answer says, how long it sounds, and what it calls."""
    words, samples = "", 0
    async for message in generation.message_stream:
        async for text in message.text_stream:
            words += text
        async for frame in message.audio_stream:
            samples += frame.samples_per_channel
    calls = [call async for call in generation.function_stream]
    return {"words": words, "seconds": samples / RATE, "calls": calls}


@asynccontextmanager
async def talking(
    make: Callable[..., realtime.RealtimeModel] = OPENAI,
    **options: Any,
) -> AsyncIterator[Talk]:
    async with aiohttp.ClientSession() as http:
        model = make(api_key="none", http_session=http, **options)
        session = model.session()
        talk = Talk(session)
        await talk.got("server session.updated")
        yield talk
        await session.aclose()
        await model.aclose()


async def writes() -> None:
    async with talking() as talk:
        await talk.session.update_tools([get_weather])
        await talk.write("Say exactly: good morning.")
        answer = await told(await talk.session.generate_reply())
        tell("a text turn", words=answer["words"], seconds=answer["seconds"])
        await talk.got("server response.done")
        await talk.write("What is the weather in Paris?")
        call = (await told(await talk.session.generate_reply()))["calls"][0]
        await talk.got("server response.done", times=2)
        output = llm.FunctionCallOutput(
            call_id=call.call_id, name=call.name, output=await get_weather("Paris"), is_error=False
        )
        context = talk.session.chat_ctx.copy()
        context.insert(output)
        await talk.session.update_chat_ctx(context)
        answer = await told(await talk.session.generate_reply())
        await talk.got("server response.done", times=3)
        tell("a tool", call=[call.name, call.arguments], words=answer["words"])


async def speaks() -> None:
    async with talking(input_audio_transcription=HEARD) as talk:
        await talk.say("weather")
        generation = (await talk.got("generation_created"))[0]
        answer = await told(generation)
        heard = (await talk.got("input_audio_transcription_completed"))[-1]
        await talk.got("server response.done")
        roles = [item.role for item in talk.session.chat_ctx.items]
        tell("a spoken turn", heard=heard.transcript, words=answer["words"], roles=roles)


async def interrupts() -> None:
    async with talking() as talk:
        await talk.session.update_instructions("Tell a long story.")
        generation = await talk.session.generate_reply()
        await talk.got("server response.output_audio.delta", times=15)
        await talk.session.update_instructions("Answer in one word.")
        await talk.say("weather")
        await talk.got("input_speech_started")
        message = await anext(aiter(generation.message_stream))
        talk.session.truncate(message_id=message.message_id, modalities=["audio"], audio_end_ms=500)
        await talk.got("server conversation.item.truncated")
        done = (await talk.got("server response.done", times=2))[0]["response"]
        tell("an interruption", status=[done["status"], done["status_details"]["reason"]])


async def cancels() -> None:
    async with talking() as talk:
        await talk.session.update_instructions("Tell a long story.")
        await talk.session.generate_reply()
        await talk.got("server response.output_audio.delta", times=3)
        talk.session.interrupt()
        done = (await talk.got("server response.done"))[0]["response"]
        answer = await told(await talk.session.generate_reply(instructions="Say exactly: well then."))
        await talk.got("server response.done", times=2)
        reason = done["status_details"]["reason"]
        tell("a cancel", reason=reason, words=answer["words"])


async def edits() -> None:
    async with talking() as talk:
        await talk.write("My name is Ada.")
        await talk.write("I live in Rome.")
        context = talk.session.chat_ctx.copy()
        context.items.insert(0, llm.ChatMessage(role="user", content=["Hello."]))
        await talk.session.update_chat_ctx(context)
        order = [item.text_content for item in talk.session.chat_ctx.items]
        context = talk.session.chat_ctx.copy()
        context.items = context.items[1:]
        await talk.session.update_chat_ctx(context)
        left = [item.text_content for item in talk.session.chat_ctx.items]
        tell("item edits", order=order, left=left)
        talk.session.send_event({"type": "no.such.event", "event_id": "mine"})
        error = (await talk.got("error"))[0]
        await talk.write("What is my name?")
        answer = await told(await talk.session.generate_reply())
        await talk.got("server response.done")
        tell("an invalid event", recoverable=error.recoverable, words=answer["words"])


async def turns_by_hand() -> None:
    async with talking(turn_detection=None, input_audio_transcription=HEARD) as talk:
        await talk.say("weather")
        talk.session.commit_audio()
        answer = await told(await talk.session.generate_reply())
        await talk.got("server response.done")
        tell("a turn by hand", words=answer["words"])


async def calls_azure() -> None:
    async with talking(AZURE) as talk:
        await talk.write("Say exactly: good evening.")
        answer = await told(await talk.session.generate_reply())
        await talk.got("server response.done")
        tell("as Azure", words=answer["words"], seconds=answer["seconds"])


async def asks() -> None:
    async with talking() as talk:
        await talk.session.update_instructions("Answer in one short sentence.")
        await talk.say("brooklyn")
        answer = await told((await talk.got("generation_created"))[0])
        heard = (await talk.got("input_audio_transcription_completed"))[-1]
        await talk.got("server response.done")
        tell("a question", heard=heard.transcript, words=answer["words"], seconds=answer["seconds"])


async def main() -> None:
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    await hold(writes, speaks, interrupts, cancels, edits, turns_by_hand, calls_azure, asks)
    tell("the end", complaints=complaints.found)


anyio.run(main)
