import base64
import json
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from vivavoce.testing.stage import Say, Stage

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

MODEL = "?model=gpt-realtime"
Site = Callable[..., AbstractAsyncContextManager[str]]


def door(url: str, query: str = MODEL) -> str:
    return url.replace("http", "ws", 1) + "/v1/realtime" + query


async def hear(client: ClientConnection, *kinds: str) -> dict[str, Any]:
    """Return the next event of one of these types."""
    with anyio.fail_after(5):
        while True:
            event: dict[str, Any] = json.loads(await client.recv())
            if event["type"] in kinds:
                return event


async def ask(client: ClientConnection, text: str) -> str:
    """Ask in writing and return the written answer."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await client.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await client.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
    answer = await hear(client, "response.output_text.done")
    await hear(client, "response.done")
    return str(answer["text"])


@asynccontextmanager
async def calling(
    url: str, query: str = "?model=gpt-realtime", **wishes: Any
) -> AsyncIterator[ClientConnection]:
    async with connect(door(url, query), compression=None, **wishes) as client:
        yield client


async def closing_code(client: ClientConnection) -> int:
    with anyio.fail_after(5):
        await client.wait_closed()
    assert client.close_code is not None
    return client.close_code


async def refusal(url: str, **wishes: Any) -> tuple[int, dict[str, Any], Any]:
    with pytest.raises(InvalidStatus) as caught:
        async with calling(url, **wishes):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"], response.headers


async def test_a_caller_is_put_through_and_answered(site: Site) -> None:
    async with site(Stage(replies=["Paris, of course."], thinks=0)) as url, calling(url) as client:
        assert (await hear(client, "session.created"))["session"]["type"] == "realtime"
        assert (await ask(client, "What is the capital of France?")).strip() == "Paris, of course."


async def test_a_spoken_turn_is_answered_with_sound(site: Site) -> None:
    stage = Stage(replies=["Paris, of course."], thinks=0, hears=0, speaks=0)
    stage.sayings.sayings = [Say(0, "What is the capital of France?", seconds=0.8)]
    async with site(stage) as url, calling(url) as client:
        for level in [1000] * 40 + [0] * 40:
            sound = base64.b64encode(array("h", [level] * 480).tobytes()).decode()
            await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
        await hear(client, "input_audio_buffer.speech_stopped")
        assert base64.b64decode((await hear(client, "response.output_audio.delta"))["delta"])
        assert (await hear(client, "response.done"))["response"]["status"] == "completed"


async def test_whatever_model_is_asked_for_is_echoed(site: Site) -> None:
    async with site() as url:
        async with calling(url, "?model=gpt-realtime-2&colour=blue") as client:
            assert (await hear(client, "session.created"))["session"]["model"] == "gpt-realtime-2"
        async with calling(url, "") as client:
            assert (await hear(client, "session.created"))["session"]["model"] == "vivavoce"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "null",
        '"hello"',
        "{}",
        '{"type": 1}',
        '{"type": "no.such.event", "event_id": "e1"}',
        '{"type": "input_audio_buffer.append"}',
        '{"type": "input_audio_buffer.append", "audio": 7}',
        '{"type": "input_audio_buffer.append", "audio": "%%%"}',
        '{"type": "input_audio_buffer.append", "audio": "AAAA"}',
        '{"type": "session.update", "session": {"type": "realtime", "audio": 3}}',
        '{"type": "conversation.item.create", "item": {"type": "riddle"}}',
        '{"type": "response.cancel"}',
        '{"type": "\ud800"}'.encode("utf-8", "surrogatepass").replace(b"\xed\xa0\x80", b"\\ud800").decode(),
        "[" * 100_000,
        b"\x00\x01\x02",
        b"",
    ],
    ids=lambda frame: repr(frame[:60]),
)
async def test_a_bad_frame_is_answered_and_harms_nobody(site: Site, frame: str | bytes) -> None:
    async with site() as url, calling(url) as client, calling(url) as neighbour:
        await client.send(frame)
        error = (await hear(client, "error"))["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]
        assert (await ask(client, "Still there?")).strip() == "Yes."
        assert (await ask(neighbour, "And you?")).strip() == "Yes."


async def test_a_frame_too_large_ends_that_conversation_only(site: Site) -> None:
    async with (
        site(limits={"message_bytes": 10_000}) as url,
        calling(url) as client,
        calling(url) as neighbour,
    ):
        await client.send('{"type": "input_audio_buffer.append", "audio": "' + "A" * 20_000 + '"}')
        assert await closing_code(client) == 1009
        assert (await ask(neighbour, "And you?")).strip() == "Yes."


async def test_sound_too_long_for_one_append_is_refused(site: Site) -> None:
    async with site(limits={"append_bytes": 1000}) as url, calling(url) as client:
        sound = base64.b64encode(bytes(2000)).decode()
        await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
        assert "limits.append_bytes" in (await hear(client, "error"))["error"]["message"]
        assert (await ask(client, "Still there?")).strip() == "Yes."


async def test_a_flood_waits_and_harms_nobody(site: Site) -> None:
    async with site(limits={"events_per_second": 50}) as url, calling(url) as client:
        began = anyio.current_time()
        for number in range(120):
            await client.send(json.dumps({"type": "nonsense", "event_id": f"e{number}"}))
        async with calling(url) as neighbour:
            assert (await ask(neighbour, "And you?")).strip() == "Yes."
        answered = [(await hear(client, "error"))["error"]["event_id"] for _ in range(120)]
        assert answered == [f"e{number}" for number in range(120)]
        assert anyio.current_time() - began > 1.5


async def test_the_realtime_subprotocol_is_chosen(site: Site) -> None:
    offered = [
        Subprotocol(name) for name in ("realtime", "openai-insecure-api-key.x", "openai-agents-sdk.0.20.0")
    ]
    async with site() as url:
        async with calling(url, subprotocols=offered) as client:
            assert client.subprotocol == "realtime"
        async with calling(url, subprotocols=offered[2:]) as client:
            assert client.subprotocol is None


async def test_one_more_than_there_is_room_for_is_told_to_come_back(site: Site) -> None:
    async with site(limits={"conversations": 1}) as url:
        async with calling(url) as client:
            await hear(client, "session.created")
            status, error, headers = await refusal(url)
            assert status == 503
            assert int(headers["Retry-After"]) > 0
            assert error["code"] == "server_busy"
            assert "limits.conversations" in error["message"]
            assert (await ask(client, "Still there?")).strip() == "Yes."
        async with calling(url) as client:
            await hear(client, "session.created")


async def test_nobody_is_put_through_before_the_models_are_loaded(site: Site) -> None:
    async with site(furnished=False) as url:
        status, error, headers = await refusal(url)
        assert (status, error["code"]) == (503, "not_ready")
        assert int(headers["Retry-After"]) > 0


async def test_a_server_that_goes_away_says_so(site: Site) -> None:
    async with site() as url:
        client = await connect(door(url), compression=None)
        await hear(client, "session.created")
    assert await closing_code(client) == 1001


async def test_a_conversation_that_is_over_is_closed(site: Site) -> None:
    async with site(limits={"conversation_minutes": 0.001}) as url, calling(url) as client:
        assert (await hear(client, "error"))["error"]["code"] == "session_expired"
        assert await closing_code(client) == 1000


async def test_a_client_that_does_not_read_is_dropped(site: Site) -> None:
    async with (
        site(limits={"send_seconds": 0.2, "conversations": 1}) as url,
        calling(url, max_queue=1, ping_interval=None, close_timeout=0.1) as client,
    ):
        content = [{"type": "input_text", "text": "long " * 18_000}]
        item = {"type": "message", "id": "item_long", "role": "user", "content": content}
        await client.send(json.dumps({"type": "conversation.item.create", "item": item}))
        for _ in range(200):
            await client.send(json.dumps({"type": "conversation.item.retrieve", "item_id": "item_long"}))
        with anyio.fail_after(10):
            assert await place_comes_free(url)


async def place_comes_free(url: str) -> bool:
    while True:
        try:
            async with calling(url) as client:
                await hear(client, "session.created")
                return True
        except InvalidStatus:
            await anyio.lowlevel.checkpoint()


# who may come in


async def test_pages_of_strangers_may_not_connect(site: Site) -> None:
    async with site(server={"origins": ("https://friend.example",)}) as url:
        for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
            status, error, _ = await refusal(url, origin=origin)
            assert (status, error["code"]) == (403, "origin_not_allowed")
        for origin in ("http://localhost:3000", "http://127.0.0.1:1", "http://[::1]", "https://friend.example"):
            async with calling(url, origin=origin) as client:
                await hear(client, "session.created")


async def test_a_key_opens_the_door_in_either_way(site: Site) -> None:
    async with site(keys="sesame,other") as url:
        for wishes in (
            {},
            {"additional_headers": {"Authorization": "Bearer wrong"}},
            {"additional_headers": {"Authorization": "Basic sesame"}},
            {"subprotocols": [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.wrong")]},
        ):
            status, error, _ = await refusal(url, **wishes)
            assert (status, error["code"], error["type"]) == (401, "invalid_api_key", "authentication_error")
        async with calling(url, additional_headers={"Authorization": "Bearer other"}) as client:
            await hear(client, "session.created")
        subprotocols = [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.sesame")]
        async with calling(url, subprotocols=subprotocols) as client:
            await hear(client, "session.created")
            assert client.subprotocol == "realtime"
