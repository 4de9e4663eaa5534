"""OpenAI's Agents SDK joins a call that somebody else holds, and does its tools: `OpenAIRealtimeSIPModel`."""

import json

import anyio
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner
from agents.realtime.openai_realtime import OpenAIRealtimeSIPModel
from telling import URL, Ear, tell
from websockets.asyncio.client import ClientConnection, connect

QUESTION = [{"type": "input_text", "text": "What is the weather in Paris?"}]


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"The sky over {city} is blue."


async def listen(caller: ClientConnection, ear: Ear) -> None:
    async for frame in caller:
        ear.hear(json.loads(frame))


def is_a(kind: str):  # noqa: ANN201
    return lambda event: event["type"] == kind


async def main() -> None:
    async with connect(f"{URL}/realtime?model=vivavoce") as caller, anyio.create_task_group() as tasks:
        heard = Ear()
        tasks.start_soon(listen, caller, heard)
        created = (await heard.until(is_a("session.created")))[0]
        call_id = created["session"]["id"]
        runner = RealtimeRunner(
            RealtimeAgent(name="Ada's", instructions="Be brief.", tools=[get_weather]),
            model=OpenAIRealtimeSIPModel(),
        )
        config = {"api_key": "none", "call_id": call_id, "url": f"{URL}/realtime?call_id={call_id}"}
        async with await runner.run(model_config=config) as agent:
            joined = Ear()
            tasks.start_soon(follow, agent, joined)
            await heard.until(is_a("session.updated"))
            item = {"type": "message", "role": "user", "content": QUESTION}
            await caller.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await caller.send(json.dumps({"type": "response.create"}))
            await joined.until(lambda event: event.type == "agent_end", times=2)
        answers = await heard.until(is_a("response.done"), times=2)
        words = [event["transcript"] for event in answers if "transcript.done" in event["type"]]
        tools = [event.output for event in joined.heard if event.type == "tool_end"]
        errors = [str(event.error) for event in joined.heard if event.type == "error"]
        tell("a tool of who joined", tools=tools, words=words, errors=errors)
        await caller.send(json.dumps({"type": "input_audio_buffer.clear"}))
        await heard.until(is_a("input_audio_buffer.cleared"))
        tell("the call goes on")
        tasks.cancel_scope.cancel()


async def follow(agent, ear: Ear) -> None:  # noqa: ANN001
    async for event in agent:
        ear.hear(event)


anyio.run(main)
