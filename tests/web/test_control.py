"""Calls steered by HTTP: OpenAI's own client, a real server, and a telephone of the test's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import httpx
import pytest
from openai import APIStatusError, AsyncOpenAI

from vivavoce.config.schema import Config
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.runtime import Runtime
from vivavoce.session.call import Caller
from vivavoce.session.line import Rejected
from vivavoce.session.ringing import IncomingCall
from vivavoce.testing.simulation import Simulation
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

JOBS = ("turn", "transcriber", "chat", "synthesizer")


@dataclass
class Telephone:
    """A way in that rings, and can hand a call over."""

    runtime: Runtime
    referred: list[str] = field(default_factory=list)
    ended: str = ""
    over: anyio.Event = field(default_factory=anyio.Event)
    ringing: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.caller = Caller("telephone", "+14155550123", refer=self._refer)

    async def _refer(self, target: str) -> None:
        if target.startswith("sip:nobody@"):
            raise ProviderError("telephone", "there is nobody at that address")
        self.referred.append(target)

    async def ring(self) -> None:
        self.ringing.set()
        try:
            async with self.runtime.incoming_calls.connect(IncomingCall(self.caller)) as line:
                async for event in line:
                    if isinstance(event, e.SessionCreated):
                        self.session = event.session
            self.ended = "hung up"
        except Rejected as rejected:
            self.ended = str(rejected.status)
        self.over.set()


@dataclass
class Scene:
    """A server, a client of OpenAI's that may steer, and a telephone that rings."""

    url: str
    client: AsyncOpenAI
    telephone: Telephone

    @property
    def call_id(self) -> str:
        return self.telephone.caller.id

    async def post(self, action: str, **wishes: object) -> tuple[int, str | None, str | None]:
        """Return status, code and param of a plain request's answer."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as client:
            answer = await client.post(f"/v1/realtime/calls/{action}", **wishes)  # type: ignore[arg-type]
        error = answer.json()["error"] if answer.content else {"code": None, "param": None}
        return answer.status_code, error["code"], error["param"]


@asynccontextmanager
async def a_scene() -> AsyncIterator[Scene]:
    runtime = Runtime(Config.model_validate({job: {"provider": "scripted"} for job in JOBS}))
    await runtime.use_providers(
        Simulation(chat_delay=0, transcriber_delay=0, synthesizer_delay=0).engine.providers
    )
    async with (
        serving(Web(runtime), listen("127.0.0.1", 0)) as url,
        AsyncOpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0) as client,
        anyio.create_task_group() as tasks,
    ):
        telephone = Telephone(runtime)
        tasks.start_soon(telephone.ring)
        await telephone.ringing.wait()
        with anyio.fail_after(20):
            yield Scene(url, client, telephone)
        tasks.cancel_scope.cancel()


async def test_openais_client_accepts_joins_and_ends_a_call() -> None:
    async with a_scene() as scene:
        calls = scene.client.realtime.calls
        await calls.accept(
            scene.call_id, type="realtime", model="gpt-realtime", instructions="You are a concierge."
        )
        async with scene.client.realtime.connect(call_id=scene.call_id) as joined:
            created = await joined.recv()
            assert created.type == "session.created"
            assert created.session.instructions == "You are a concierge."  # type: ignore[union-attr]
            await joined.session.update(session={"type": "realtime", "instructions": "Be brief."})
            assert (await joined.recv()).type == "session.updated"
            await calls.hangup(scene.call_id)
        await scene.telephone.over.wait()
        assert scene.telephone.ended == "hung up"


@pytest.mark.parametrize(("wish", "status"), [({}, "603"), ({"status_code": 486}, "486")])
async def test_openais_client_rejects_a_call(wish: dict[str, int], status: str) -> None:
    async with a_scene() as scene:
        await scene.client.realtime.calls.reject(scene.call_id, **wish)
        await scene.telephone.over.wait()
        assert scene.telephone.ended == status


async def test_openais_client_hands_a_call_over() -> None:
    async with a_scene() as scene:
        calls = scene.client.realtime.calls
        await calls.accept(scene.call_id, type="realtime")
        await calls.refer(scene.call_id, target_uri="tel:+14155550199")
        assert scene.telephone.referred == ["tel:+14155550199"]
        with pytest.raises(APIStatusError, match="nobody at that address") as caught:
            await calls.refer(scene.call_id, target_uri="sip:nobody@example.com")
        assert caught.value.status_code == 502


async def test_a_call_by_websocket_is_hung_up_and_cannot_be_handed_over() -> None:
    async with a_scene() as scene, scene.client.realtime.connect(model="m") as connection:
        created = await connection.recv()
        call_id = created.session.id  # type: ignore[union-attr]
        refer = await scene.post(f"{call_id}/refer", json={"target_uri": "tel:+14155550199"})
        assert refer == (400, "call_cannot_be_referred", None)
        await scene.client.realtime.calls.hangup(call_id)
        assert [event async for event in connection] == []
        assert connection._connection.close_code == 1000


async def test_an_accepted_call_neither_rings_nor_is_there_when_it_is_over() -> None:
    async with a_scene() as scene:
        assert await scene.post(f"{scene.call_id}/hangup") == (409, "call_not_accepted", None)
        assert await scene.post(f"{scene.call_id}/accept", json={"type": "realtime"}) == (200, None, None)
        assert await scene.post(f"{scene.call_id}/accept", json={"type": "realtime"}) == (
            409,
            "call_not_ringing",
            None,
        )
        assert await scene.post(f"{scene.call_id}/reject") == (409, "call_not_ringing", None)
        assert await scene.post(f"{scene.call_id}/hangup") == (200, None, None)
        await scene.telephone.over.wait()
        for action in ("accept", "reject", "refer", "hangup"):
            wish = {"accept": {"type": "realtime"}, "refer": {"target_uri": "tel:1"}}.get(action, {})
            assert await scene.post(f"{scene.call_id}/{action}", json=wish) == (404, "call_id_not_found", None)


@pytest.mark.parametrize(
    ("action", "wish", "code", "param"),
    [
        ("accept", {}, "missing_required_parameter", "session.type"),
        ("accept", {"type": "realtime", "colour": 1}, "unknown_parameter", "session.colour"),
        (
            "accept",
            {"type": "realtime", "audio": {"output": {"speed": 9}}},
            "invalid_value",
            "session.audio.output.speed",
        ),
        ("reject", {"status_code": 200}, "invalid_value", "status_code"),
        ("reject", {"status_code": "busy"}, "invalid_value", "status_code"),
        ("reject", [], "invalid_json", None),
    ],
)
async def test_what_is_wrong_is_named_and_the_call_rings_on(
    action: str, wish: object, code: str, param: str | None
) -> None:
    async with a_scene() as scene:
        assert await scene.post(f"{scene.call_id}/{action}", json=wish) == (400, code, param)
        assert await scene.post(f"{scene.call_id}/accept", json={"type": "realtime"}) == (200, None, None)


@pytest.mark.parametrize("target", ["", "+14155550199", "tel:", "sip:a@b\r\nX: y", "http://a", "sip:a@b>"])
async def test_nobody_is_handed_over_to_what_is_no_address(target: str) -> None:
    async with a_scene() as scene:
        await scene.post(f"{scene.call_id}/accept", json={"type": "realtime"})
        refused = await scene.post(f"{scene.call_id}/refer", json={"target_uri": target})
        assert refused == (400, "invalid_value", "target_uri")
        assert not scene.telephone.referred


async def test_before_the_models_are_loaded_no_call_is_there_to_steer() -> None:
    runtime = Runtime(Config.model_validate({job: {"provider": "scripted"} for job in JOBS}))
    async with (
        serving(Web(runtime), listen("127.0.0.1", 0)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        assert (await client.post("/v1/realtime/calls/rtc_1/hangup")).status_code == 503
