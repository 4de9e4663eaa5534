import base64
import json
from array import array
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from vivavoce.testing.simulation import CallerSays, Simulation
from web.connecting import BETA, MODEL, Site, ask, calling, closing_code, door, hear

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def refusal(url: str, query: str = MODEL, **wishes: Any) -> tuple[int, dict[str, Any], Any]:
    with pytest.raises(InvalidStatus) as caught:
        async with calling(url, query, **wishes):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"], response.headers


async def test_a_caller_is_put_through_and_answered(site: Site) -> None:
    async with site(Simulation(replies=["Paris, of course."], chat_delay=0)) as url, calling(url) as client:
        assert (await hear(client, "session.created"))["session"]["type"] == "realtime"
        assert (await ask(client, "What is the capital of France?")) == "Paris, of course."


async def test_a_spoken_turn_is_answered_with_sound(site: Site) -> None:
    simulation = Simulation(
        replies=["Paris, of course."], chat_delay=0, transcriber_delay=0, synthesizer_delay=0
    )
    simulation.caller.utterances = [CallerSays(0, "What is the capital of France?", seconds=0.8)]
    async with site(simulation) as url, calling(url) as client:
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
    ("path", "query"),
    [
        ("/v1/realtime", "?model=gpt-realtime&temperature=0.8&voice=alloy"),
        ("/realtime", "?model=gpt-realtime&model=other"),
        ("/openai/v1/realtime", "?model=gpt-realtime&api-key=x"),
        ("/openai/realtime", "?api-version=2024-10-01-preview&deployment=gpt-realtime&api-key=x"),
        ("/v1//realtime", "?model=gpt-realtime"),
        ("/v1/realtime/", "?model=gpt-realtime"),
    ],
)
async def test_every_address_of_openais_and_azures_leads_here(site: Site, path: str, query: str) -> None:
    async with site(Simulation(replies=["Yes."], chat_delay=0)) as url, calling(url, query, path) as client:
        assert (await hear(client, "session.created"))["session"]["model"] == "gpt-realtime"


WAYS_TO_THE_BETA = [
    BETA,
    {"subprotocols": [Subprotocol("realtime"), Subprotocol("openai-beta.realtime-v1")]},
    {"query": "?api-version=2025-04-01-preview&deployment=gpt-realtime", "path": "/openai/realtime"},
]


@pytest.mark.parametrize("wishes", WAYS_TO_THE_BETA, ids=["header", "subprotocol", "api-version"])
async def test_the_beta_is_spoken_with_those_who_speak_it(site: Site, wishes: dict[str, Any]) -> None:
    simulation = Simulation(
        replies=["Paris, of course."], chat_delay=0, transcriber_delay=0, synthesizer_delay=0
    )
    async with site(simulation) as url, calling(url, **wishes) as client, calling(url) as neighbour:
        session = (await hear(client, "session.created"))["session"]
        assert (session["model"], session["input_audio_format"]) == ("gpt-realtime", "pcm16")
        wrong = {"type": "session.update", "event_id": "mine", "session": {"speed": 9}}
        await client.send(json.dumps(wrong))
        error = (await hear(client, "error"))["error"]
        assert (error["param"], error["event_id"]) == ("session.speed", "mine")
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where?"}]}
        await client.send(json.dumps({"type": "conversation.item.create", "item": item}))
        assert (await hear(client, "conversation.item.created"))["item"]["role"] == "user"
        await client.send(json.dumps({"type": "response.create"}))
        assert base64.b64decode((await hear(client, "response.audio.delta"))["delta"])
        response = (await hear(client, "response.done"))["response"]
        assert response["modalities"] == ["text", "audio"]
        assert response["output"][0]["content"][0]["type"] == "audio"
        assert (await ask(neighbour, "And you?")) == "Paris, of course."


async def test_another_may_join_a_call_see_it_and_steer_it(site: Site) -> None:
    async with site() as url, calling(url) as client:
        call = (await hear(client, "session.created"))["session"]["id"]
        async with calling(url, f"?call_id={call}") as beside:
            session = (await hear(beside, "session.created"))["session"]
            assert (session["id"], session["model"]) == (call, "vivavoce")
            assert (await ask(client, "Is anybody there?")) == "Yes."
            assert (await hear(beside, "response.output_text.done"))["text"].strip() == "Yes."
            assert (await ask(beside, "And you?")) == "Yes."
            await hear(client, "response.done")
        assert (await ask(client, "Still there?")) == "Yes."


async def test_who_joins_is_told_when_the_call_is_over(site: Site) -> None:
    async with site() as url, calling(url) as client:
        call = (await hear(client, "session.created"))["session"]["id"]
        async with calling(url, f"?call_id={call}") as beside:
            await client.close()
            assert await closing_code(beside) == 1000


async def test_a_call_that_there_is_not_cannot_be_joined(site: Site) -> None:
    async with site() as url:
        status, error, _ = await refusal(url, "?call_id=rtc_nobody")
        assert (status, error["code"], error["type"]) == (404, "call_id_not_found", "not_found_error")


async def test_a_call_has_room_for_so_many_others(site: Site) -> None:
    async with site(limits={"sidebands": 1}) as url, calling(url) as client:
        call = (await hear(client, "session.created"))["session"]["id"]
        async with calling(url, f"?call_id={call}"):
            status, error, _ = await refusal(url, f"?call_id={call}")
            assert (status, error["code"], error["type"]) == (429, "rate_limit_exceeded", "rate_limit_error")
            assert "limits.sidebands" in error["message"]


async def test_a_flood_waits_and_harms_nobody(site: Site) -> None:
    async with site(limits={"events_per_second": 50}) as url, calling(url) as client:
        began = anyio.current_time()
        for number in range(120):
            await client.send(json.dumps({"type": "nonsense", "event_id": f"e{number}"}))
        async with calling(url) as neighbour:
            assert (await ask(neighbour, "And you?")) == "Yes."
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
        async with calling(url, subprotocols=[Subprotocol("openai-beta.realtime-v1")]) as client:
            assert client.subprotocol == "openai-beta.realtime-v1"


async def test_one_more_than_there_is_room_for_is_told_to_come_back(site: Site) -> None:
    async with site(limits={"conversations": 1}) as url:
        async with calling(url) as client:
            await hear(client, "session.created")
            status, error, headers = await refusal(url)
            assert status == 503
            assert int(headers["Retry-After"]) > 0
            assert error["code"] == "server_busy"
            assert "limits.conversations" in error["message"]
            assert (await ask(client, "Still there?")) == "Yes."
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
        with anyio.fail_after(8):
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
