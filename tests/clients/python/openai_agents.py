"""OpenAI's Agents SDK for Python talks with the server: an agent with a tool, by voice and in writing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession
from agents.realtime.model_inputs import RealtimeModelSendInterrupt, RealtimeModelSendRawMessage
from telling import URL, Ear, frames, hold, tell

HEARD = {"model": "scripted", "prompt": "Heard: my name is Ada"}


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"The sky over {city} is blue."


class Talk:
    """A session and what comes of it: the SDK's events, and within them the server's, as they were parsed."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session, self.ear = session, Ear()

    async def listen(self) -> None:
        async for event in self.session:
            self.ear.hear(event)

    async def say(self, recording: str) -> None:
        async for frame in frames(recording):
            await self.session.send_audio(frame)

    async def send(self, kind: str, **fields: Any) -> None:
        message = {"type": kind, "other_data": fields}
        await self.session.model.send_event(RealtimeModelSendRawMessage(message=message))

    async def put_in(self, item_id: str, text: str, **place: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "id": item_id, "role": "user", "content": content}
        await self.send("conversation.item.create", item=item, **place)

    async def server(self, kind: str, *, since: int = 0, times: int = 1) -> list[dict[str, Any]]:
        """Wait for the server's events of a type; return them."""
        heard = await self.ear.until(lambda event: raw(event).get("type") == kind, since=since, times=times)
        return [raw(event) for event in heard if raw(event).get("type") == kind]

    async def ended(self, *, since: int = 0, times: int = 1) -> str:
        """Wait for the end of the agent's turn; return its words."""
        await self.ear.until(lambda event: event.type == "agent_end", since=since, times=times)
        done = await self.server("response.done", since=since, times=times)
        return "".join(c.get("transcript") or "" for i in done[-1]["response"]["output"] for c in i["content"])

    @property
    def errors(self) -> list[str]:
        return [str(event.error) for event in self.ear.heard if event.type == "error"]


def raw(event: Any) -> dict[str, Any]:
    data = getattr(event, "data", None)
    return data.data if data is not None and data.type == "raw_server_event" else {}


@asynccontextmanager
async def talking(instructions: str = "Be brief.", **settings: Any) -> AsyncIterator[Talk]:
    agent = RealtimeAgent(name="Ada's", instructions=instructions, tools=[get_weather])
    runner = RealtimeRunner(agent, config={"model_settings": settings} if settings else None)
    config = {"api_key": "none", "url": f"{URL}/realtime?model=vivavoce"}
    async with await runner.run(model_config=config) as session, anyio.create_task_group() as tasks:
        talk = Talk(session)
        tasks.start_soon(talk.listen)
        await talk.server("session.updated")
        yield talk
        tasks.cancel_scope.cancel()


async def writes() -> None:
    async with talking() as talk:
        await talk.session.send_message("Say exactly: good morning.")
        words = await talk.ended()
        sound = sum(len(event.audio.data) for event in talk.ear.heard if event.type == "audio")
        tell("a text turn", words=words, sound=sound, errors=talk.errors)
        at = len(talk.ear.heard)
        await talk.session.send_message("What is the weather in Paris?")
        words = await talk.ended(since=at, times=2)
        tools = [event.output for event in talk.ear.heard if event.type == "tool_end"]
        tell("a tool", words=words, tools=tools, errors=talk.errors)


async def speaks() -> None:
    async with talking(audio={"input": {"transcription": HEARD}}) as talk:
        await talk.say("weather")
        await talk.ended()
        user = next(one for one in talk.session._history if one.role == "user")
        tell("a spoken turn", heard=user.content[0].transcript, words=words_of(talk), errors=talk.errors)


def words_of(talk: Talk) -> str:
    return next(one for one in talk.session._history if one.role == "assistant").content[0].transcript


async def interrupts() -> None:
    async with talking() as talk:
        await talk.session.send_message("Tell me a long story.")
        await talk.ear.until(lambda event: event.type == "audio", times=15)
        await talk.say("weather")
        await talk.ear.until(lambda event: event.type == "audio_interrupted")
        await talk.ended(times=2)
        done = (await talk.server("response.done"))[0]["response"]
        cut = (await talk.server("conversation.item.truncated"))[0]
        tell(
            "an interruption",
            status=[done["status"], done["status_details"]["reason"]],
            truncated=[cut["item_id"] == done["output"][0]["id"], cut["audio_end_ms"]],
            errors=talk.errors,
        )


async def cancels() -> None:
    async with talking() as talk:
        await talk.session.send_message("Tell me a long story.")
        await talk.ear.until(lambda event: event.type == "audio", times=3)
        await talk.session.model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
        done = (await talk.server("response.done"))[0]["response"]
        at = len(talk.ear.heard)
        await talk.session.send_message("Say exactly: well then.")
        reason = done["status_details"]["reason"]
        tell("a cancel", reason=reason, words=await talk.ended(since=at), errors=talk.errors)


async def edits() -> None:
    async with talking() as talk:
        await talk.put_in("first", "My name is Ada.")
        await talk.put_in("last", "I am nine.")
        await talk.put_in("between", "I live in Rome.", previous_item_id="first")
        await talk.server("conversation.item.done", times=3)
        history = [item.item_id for item in talk.session._history]
        await talk.send("conversation.item.delete", item_id="last")
        await talk.server("conversation.item.deleted")
        await talk.send("conversation.item.retrieve", item_id="first")
        retrieved = (await talk.server("conversation.item.retrieved"))[0]["item"]["content"][0]["text"]
        tell("item edits", history=history, retrieved=retrieved, errors=talk.errors)
        await talk.send("conversation.item.delete", item_id="nobody", event_id="mine")
        error = (await talk.server("error"))[0]["error"]
        await talk.session.send_message("What is my name?")
        tell("an invalid event", error=[error["code"], error["event_id"]], words=await talk.ended())


async def asks() -> None:
    async with talking("Answer in one short sentence.") as talk:
        await talk.say("brooklyn")
        words = await talk.ended()
        heard = (await talk.server("conversation.item.input_audio_transcription.completed"))[0]["transcript"]
        sound = sum(len(event.audio.data) for event in talk.ear.heard if event.type == "audio")
        tell("a question", heard=heard, words=words, seconds=sound / 48000)


anyio.run(hold, writes, speaks, interrupts, cancels, edits, asks)
