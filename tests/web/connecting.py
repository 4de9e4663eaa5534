"""A client of the Realtime door: dial, hear, ask."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect

MODEL = "?model=gpt-realtime"
BETA = {"additional_headers": {"OpenAI-Beta": "realtime=v1"}}
Site = Callable[..., AbstractAsyncContextManager[str]]


def door(url: str, query: str = MODEL, path: str = "/v1/realtime") -> str:
    return url.replace("http", "ws", 1) + path + query


@asynccontextmanager
async def calling(
    url: str, query: str = MODEL, path: str = "/v1/realtime", **wishes: Any
) -> AsyncIterator[ClientConnection]:
    async with connect(door(url, query, path), compression=None, **wishes) as client:
        yield client


async def hear(client: ClientConnection, *kinds: str) -> dict[str, Any]:
    """Return the next event of one of these types."""
    with anyio.fail_after(30):
        while True:
            event: dict[str, Any] = json.loads(await client.recv())
            if event["type"] in kinds:
                return event


async def ask(client: ClientConnection, text: str, *, beta: bool = False) -> str:
    """Ask in writing and return the written answer."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    wish = {"modalities" if beta else "output_modalities": ["text"]}
    await client.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await client.send(json.dumps({"type": "response.create", "response": wish}))
    answer = await hear(client, "response.text.done" if beta else "response.output_text.done")
    await hear(client, "response.done")
    return str(answer["text"]).strip()


async def closing_code(client: ClientConnection) -> int:
    with anyio.fail_after(30):
        await client.wait_closed()
    assert client.close_code is not None
    return client.close_code
