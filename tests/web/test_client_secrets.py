"""Client secrets: short-lived keys for pages and apps, bound to a session."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from openai import AsyncOpenAI
from openai.types.beta.realtime import SessionCreateResponse
from openai.types.realtime import ClientSecretCreateResponse
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from vivavoce.config.schema import Config
from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.runtime import Runtime
from vivavoce.web.app import Web
from vivavoce.web.security.client_secrets import Binding, ClientSecrets

pytestmark = pytest.mark.anyio

Site = Callable[..., AbstractAsyncContextManager[str]]
PATH = "/v1/realtime/client_secrets"
SCRIPTED = ("turn", "transcriber", "chat", "synthesizer")
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}


@asynccontextmanager
async def asking(url: str, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, headers=headers) as client:
        yield client


async def secret(url: str, key: str | None = None, **session: object) -> str:
    async with asking(url, key) as client:
        answer = await client.post(PATH, json={"session": {"type": "realtime", **session}})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["value"])


@asynccontextmanager
async def calling(url: str, key: str, query: str = "") -> AsyncIterator[ClientConnection]:
    """Call as a browser does, which can set no header."""
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{key}")]
    door = f"{url.replace('http', 'ws', 1)}/v1/realtime{query}"
    async with connect(door, compression=None, subprotocols=offered) as client:
        yield client


async def first(client: ClientConnection) -> dict[str, Any]:
    with anyio.fail_after(30):
        event: dict[str, Any] = json.loads(await client.recv())
    assert event["type"] == "session.created"
    session: dict[str, Any] = event["session"]
    return session


async def refusal(url: str, key: str, query: str = "") -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        async with calling(url, key, query):
            pass
    return caught.value.response.status_code, json.loads(caught.value.response.body or b"")["error"]["code"]


# the store


async def test_a_secret_finds_what_it_is_bound_to_until_it_expires() -> None:
    secrets, session = ClientSecrets(max_secrets=10), Session(instructions="Hi.")
    value = secrets.issue(Binding(session), 600)
    await anyio.sleep(599)
    assert secrets.binding(value) == Binding(session)
    await anyio.sleep(1)
    assert secrets.binding(value) is None
    assert secrets.binding("ek_unheard_of") is None


async def test_the_secret_itself_is_not_kept() -> None:
    secrets = ClientSecrets(max_secrets=10)
    value = secrets.issue(Binding(Session()), 600)
    assert value not in repr(secrets)
    assert value.encode() not in repr(secrets).encode()


async def test_secrets_are_bounded_and_make_room_when_they_expire() -> None:
    secrets = ClientSecrets(max_secrets=2)
    for session in (Session(), TranscriptionSession()):
        secrets.issue(Binding(session), 10)
    with pytest.raises(ProtocolError, match=r"limits\.client_secrets"):
        secrets.issue(Binding(Session()), 10)
    await anyio.sleep(10)
    assert secrets.binding(secrets.issue(Binding(Session()), 10)) == Binding(Session())


# by HTTP


@pytest.mark.real_time
async def test_openais_own_client_makes_one(site: Site) -> None:
    async with site() as url, AsyncOpenAI(api_key="sk-x", base_url=f"{url}/v1") as client:
        made = await client.realtime.client_secrets.with_raw_response.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session={
                "type": "realtime",
                "model": "gpt-realtime",
                "instructions": "Answer in one word.",
                "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}],
                "audio": {"output": {"voice": "marin"}, "input": {"turn_detection": None}},
            },
        )
        answer = TypeAdapter(ClientSecretCreateResponse).validate_json(made.content, strict=True)
    session = answer.session
    assert answer.value.startswith("ek_")
    assert session.type == "realtime"
    assert (session.object, session.model, session.instructions) == (
        "realtime.session",
        "gpt-realtime",
        "Answer in one word.",
    )
    assert session.audio is not None
    assert session.audio.output is not None
    assert session.audio.output.voice == "marin"
    assert session.audio.output.speed == 1.0, "what was not said is as the server has it"
    assert made.http_response.json()["session"]["audio"]["input"]["turn_detection"] is None


@pytest.mark.real_time
async def test_a_secret_for_transcription_is_answered_as_one(site: Site) -> None:
    async with site() as url, asking(url) as client:
        session = {"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        answer = (await client.post(f"/openai{PATH}", json={"session": session})).json()
        made = TypeAdapter(ClientSecretCreateResponse).validate_python(answer)
        assert made.session.type == "transcription"
        assert made.session.object == "realtime.transcription_session"
        assert made.session.id.startswith("sess_")


@pytest.mark.real_time
async def test_an_empty_wish_is_a_realtime_session_for_ten_minutes(site: Site) -> None:
    async with site() as url, asking(url) as client:
        for body in (b"", b"{}"):
            made = (await client.post(PATH, content=body)).json()
            assert made["session"]["type"] == "realtime"
            assert made["expires_at"] == made["session"]["expires_at"]


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("wish", "code", "param"),
    [
        ({"expires_after": {"seconds": 9}}, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "invalid_value", "expires_after.seconds"),
        ({"expires_after": {"anchor": "now"}}, "invalid_value", "expires_after.anchor"),
        ({"session": {}}, "missing_required_parameter", "session.type"),
        ({"session": {"type": "realtime", "colour": 1}}, "unknown_parameter", "session.colour"),
        (
            {"session": {"type": "realtime", "audio": {"output": {"speed": 9}}}},
            "invalid_value",
            "session.audio.output.speed",
        ),
        (
            {"session": {"type": "realtime", "tool_choice": {"type": "function", "name": "x"}}},
            "invalid_value",
            "session.tool_choice.name",
        ),
        ({"seconds": 60}, "unknown_parameter", "seconds"),
        ([], "invalid_json", None),
    ],
    ids=str,
)
async def test_a_wish_that_cannot_be_met_is_told_why(
    site: Site, wish: object, code: str, param: str | None
) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.post(PATH, json=wish)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


@pytest.mark.real_time
async def test_what_is_too_much_is_refused_and_told_the_limit(site: Site) -> None:
    async with site(limits={"client_secrets": 1, "session_bytes": 1000}) as url, asking(url) as client:
        session = {"type": "realtime", "instructions": "long " * 1000}
        answer = await client.post(PATH, json={"session": session})
        assert answer.status_code == 413
        assert "limits.session_bytes" in answer.json()["error"]["message"]
        await secret(url)
        answer = await client.post(PATH, json={})
        assert answer.status_code == 429
        assert "limits.client_secrets" in answer.json()["error"]["message"]


# as the beta has it


@pytest.mark.real_time
async def test_the_betas_client_makes_one_in_its_own_spelling(site: Site) -> None:
    async with site(keys="sesame") as url, AsyncOpenAI(api_key="sesame", base_url=f"{url}/v1") as client:
        made = await client.beta.realtime.sessions.with_raw_response.create(
            model="gpt-4o-realtime-preview",
            modalities=["text"],
            instructions="Be brief.",
            voice="verse",
            input_audio_format="g711_ulaw",
            turn_detection={"type": "server_vad", "silence_duration_ms": 700},
            client_secret={"expires_after": {"anchor": "created_at", "seconds": 60}},
        )
        answer = TypeAdapter(SessionCreateResponse).validate_json(made.content)
        assert (answer.modalities, answer.voice, answer.instructions) == (["text"], "verse", "Be brief.")
        assert (answer.input_audio_format, answer.output_audio_format) == ("g711_ulaw", "pcm16")
        assert answer.turn_detection is not None
        assert answer.turn_detection.silence_duration_ms == 700
        assert made.http_response.json()["model"] == "gpt-4o-realtime-preview"
        async with calling(url, answer.client_secret.value) as caller:
            session = await first(caller)
        assert (session["instructions"], session["output_modalities"]) == ("Be brief.", ["text"])
        assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}


@pytest.mark.real_time
async def test_the_betas_client_makes_one_that_only_writes_down(site: Site) -> None:
    async with site() as url, AsyncOpenAI(api_key="x", base_url=f"{url}/v1") as client:
        answer = await client.beta.realtime.transcription_sessions.create(
            input_audio_transcription={"model": "whisper-1", "language": "en"},
            client_secret={"expires_at": {"anchor": "created_at", "seconds": 60}},
        )
        assert answer.input_audio_transcription is not None
        assert answer.input_audio_transcription.language == "en"
        async with calling(url, answer.client_secret.value) as caller:
            assert (await first(caller))["type"] == "transcription"


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"voice": 7}, "session.voice"),
        ({"colour": "red"}, "session.colour"),
        ({"input_audio_format": "mp3"}, "session.input_audio_format"),
        ({"client_secret": {"expires_after": {"seconds": 5}}}, "client_secret.expires_after.seconds"),
        ({"client_secret": {"minutes": 5}}, "client_secret.minutes"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_named_as_the_beta_spells_it(
    site: Site, wish: dict[str, object], param: str
) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.post("/v1/realtime/sessions", json=wish)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


# what it opens


@pytest.mark.real_time
async def test_a_conversation_begins_as_the_secret_wants_it(site: Site) -> None:
    async with site(keys="sesame") as url:
        value = await secret(
            url, "sesame", model="gpt-realtime", instructions="Answer in one word.", tools=[TOOL]
        )
        for _ in range(2):
            async with calling(url, value) as client:
                session = await first(client)
                assert client.subprotocol == "realtime"
            assert (session["instructions"], session["model"]) == ("Answer in one word.", "gpt-realtime")
            assert [tool["name"] for tool in session["tools"]] == ["get_weather"]


@pytest.mark.real_time
async def test_a_secret_works_where_no_key_is_asked_for(site: Site) -> None:
    async with site() as url:
        async with calling(url, await secret(url, instructions="Be brief.")) as client:
            assert (await first(client))["instructions"] == "Be brief."
        assert await refusal(url, "ek_unheard_of") == (401, "invalid_api_key")
        async with calling(url, "any-other-key") as client:
            await first(client)


async def test_an_expired_secret_opens_nothing() -> None:
    web = Web(Runtime(Config.model_validate({role: {"provider": "scripted"} for role in SCRIPTED})))
    door = httpx.ASGITransport(web.application)
    async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
        made = (await client.post(PATH, json={"expires_after": {"seconds": 60}})).json()
        shown = {"authorization": f"Bearer {made['value']}"}
        assert (await client.get("/v1/models", headers=shown)).status_code == 403, "known, and not for this"
        await anyio.sleep(60)
        answer = await client.get("/v1/models", headers=shown)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.real_time
@pytest.mark.parametrize("keys", ["", "sesame"], ids=["open", "locked"])
async def test_a_secret_is_good_for_nothing_else(site: Site, keys: str) -> None:
    async with site(keys=keys) as url:
        value = await secret(url, keys)
        async with asking(url, value) as client:
            for answer in (
                await client.post(PATH, json={}),
                await client.get("/v1/models"),
                await client.post("/v1/audio/speech", json={"input": "Hello."}),
            ):
                assert answer.status_code == 403
                assert answer.json()["error"]["code"] == "client_secret_not_allowed"
        async with calling(url, value) as client:
            call_id = (await first(client))["id"]
            assert await refusal(url, value, f"?call_id={call_id}") == (403, "client_secret_not_allowed")
