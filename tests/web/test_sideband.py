"""A second WebSocket on a running call, over real sockets."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from vivavoce.testing.simulation import Simulation

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
QUESTION = {
    "type": "conversation.item.create",
    "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]},
}


@asynccontextmanager
async def calling(url: str, query: str = "?model=m", **wishes: Any) -> AsyncIterator[ClientConnection]:
    door = f"{url.replace('http', 'ws', 1)}/v1/realtime{query}"
    async with connect(door, compression=None, **wishes) as client:
        yield client


async def say(client: ClientConnection, **event: object) -> None:
    await client.send(json.dumps(event))


async def hear(client: ClientConnection, *, until: str) -> list[dict[str, Any]]:
    """Return what comes, up to the next event of this type."""
    heard: list[dict[str, Any]] = []
    with anyio.fail_after(30):
        while not heard or heard[-1]["type"] != until:
            heard.append(json.loads(await client.recv()))
    return heard


@asynccontextmanager
async def a_joined_call(url: str) -> AsyncIterator[tuple[ClientConnection, ClientConnection, str]]:
    async with calling(url) as client:
        call_id = (await hear(client, until="session.created"))[0]["session"]["id"]
        async with calling(url, f"?call_id={call_id}") as joined:
            await hear(joined, until="session.created")
            yield client, joined, call_id


async def closing_code(client: ClientConnection) -> int | None:
    with anyio.fail_after(30):
        await client.wait_closed()
    return client.close_code


async def refusal(url: str, call_id: str, **wishes: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        async with calling(url, f"?call_id={call_id}", **wishes):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"")["error"]["code"]


async def test_both_hear_the_same_whoever_asks(site: Site) -> None:
    async with (
        site(Simulation(["Paris, of course."], chat_delay=0, synthesizer_delay=0)) as url,
        a_joined_call(url) as call,
    ):
        client, joined, _ = call
        for asking in (client, joined):
            await say(asking, **QUESTION)
            await say(asking, type="response.create")
            assert await hear(client, until="response.done") == await hear(joined, until="response.done")


async def test_tools_may_stay_with_the_one_who_joined(site: Site) -> None:
    async with site() as url, a_joined_call(url) as (client, joined, _):
        tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
        await say(joined, type="session.update", session={"type": "realtime", "tools": [tool]})
        for ear in (client, joined):
            updated = (await hear(ear, until="session.updated"))[-1]
            assert [tool["name"] for tool in updated["session"]["tools"]] == ["get_weather"]


async def test_a_mistake_is_told_in_its_turn_to_whoever_made_it(site: Site) -> None:
    async with site() as url, a_joined_call(url) as (client, joined, _):
        await say(joined, type="response.cancel", event_id="mine")
        await joined.send("{")
        await say(joined, type="input_audio_buffer.append", audio="AAAA")
        await say(joined, type="input_audio_buffer.clear")
        heard = await hear(joined, until="input_audio_buffer.cleared")
        codes = [event["error"]["code"] for event in heard[:-1]]
        assert codes == ["response_cancel_not_active", "invalid_event", "invalid_value"]
        assert [event["type"] for event in await hear(client, until="input_audio_buffer.cleared")] == [
            "input_audio_buffer.cleared"
        ]


async def test_the_call_goes_on_without_who_joined_but_not_the_other_way_round(site: Site) -> None:
    async with site() as url, a_joined_call(url) as (client, joined, call_id):
        async with calling(url, f"?call_id={call_id}") as another:
            await hear(another, until="session.created")
        await say(client, type="input_audio_buffer.clear")
        await hear(joined, until="input_audio_buffer.cleared")
        await client.close()
        assert await closing_code(joined) == 1000
        assert await refusal(url, call_id) == (404, "call_id_not_found")


async def test_who_joins_takes_no_place_and_only_so_many_may(site: Site) -> None:
    async with site(limits={"conversations": 1, "sidebands": 1}) as url, a_joined_call(url) as (_, _, call_id):
        assert await refusal(url, call_id) == (429, "rate_limit_exceeded")


async def test_joining_takes_a_key_of_the_servers(site: Site) -> None:
    shown = {"additional_headers": {"Authorization": "Bearer sesame"}}
    async with site(keys="sesame") as url, calling(url, **shown) as client:
        call_id = (await hear(client, until="session.created"))[0]["session"]["id"]
        assert await refusal(url, call_id) == (401, "invalid_api_key")
        async with calling(url, f"?call_id={call_id}", **shown) as joined:
            await hear(joined, until="session.created")


async def test_who_joined_and_does_not_read_is_dropped_alone(site: Site) -> None:
    limits = {"send_seconds": 0.2, "sideband_depth": 4, "sidebands": 2}
    async with (
        site(limits=limits) as url,
        a_joined_call(url) as (client, joined, call_id),
        calling(url, f"?call_id={call_id}", max_queue=1, ping_interval=None, close_timeout=0.1),
    ):
        content = [{"type": "input_text", "text": "long " * 18_000}]
        item = {"type": "message", "id": "item_long", "role": "user", "content": content}
        await say(client, type="conversation.item.create", item=item)
        for _ in range(100):
            await say(client, type="conversation.item.retrieve", item_id="item_long")
            await hear(client, until="conversation.item.retrieved")
            await hear(joined, until="conversation.item.retrieved")
        with anyio.fail_after(8):
            assert await place_comes_free(url, call_id)


async def place_comes_free(url: str, call_id: str) -> bool:
    while True:
        try:
            async with calling(url, f"?call_id={call_id}"):
                return True
        except InvalidStatus:
            await anyio.lowlevel.checkpoint()


async def test_openais_client_joins_a_call_of_openais_client(site: Site) -> None:
    simulation = Simulation(["Paris, of course."], chat_delay=0, synthesizer_delay=0)
    async with (
        site(simulation) as url,
        AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client,
        client.realtime.connect(model="m") as caller,
    ):
        created = await caller.recv()
        call_id: str = created.session.id  # type: ignore[union-attr,assignment]
        async with client.realtime.connect(call_id=call_id) as joined:
            await joined.conversation.item.create(item=QUESTION["item"])  # type: ignore[arg-type]
            await joined.response.create(response={"output_modalities": ["text"]})
            with anyio.fail_after(30):
                while (event := await joined.recv()).type != "response.output_text.done":
                    continue
        assert event.text.strip() == "Paris, of course."
