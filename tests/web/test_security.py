"""Who may come in, by which door, with which key, and from which page."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from vivavoce.testing.simulation import Simulation

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
FRIEND = "https://friend.example"
STRANGERS = ("https://evil.example", "null", "http://localhost.evil.example", "http://[::1", "not an origin")


@asynccontextmanager
async def asking(url: str, **wishes: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, **wishes) as client:
        yield client


async def status(url: str, query: str = "", **wishes: Any) -> int:
    """Return how a WebSocket's handshake is answered; 101 is a yes."""
    try:
        async with connect(f"{url.replace('http', 'ws', 1)}/v1/realtime{query}", compression=None, **wishes):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def preflight(origin: str, **headers: str) -> dict[str, str]:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,openai-beta,x-openai-agents-sdk",
    }
    return {"origin": origin, **asked, **headers}


# keys


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer sesame"}, {"authorization": "bearer  other"}, {"api-key": "sesame"}],
    ids=["bearer", "bearer, loosely", "Azure's header"],
)
async def test_a_key_may_be_shown_in_a_header(site: Site, headers: dict[str, str]) -> None:
    async with site(keys="sesame,other") as url, asking(url, headers=headers) as client:
        assert (await client.get("/v1/models")).status_code == 200
        assert await status(url, additional_headers=headers) == 101


async def test_a_key_may_be_shown_in_the_query_as_azures_preview_has_it(site: Site) -> None:
    async with site(keys="ses ame") as url, asking(url) as client:
        assert (await client.get("/v1/models?api-key=ses%20ame")).status_code == 200
        assert await status(url, "?deployment=m&api-key=ses+ame") == 101
        assert await status(url, "?api-key=") == 401


async def test_a_token_may_be_shown_in_the_query_as_azures_javascript_client_does(site: Site) -> None:
    """A browser sets no header on a WebSocket: `AzureOpenAI` with a token provider puts it into the address."""
    async with site(keys="sesame") as url:
        assert await status(url, "?deployment=m&Authorization=Bearer+sesame") == 101
        assert await status(url, "?deployment=m&Authorization=Bearer+wrong") == 401
        assert await status(url, "?deployment=m&Authorization=sesame") == 401


async def test_a_key_may_be_shown_as_a_subprotocol(site: Site) -> None:
    async with site(keys="sesame") as url:
        for key, answer in (("sesame", 101), ("wrong", 401)):
            offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{key}")]
            assert await status(url, subprotocols=offered) == answer


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Basic sesame"}, {"authorization": "Bearer wrong"}, {"api-key": "wrong"}],
    ids=["none", "another scheme", "a wrong bearer", "a wrong api-key"],
)
async def test_without_a_key_of_ours_nobody_comes_in(site: Site, headers: dict[str, str]) -> None:
    async with site(keys="sesame") as url, asking(url, headers=headers) as client:
        answer = await client.get("/v1/models")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert await status(url, additional_headers=headers) == 401


async def test_slashes_too_many_lead_to_the_same_place_by_the_same_door(site: Site) -> None:
    """Clients write `f"{base_url}/realtime"`, and a base URL may end in a slash, as semantic-kernel's does."""
    door = "/v1//realtime/client_secrets/"
    async with site(keys="sesame") as url, asking(url) as stranger:
        assert (await stranger.post(door, json={})).status_code == 401
        assert (await stranger.get("/v1//status")).status_code == 200, "open to all, as ever"
        async with asking(url, headers={"authorization": "Bearer sesame"}) as client:
            assert (await client.post(door, json={})).status_code == 200
            assert (await client.get("/static/")).status_code == 404


async def test_where_no_key_is_asked_for_any_will_do(site: Site) -> None:
    async with site() as url, asking(url, headers={"authorization": "Bearer sk-whatever"}) as client:
        assert (await client.get("/v1/models")).status_code == 200
        assert await status(url, "?api-key=x") == 101


async def test_no_key_is_ever_written_down(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "vivavoce")
    async with site(keys="sesame") as url, asking(url) as client:
        caplog.set_level(logging.INFO, "uvicorn.error")
        uvicorn = logging.getLogger("uvicorn")  # which hands nothing on to others
        uvicorn.addHandler(caplog.handler)
        for key in ("sesame", "sesam"):
            await client.get(f"/v1/models?api-key={key}", headers={"authorization": f"Bearer {key}"})
            await status(url, f"?model=m&api-key={key}", additional_headers={"api-key": key})
            await status(url, f"?model=m&Authorization=Bearer%20{key}")
        uvicorn.removeHandler(caplog.handler)
    assert '"WebSocket /v1/realtime?model=m"' in caplog.text, "uvicorn writes down who connects"
    assert "sesam" not in caplog.text


# pages of other origins


@pytest.mark.parametrize("origin", [FRIEND, "http://localhost:3000", "http://127.0.0.1", "http://[::1]:5173"])
async def test_a_page_that_may_connect_is_answered_before_it_asks(site: Site, origin: str) -> None:
    async with site(keys="sesame", server={"origins": (FRIEND,)}) as url, asking(url) as client:
        asked = preflight(origin, **{"access-control-request-private-network": "true"})
        answer = await client.options("/v1/realtime/calls", headers=asked)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == origin
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == asked["access-control-request-headers"]
        assert answer.headers["access-control-allow-private-network"] == "true"
        assert answer.headers["vary"] == "Origin"


async def test_a_page_that_may_connect_can_read_answers_and_errors(site: Site) -> None:
    async with site(keys="sesame", server={"origins": (FRIEND,)}) as url, asking(url) as client:
        for path, headers, code in (
            ("/v1/models", {"authorization": "Bearer sesame"}, 200),
            ("/v1/models", {}, 401),
            ("/v1/nothing", {"authorization": "Bearer sesame"}, 404),
        ):
            answer = await client.get(path, headers={"origin": FRIEND, **headers})
            assert answer.status_code == code
            assert answer.headers["access-control-allow-origin"] == FRIEND
            assert "Location" in answer.headers["access-control-expose-headers"]


async def test_even_an_error_of_ours_can_be_read(site: Site) -> None:
    simulation = Simulation(synthesizer_delay=0)
    async with site(simulation) as url, asking(url) as client:
        simulation.engine.providers.synthesizer.speak = None  # type: ignore[method-assign,assignment]
        wish = {"input": "Hello."}
        answer = await client.post("/v1/audio/speech", json=wish, headers={"origin": "http://localhost:3000"})
        assert answer.status_code == 500
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("origin", STRANGERS)
async def test_pages_of_strangers_are_told_nothing(site: Site, origin: str) -> None:
    async with site(server={"origins": (FRIEND,)}) as url, asking(url) as client:
        for answer in (
            await client.options("/v1/realtime/calls", headers=preflight(origin)),
            await client.post("/v1/audio/speech", json={}, headers={"origin": origin}),
        ):
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "origin_not_allowed"
            assert "access-control-allow-origin" not in answer.headers
        read = await client.get("/v1/models", headers={"origin": origin})
        assert "access-control-allow-origin" not in read.headers


async def test_what_is_no_preflight_is_no_consent(site: Site) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.options("/v1/models", headers={"origin": "http://localhost"})
        assert answer.status_code == 405


@pytest.mark.parametrize("host", ["rebound.example", "[::1", "", "localhost.example"])
async def test_a_strange_or_broken_name_does_not_lead_here(site: Site, host: str) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.get("/v1/models", headers={"host": host})
        assert answer.status_code == 421
