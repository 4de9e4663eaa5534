"""`?conversation=` on every path where calls begin, and in client secrets."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest

from clients.phone import SDP, Phone
from vivavoce.client import RealtimeClient
from vivavoce.errors import ConfigError, ProtocolError
from vivavoce.protocol.items import InputText, Message
from vivavoce.session.call import Caller, Recalled
from vivavoce.transports.websocket import PATHS
from web.connecting import calling, hear

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
NAME = Message(id="item_1", role="user", content=(InputText(text="My name is Ada."),))
IDENTITY = {"openai-safety-identifier": "ada"}


class Memory:
    """One conversation, and who has continued it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str | None]] = []

    async def __call__(self, caller: Caller) -> Recalled:
        self.asked.append((caller.continues, caller.identity))
        if caller.continues != "sess_1":
            raise ProtocolError("There is none.", code="conversation_not_found", param="conversation")
        return Recalled("sess_1", [NAME])


@pytest.mark.parametrize("path", PATHS)
async def test_it_is_continued_on_all_paths(path: str, site: Site) -> None:
    async with site(recall=Memory()) as url, calling(url, "?conversation=sess_1", path) as client:
        assert (await hear(client, "conversation.item.done"))["item"]["id"] == "item_1"


async def test_in_the_beta_the_items_are_told_in_its_words(site: Site) -> None:
    query = "?api-version=2024-10-01-preview&conversation=sess_1"
    async with site(recall=Memory()) as url, calling(url, query, "/openai/realtime") as client:
        assert (await hear(client, "conversation.item.created"))["item"]["id"] == "item_1"


async def test_who_names_another_is_told_and_goes_on(site: Site) -> None:
    async with site(recall=Memory()) as url, calling(url, "?conversation=sess_2") as client:
        error = (await hear(client, "error"))["error"]
        assert (error["code"], error["param"]) == ("conversation_not_found", "conversation")
        await client.send(json.dumps({"type": "input_audio_buffer.clear"}))
        assert await hear(client, "input_audio_buffer.cleared")


async def test_a_call_by_webrtc_continues_one_too(site: Site) -> None:
    phone, query = Phone(), "?conversation=sess_1"
    async with site(recall=Memory()) as url, httpx.AsyncClient(timeout=30, trust_env=False) as client:
        answer = await client.post(f"{url}/v1/realtime/calls{query}", content=await phone.offer(), headers=SDP)
        await phone.take(answer)
        await phone.until(lambda events: any(one["type"] == "conversation.item.done" for one in events))
        assert [one["item"]["id"] for one in phone.events if one["type"] == "conversation.item.added"] == [
            "item_1"
        ]
        await phone.connection.close()


async def test_who_calls_is_known_to_the_memory(site: Site) -> None:
    memory = Memory()
    query = "?conversation=sess_1"
    async with site(recall=memory) as url, calling(url, query, additional_headers=IDENTITY) as client:
        await hear(client, "conversation.item.done")
    assert memory.asked == [("sess_1", "ada")]


async def test_a_client_secret_may_be_bound_to_a_conversation(site: Site) -> None:
    memory = Memory()
    async with site(recall=memory) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            body = {"session": {"type": "realtime"}, "conversation": "sess_1"}
            answer = await client.post("/v1/realtime/client_secrets", json=body)
        key = {"authorization": f"Bearer {answer.json()['value']}"}
        async with calling(url, "?conversation=sess_2", additional_headers=key) as socket:
            assert (await hear(socket, "conversation.item.done"))["item"]["id"] == "item_1"
    assert memory.asked == [("sess_1", None)]


async def test_a_realtime_client_continues_one(site: Site) -> None:
    async with site(recall=Memory()) as url, RealtimeClient(url, conversation="sess_1") as client:
        while not client.items:
            await client.wait_for_next_completed_item(timeout=30)
        assert [item.text for item in client.items] == ["My name is Ada."]
    with pytest.raises(ConfigError, match="pass its URL"):
        RealtimeClient(lambda: None, conversation="sess_1")  # type: ignore[arg-type, return-value]
