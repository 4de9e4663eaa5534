"""Who calls is said by whoever holds a key of the server; what is not to be stored, by everybody."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from clients.phone import SDP, Phone
from vivavoce.client import RealtimeClient
from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from web.asking import wav
from web.connecting import calling, hear

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
ANNA, EVE = {"OpenAI-Safety-Identifier": "anna"}, {"OpenAI-Safety-Identifier": "eve"}
KEY = {"Authorization": "Bearer sesame"}


class Callers(list[Caller]):
    """Remembers who has called; a factory of listeners."""

    def __call__(self, caller: Caller) -> Callable[[ObservedEvent], None]:
        self.append(caller)
        return lambda observed: None


async def call(url: str, headers: Mapping[str, str], query: str = "") -> None:
    async with calling(url, query, additional_headers=headers) as client:
        await hear(client, "session.created")


async def secret(url: str, headers: Mapping[str, str], **body: object) -> Mapping[str, str]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        made = (await client.post("/v1/realtime/client_secrets", json=body, headers=headers)).json()
    return {"Authorization": f"Bearer {made['value']}"}


async def test_whoever_holds_a_key_says_who_calls_and_binds_secrets_to_a_person(site: Site) -> None:
    callers = Callers()
    async with site(keys="sesame", listeners=[callers]) as url:
        await call(url, KEY)
        await call(url, {**KEY, **ANNA})
        await call(url, await secret(url, {**KEY, **ANNA}))
    assert [caller.identity for caller in callers] == [None, "anna", "anna"]


async def test_a_browser_with_a_client_secret_cannot_claim_to_be_another(site: Site) -> None:
    callers = Callers()
    async with site(keys="sesame", listeners=[callers]) as url:
        await call(url, {**await secret(url, {**KEY, **ANNA}), **EVE})
        await call(url, {**await secret(url, KEY), **EVE})
    assert [caller.identity for caller in callers] == ["anna", None]


async def test_where_no_key_is_needed_a_program_says_who_calls_and_a_page_does_not(site: Site) -> None:
    callers = Callers()
    async with site(listeners=[callers]) as url:
        await call(url, ANNA)
        await call(url, {**ANNA, "Origin": url})
        await call(url, {**await secret(url, ANNA), "Origin": url})
        await call(url, await secret(url, {**ANNA, "Origin": url}))
    assert [caller.identity for caller in callers] == ["anna", None, "anna", None]


@pytest.mark.parametrize("identity", ["", "a" * 256, "anna karenina", "ann\u00e4"])
async def test_an_identity_is_short_and_plain(site: Site, identity: str) -> None:
    async with site() as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        headers = {b"OpenAI-Safety-Identifier": identity.encode()}
        refused = await client.post("/v1/realtime/client_secrets", json={}, headers=headers)
        assert refused.status_code == 400
        assert "1 to 255 characters" in refused.json()["error"]["message"]
        if identity.isascii():
            with pytest.raises(InvalidStatus, match="400"):
                await call(url, {"OpenAI-Safety-Identifier": identity})


# what is stored


async def test_a_client_says_what_is_not_to_be_stored(site: Site) -> None:
    callers, phone = Callers(), Phone()
    async with site(listeners=[callers]) as url:
        for query in ("", "?store=all", "?store=words", "?store=nothing", "?store=false"):
            await call(url, {}, query)
        async with RealtimeClient(url, store="words"):
            pass
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            offer = await phone.offer()
            await phone.take(
                await client.post(f"{url}/v1/realtime/calls?store=nothing", content=offer, headers=SDP)
            )
            await phone.connection.close()
            await client.post(f"{url}/voice-chat?store=words", files={"audio": ("a.wav", wav((1000, 1)))})
    assert [caller.store for caller in callers] == [
        "all",
        "all",
        "words",
        "nothing",
        "nothing",
        "words",
        "nothing",
        "words",
    ]


async def test_a_client_secret_is_bound_to_what_is_stored_and_its_client_cannot_add_to_that(site: Site) -> None:
    callers = Callers()
    async with site(listeners=[callers]) as url:
        words = await secret(url, {}, store="words")
        for query in ("", "?store=all", "?store=nothing"):
            await call(url, words, query)
    assert [caller.store for caller in callers] == ["words", "words", "nothing"]


async def test_who_mistypes_it_is_told_and_not_recorded(site: Site) -> None:
    callers = Callers()
    async with site(listeners=[callers]) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        with pytest.raises(InvalidStatus, match="400"):
            await call(url, {}, "?store=noting")
        phone = Phone()
        refused = await client.post("/v1/realtime/calls?store=", content=await phone.offer(), headers=SDP)
        await phone.connection.close()
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")
        refused = await client.post("/v1/realtime/client_secrets", json={"store": "noting"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")
    assert callers == []
