"""Calls of telephone carriers over real WebSockets, and who may bring some."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha1, sha256
from hmac import digest
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import anyio
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from transports.carriers import SHAPES, Carrier, Shape, asterisk
from transports.legs import LONG, Presses
from vivavoce.config.schema import Config
from vivavoce.dates import unix_now
from vivavoce.protocol import events as e
from vivavoce.runtime import Runtime
from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from vivavoce.testing.clock import JumpingClock
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.web.app import Web
from vivavoce.web.security.carriers import CarrierAccess
from vivavoce.web.telephones import serving_telephones
from web.asking import asking, error
from web.connecting import Site, calling, closing_code, door, hear
from web.stored import SCRIPTED
from web.test_signatures import jwt

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

QUESTION = CallerSays(0.3, "What is the capital?", 0.8)
PUBLIC = "https://voice.example.org"
PUBLIC_SITE: Mapping[str, Any] = {"server": {"public_url": PUBLIC}, "keys": "sesame"}
ALL = {**SHAPES, "asterisk": asterisk()}
HOST = {"host": "voice.example.org"}


def simulated(*replies: str) -> Simulation:
    return Simulation(replies, chat_delay=0, transcriber_delay=0, synthesizer_delay=0, word_delay=0)


@asynccontextmanager
async def streaming(
    url: str, shape: Shape, path: str = "", **wishes: Any
) -> AsyncIterator[tuple[Carrier, ClientConnection]]:
    """Bring a call, and play what comes back, until the block ends or the server closes."""
    async with connect(door(url, "", path or f"/{shape.path}"), compression=None, **wishes) as socket:

        async def put(message: str | bytes) -> None:
            with suppress(ConnectionClosed):
                await socket.send(message)

        carrier = Carrier(shape, put)

        async def receive() -> None:
            with suppress(ConnectionClosed):
                async for message in socket:
                    await carrier.on_message(message)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            tasks.start_soon(carrier.play)
            yield carrier, socket
            tasks.cancel_scope.cancel()


class Calls:
    """Remembers callers and events; a factory of listeners."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.events: list[e.Event] = []
        self.changed = anyio.Event()

    def __call__(self, caller: Caller) -> Any:
        self.callers.append(caller)

        def listener(observed: ObservedEvent) -> None:
            self.events.append(observed.event)
            self.changed.set()

        return listener

    def of(self, *kinds: type[e.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def until(self, kind: type[e.Event], count: int = 1) -> None:
        with anyio.fail_after(30):
            while len(self.of(kind)) < count:
                self.changed = anyio.Event()
                await self.changed.wait()


@pytest.mark.parametrize("name", ALL)
async def test_a_call_of_two_turns_with_an_interruption_and_a_key(site: Site, name: str) -> None:
    calls, shape = Calls(), ALL[name]
    steps = [QUESTION, CallerSays(2.4, "No, I mean Spain.", 0.8), Presses(5.5, "#")]
    simulation = simulated(LONG, "Madrid.", "Yes.")
    simulation.caller.utterances = steps[:2]
    async with site(simulation, listeners=[calls]) as url, streaming(url, shape) as (carrier, socket):
        await carrier.act(steps, 7)
        if shape.stop is None:
            await socket.close()
        assert await closing_code(socket) == 1000
    assert len(carrier.cleared) == 1
    (truncated,) = calls.of(e.ConversationItemTruncate)
    played = [at for at, pcm in carrier.heard if any(pcm) and at < carrier.cleared[0] + 0.1]
    assert truncated.audio_end_ms == pytest.approx(20 * len(played), abs=250)
    assert max(played) <= carrier.cleared[0] + 0.05
    assert [one.event for one in calls.of(e.DtmfEventReceived)] == ["#"]
    assert len(calls.of(e.ResponseDone)) == 3
    (caller,) = calls.callers
    assert caller.transport == name
    assert caller.external_id in ("CA1", "v2:C1", "C1", "pbx-17.9")


async def test_a_call_that_we_end_is_closed(site: Site) -> None:
    calls = Calls()
    async with (
        site(simulated("Goodbye."), listeners=[calls]) as url,
        streaming(url, SHAPES["twilio"]) as (carrier, socket),
    ):
        await carrier.start()
        await calls.until(e.SessionCreated)
        assert calls.callers[0].leave
        await calls.callers[0].leave()
        assert await closing_code(socket) == 1000


async def test_asterisk_speaks_the_subprotocol_media_and_shows_a_key_as_its_password(site: Site) -> None:
    async with site(keys="sesame") as url:
        for query, headers in (
            ("?key=sesame", {}),
            ("", {"Authorization": f"Basic {b64encode(b'viva:sesame').decode()}"}),
        ):
            address = door(url, query, "/asterisk")
            async with connect(address, subprotocols=["media"], additional_headers=headers) as socket:  # type: ignore[list-item]
                assert socket.subprotocol == "media"
                await socket.send("MEDIA_START channel_id:1 format:slin16 optimal_frame_size:640")
                with anyio.fail_after(10):
                    assert await socket.recv() == "ANSWER"
        assert await status(url, "/asterisk") == 401
        assert await status(url, "/asterisk?key=sesam") == 401


async def test_calls_end_with_the_server(site: Site) -> None:
    calls = Calls()
    async with site(simulated("Goodbye."), listeners=[calls]) as url:
        socket = await connect(door(url, "", "/twilio"))
        for message in SHAPES["twilio"].start:
            await socket.send(json.dumps(message))
        await calls.until(e.SessionCreated)
    assert await closing_code(socket) == 1000


async def test_a_call_too_many_is_refused_and_the_neighbour_never_notices(site: Site) -> None:
    calls, simulation = Calls(), simulated("Paris.")
    simulation.caller.utterances = [QUESTION]
    async with (
        site(simulation, listeners=[calls], limits={"conversations": 1}) as url,
        streaming(url, SHAPES["twilio"]) as (carrier, _),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(carrier.act, [QUESTION], 3)
        await calls.until(e.SessionCreated)
        async with streaming(url, SHAPES["plivo"]) as (other, socket):
            await other.start()
            assert await closing_code(socket) == 1013
            assert "limits.conversations" in (socket.close_reason or "")
    assert len(calls.of(e.ResponseDone)) == 1


async def test_bad_messages_harm_neither_the_call_nor_its_neighbour(site: Site) -> None:
    calls, simulation = Calls(), simulated("Paris.")
    simulation.caller.utterances = [QUESTION]
    bad = [
        "{",
        "[]",
        '{"event": "media"}',
        '{"event": "media", "media": {"payload": "%"}}',
        "[" * 5000,
        '{"event": 1}',
    ]
    async with site(simulation, listeners=[calls]) as url:
        async with (
            streaming(url, SHAPES["twilio"]) as (carrier, _),
            streaming(url, SHAPES["telnyx"]) as (other, socket),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(carrier.act, [QUESTION], 3)
            tasks.start_soon(other.act, [QUESTION], 3)
            for _ in range(200):
                for message in (*bad, b"\0\1"):
                    await socket.send(message)
            await socket.send(b"not UTF-8 \xff", text=True)
        assert len(calls.of(e.ResponseDone)) == 2
        assert calls.of(e.ErrorEvent) == []


# answers


def form(**fields: str) -> dict[str, Any]:
    body = urlencode(fields).encode()
    return {"content": body, "headers": {"content-type": "application/x-www-form-urlencoded"}}


@pytest.mark.parametrize("name", ["twilio", "signalwire", "telnyx", "plivo", "vonage"])
async def test_the_answer_to_a_call_is_an_address_at_which_it_is_streamed(site: Site, name: str) -> None:
    calls, shape = Calls(), SHAPES[name]
    async with site(simulated("Yes."), listeners=[calls]) as url, asking(url) as client:
        asked = form(CallSid="CA1", CallUUID="C1", From="+15550100", To="+15550199", Evil='"><x/>&amp;')
        given = await client.post(f"/{name}/voice?agent=%3Csales%3E%26co", **asked)
        if name == "vonage":
            given = await client.get("/vonage/voice?agent=%3Csales%3E%26co&from=15550100&to=15550199&uuid=C1")
        assert given.status_code == 200
        stream, parameters = read_answer(name, given)
        assert stream.startswith(f"ws{url.removeprefix('http')}/{name}/st-")
        assert parameters["agent"] == "<sales>&co"
        assert parameters["from"].endswith("15550100")
        parts = urlsplit(stream)
        query = f"?{parts.query}" if parts.query else ""
        async with streaming(url, shape, parts.path + query) as (carrier, _):
            await carrier.start()
            await calls.until(e.SessionCreated)


def read_answer(name: str, given: httpx.Response) -> tuple[str, dict[str, str]]:
    """Return the URL and the parameters of a stream."""
    if name == "vonage":
        assert given.headers["content-type"] == "application/json"
        (endpoint,) = given.json()[0]["endpoint"]
        assert endpoint["content-type"] == "audio/l16;rate=16000"
        return endpoint["uri"], endpoint["headers"]
    assert given.headers["content-type"].startswith("application/xml")
    document = ElementTree.fromstring(given.content)  # noqa: S314 (our own)
    assert document.tag == "Response"
    if name == "plivo":
        (stream,) = document
        assert stream.attrib["bidirectional"] == stream.attrib["keepCallAlive"] == "true"
        address = stream.text or ""
    else:
        assert [one.tag for one in document] == ["Connect"]
        (stream,) = document[0]
        address = stream.attrib["url"]
    assert stream.tag == "Stream"
    if name == "telnyx":
        assert stream.attrib["bidirectionalMode"] == "rtp"
    named = {one.attrib["name"]: one.attrib["value"] for one in stream}
    return address, {**named, **dict(httpx.QueryParams(urlsplit(address).query))}


@pytest.mark.parametrize("tables", [{"furnished": False}, {"limits": {"conversations": 1}}])
async def test_where_all_places_are_taken_a_caller_hears_that_it_is_busy(site: Site, tables: Any) -> None:
    async with site(simulated("Yes."), **tables) as url, asking(url) as client, AsyncExitStack() as stack:
        if "limits" in tables:
            await hear(await stack.enter_async_context(calling(url)), "session.created")
        for name, verb in (
            ("twilio", "Reject"),
            ("signalwire", "Reject"),
            ("telnyx", "Reject"),
            ("plivo", "Hangup"),
        ):
            given = await client.post(f"/{name}/voice", **form(CallSid="CA1"))
            (refusal,) = ElementTree.fromstring(given.content)  # noqa: S314 (our own)
            assert (refusal.tag, refusal.attrib) == (verb, {"reason": "busy"})
        (action,) = (await client.get("/vonage/voice")).json()
        assert action["action"] == "talk"
        assert "busy" in action["text"]


async def test_behind_a_proxy_the_address_is_that_of_the_settings(site: Site) -> None:
    signed = {**HOST, "x-twilio-signature": sign(f"{PUBLIC}/twilio/voice", CallSid="CA1")}
    async with site(twilio_token="12345", **PUBLIC_SITE) as url, asking(url) as client:
        asked = form(CallSid="CA1")
        given = await client.post(
            "/twilio/voice", content=asked["content"], headers={**asked["headers"], **signed}
        )
        stream, _ = read_answer("twilio", given)
        assert stream.startswith("wss://voice.example.org/twilio/st-")


# who may


def sign(url: str, token: str = "12345", **fields: str) -> str:
    signed = url + "".join(name + value for name, value in sorted(fields.items()))
    return b64encode(digest(token.encode(), signed.encode(), sha1)).decode()


async def status(url: str, path: str, **headers: str) -> int:
    try:
        async with connect(door(url, "", path), additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize(
    "tables", [{"server": {"hosts": ("voice.example.org",)}}, PUBLIC_SITE, {"keys": "sesame"}]
)
async def test_without_a_secret_the_way_in_from_outside_is_closed_and_says_what_to_set(
    site: Site, tables: Mapping[str, Any]
) -> None:
    async with site(**tables) as url, asking(url) as client:
        for name, variable in (("twilio", "TWILIO_TOKEN"), ("telnyx", "TELNYX_PUBLIC_KEY")):
            refused = await client.post(f"/{name}/voice", **form(CallSid="CA1"))
            told = error(refused, 401)
            assert told["code"] == "carrier_not_configured"
            assert f"VIVAVOCE_{variable}=" in told["message"]
            assert await status(url, f"/{name}") == 401


async def test_a_program_of_this_machine_needs_no_secret_where_nobody_else_comes_in(site: Site) -> None:
    async with site() as url, asking(url) as client:
        assert (await client.post("/twilio/voice", **form(CallSid="CA1"))).status_code == 200
        assert await status(url, "/twilio") == 101
        assert (await client.post("/twilio/voice", headers=HOST)).status_code == 421


async def test_only_what_is_signed_comes_in(site: Site) -> None:
    async with site(twilio_token="old,12345", **PUBLIC_SITE) as url, asking(url) as client:
        asked = form(CallSid="CA1")

        async def ask(signature: str, path: str = "/twilio/voice", **more: Any) -> httpx.Response:
            headers = {**asked["headers"], **HOST, "x-twilio-signature": signature}
            return await client.post(path, **{"content": asked["content"], **more, "headers": headers})

        valid = sign(f"{PUBLIC}/twilio/voice", CallSid="CA1")
        assert (await ask(valid)).status_code == 200
        assert (await ask(sign(f"{PUBLIC}/twilio/voice", "old", CallSid="CA1"))).status_code == 200
        for refused in (
            await ask(""),
            await ask("x" * 28),
            await ask(valid, content=b"CallSid=CA2"),
            await ask(valid, "/twilio/voice?agent=fraud"),
            await ask(valid, "/signalwire/voice"),
            await ask(sign(f"{url}/twilio/voice", CallSid="CA1")),
        ):
            assert refused.status_code == 401
        assert "VIVAVOCE_TWILIO_TOKEN" in error(await ask(""), 401)["message"]
        assert "12345" not in (await ask("")).text
        for path in ("/v1/models", "/v1/chat/completions", "/exotel", "/asterisk"):
            assert (await ask(sign(f"{PUBLIC}{path}", CallSid="CA1"), path)).status_code == 401, "nothing else"
        assert (await ask("", content=bytes(70_000))).status_code == 413


async def test_a_websocket_is_signed_or_has_a_ticket_or_a_key(site: Site) -> None:
    signature = sign("wss://voice.example.org/twilio")
    async with site(twilio_token="12345", **PUBLIC_SITE) as url:
        assert await status(url, "/twilio", **{"X-Twilio-Signature": signature}) == 101
        assert (
            await status(url, "/twilio", **{"X-Twilio-Signature": sign("wss://voice.example.org/twilio/")})
            == 401
        )
        assert (
            await status(url, "/twilio/", **{"X-Twilio-Signature": sign("wss://voice.example.org/twilio/")})
            == 101
        )
        assert await status(url, "/twilio") == 401
        assert await status(url, "/twilio/st-99999999999-00") == 401
        assert await status(url, "/twilio?key=sesame") == 101
        assert await status(url, "/exotel") == 401
        assert await status(url, "/exotel?key=sesame") == 101
        basic = b64encode(b"exotel:sesame").decode()
        assert await status(url, "/exotel", Authorization=f"Basic {basic}") == 101
        assert await status(url, "/exotel", Authorization="Basic %%%") == 401
        assert (
            await status(url, "/exotel", **{"X-Twilio-Signature": sign("wss://voice.example.org/exotel")})
            == 401
        )
        assert (
            await status(url, "/twilio", Origin="https://stranger.example", **{"X-Twilio-Signature": signature})
            == 403
        )


async def test_a_carrier_is_told_that_the_models_are_loading(site: Site) -> None:
    async with site(furnished=False) as url:
        assert await status(url, "/twilio") == 503


async def test_what_is_no_websocket_is_told_so(site: Site) -> None:
    async with site() as url, asking(url) as client:
        assert (await client.get("/plivo")).status_code == 426


def test_a_ticket_is_valid_for_one_path_and_for_a_while() -> None:
    async def test() -> None:
        time = [1000]
        access = CarrierAccess(None, {}, now=lambda: time[0])  # type: ignore[arg-type]
        ticket = access.ticket("/plivo")
        assert access.is_valid(ticket, "/plivo")
        assert not access.is_valid(ticket, "/twilio")
        assert not access.is_valid(ticket.replace("1120", "9999"), "/plivo")
        assert not access.is_valid(ticket[:-1], "/plivo")
        for broken in ("st-", "st--", "st-²-x", "st-x-y", f"st-{'9' * 5000}-x", "st-1120-ä"):
            assert not access.is_valid(broken, "/plivo")
        time[0] = 1121
        assert not access.is_valid(ticket, "/plivo")
        other = CarrierAccess(None, {}, now=lambda: 1000)  # type: ignore[arg-type]
        assert not other.is_valid(ticket, "/plivo"), "of another server"

    anyio.run(test, backend_options={"loop_factory": JumpingClock})


async def test_vonage_is_known_by_its_token(site: Site) -> None:
    body = b'{"from": "15550100", "to": "15550199", "uuid": "C1"}'
    async with site(vonage_secret="secret", **PUBLIC_SITE) as url, asking(url) as client:
        token = jwt(iat=unix_now(), payload_hash=sha256(body).hexdigest())
        headers = {**HOST, "authorization": f"Bearer {token}", "content-type": "application/json"}
        given = await client.post("/vonage/voice", content=body, headers=headers)
        assert given.status_code == 200
        uri, parameters = read_answer("vonage", given)
        assert uri.startswith("wss://voice.example.org/vonage/st-")
        assert parameters == {"from": "15550100", "to": "15550199", "uuid": "C1"}
        assert (await client.post("/vonage/voice", content=body + b" ", headers=headers)).status_code == 401


async def test_telnyx_and_plivo_are_known_by_their_signatures(site: Site) -> None:
    private = Ed25519PrivateKey.generate()
    public = b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    asked = form(From="+15550100")
    body, now = asked["content"], str(unix_now())
    telnyx = {
        "telnyx-timestamp": now,
        "telnyx-signature-ed25519": b64encode(private.sign(now.encode() + b"|" + body)).decode(),
    }
    signed = f"{PUBLIC}/plivo/voice?From+15550100.17"
    plivo = {
        "x-plivo-signature-v3-nonce": "17",
        "x-plivo-signature-v3": b64encode(digest(b"token", signed.encode(), "sha256")).decode(),
    }
    async with site(telnyx_public_key=public, plivo_token="token", **PUBLIC_SITE) as url, asking(url) as client:
        for name, signature in (("telnyx", telnyx), ("plivo", plivo)):
            headers = {**asked["headers"], **HOST, **signature}
            given = await client.post(f"/{name}/voice", content=body, headers=headers)
            assert given.status_code == 200
            stream, parameters = read_answer(name, given)
            assert stream.startswith(f"wss://voice.example.org/{name}/st-")
            assert parameters["from"] == "+15550100"
            refused = await client.post(f"/{name}/voice", content=body + b"1", headers=headers)
            assert error(refused, 401)["code"] == "invalid_signature"


def test_a_public_address_needs_a_key_since_everything_is_there() -> None:
    with pytest.raises(ValidationError, match=r"public_url .*VIVAVOCE_KEYS"):
        Config.model_validate({"server": {"public_url": PUBLIC}})


async def test_the_address_for_a_carrier_is_printed() -> None:
    secrets = {"twilio_token": "12345", "vonage_secret": "secret"}
    config = Config.model_validate({**SCRIPTED, **secrets, "server": {"public_url": PUBLIC}, "keys": "sesame"})
    async with serving_telephones(Web(Runtime(config))) as sentences:
        assert sentences == [f"Calls of {name}: {PUBLIC}/{name}/voice." for name in ("twilio", "vonage")]
