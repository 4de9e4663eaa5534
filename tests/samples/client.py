# ruff: noqa: E402 (each section is shown on its own)
# [start:first]
from vivavoce import RealtimeClient


async def ask(question: str, url: str = "http://127.0.0.1:8765") -> str:
    """Put a question in writing, and return the words of the answer."""
    async with RealtimeClient(url) as client:
        await client.send_user_message_content(question)
        answer = await client.wait_for_next_completed_item(role="assistant")
        return answer.words


# [end:first]
# [start:bot]
from collections.abc import AsyncIterator, Callable

from vivavoce import tool
from vivavoce.client import Interrupted, Update


@tool
async def opening_hours(day: str) -> str:
    """Tell when the shop is open: "how late are you open on Sunday?"."""
    return "from ten to four" if day.lower() == "sunday" else "from nine to eight"


async def answer_the_phone(
    client: RealtimeClient,
    microphone: AsyncIterator[bytes],
    play: Callable[[bytes], None],
    stop: Callable[[], int | None],
) -> None:
    """Hold a spoken conversation. `stop` ends what is played, and tells how many samples were; None is none."""

    @client.on("conversation.updated")
    def on_update(update: Update) -> None:
        if update.delta and update.delta.audio:
            play(update.delta.audio)

    @client.on("conversation.interrupted")
    async def on_interrupted(event: Interrupted) -> None:
        played = stop()
        if event.item and played is not None:
            await client.cancel_response(event.item.id, played)

    client.add_tool(opening_hours)
    await client.update_session(instructions="You keep a shop. Answer in one sentence.", voice="marin")
    async with client:
        async for frame in microphone:
            await client.append_input_audio(frame)


# [end:bot]
# [start:servers]
from vivavoce import Limits


def servers() -> list[RealtimeClient]:
    """Clients of other servers; without a key, that of the environment is used."""
    return [
        RealtimeClient.openai("gpt-realtime", key="sk-…"),
        RealtimeClient.azure("https://mine.openai.azure.com", "my-deployment", key="…"),
        RealtimeClient.azure("https://mine.openai.azure.com", "my-deployment", token="…"),  # an Entra token
        RealtimeClient.azure("https://mine.openai.azure.com", "old", key="…", api_version="2025-04-01-preview"),
        RealtimeClient("wss://voice.example.org/v1/realtime?model=any", key="…"),
        RealtimeClient("http://127.0.0.1:8765/v1/realtime?extras=1", limits=Limits(reconnect_attempts=0)),
    ]


# [end:servers]
# [start:run]
from anyio.abc import TaskGroup


async def on_start(tasks: TaskGroup, url: str = "http://127.0.0.1:8765") -> RealtimeClient:
    """Connect in one function of a framework's …"""
    client = RealtimeClient(url)
    await tasks.start(client.run)
    return client


async def on_end(client: RealtimeClient) -> None:
    """… and hang up in another."""
    await client.disconnect()


# [end:run]
# [start:again]
from vivavoce.protocol.events import ResponseDone
from vivavoce.protocol.responses import Failed, FailedError


def go_on(client: RealtimeClient) -> None:
    """Have an answer that broke off given anew."""

    @client.on("response.done")
    async def ask_again(event: ResponseDone) -> None:
        match event.response.status_details:
            case Failed(error=FailedError(code="connection_lost")):
                await client.create_response()


# [end:again]
