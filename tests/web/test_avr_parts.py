"""The parts of this server in a foreign Agent Voice Response: ASR, STT, LLM and TTS, and control of calls."""

import json
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect

from vivavoce.config.schema import Config
from vivavoce.errors import ProviderError
from vivavoce.runtime import Runtime
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.transports.telephony.avr import AvrServer
from vivavoce.transports.telephony.peers import may_call_from
from vivavoce.web.app import Web
from vivavoce.web.endpoints.avr_parts import AvrParts
from vivavoce.web.server import listen, serving_application

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SPOKEN = array("h", [1000] * 4800).tobytes()
Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def serving(*replies: Any) -> AsyncIterator[httpx.AsyncClient]:
        slots = {role: {"provider": "scripted"} for role in ("turn", "transcriber", "chat", "synthesizer")}
        runtime = Runtime(Config(**slots))  # type: ignore[arg-type]
        simulation = Simulation(replies or ["On the table."], chat_delay=0, transcriber_delay=0, word_delay=0)
        simulation.caller.utterances = [CallerSays(0, "Where is the lamp?", 0.6)]
        await runtime.use_providers(simulation.engine.providers)  # type: ignore[attr-defined]
        web = Web(runtime)
        application = AvrServer(web.telephone, may_call_from(()), None, AvrParts(web))
        listening = listen("127.0.0.1", 0)
        async with (
            serving_application(application, listening, runtime.config.limits, web.telephone.hang_up) as url,
            httpx.AsyncClient(base_url=url, timeout=20) as client,
        ):
            yield client

    return serving


async def in_real_time(audio: bytes) -> AsyncIterator[bytes]:
    begin = anyio.current_time()
    for at in range(0, len(audio), 321):
        await anyio.sleep_until(begin + at / 16_000)
        yield audio[at : at + 321]


async def test_audio_that_goes_on_is_transcribed_turn_by_turn(serve: Serve) -> None:
    async with serve() as client:
        response = await client.post("/speech-to-text-stream", content=in_real_time(SPOKEN + bytes(32_000)))
    assert response.text == "Where is the lamp?"
    assert response.headers["content-type"] == "text/event-stream"


async def test_an_utterance_is_transcribed_at_the_rate_that_is_named(serve: Serve) -> None:
    async with serve() as client:
        for rate in (8000, 16_000):
            audio = array("h", [1000] * (rate * 6 // 10)).tobytes() + bytes(rate)
            headers = {"x-sample-rate": str(rate), "content-type": "application/octet-stream"}
            response = await client.post("/transcribe", content=audio, headers=headers)
            assert response.json() == {"transcription": "Where is the lamp?"}
        refused = await client.post("/transcribe", content=SPOKEN, headers={"x-sample-rate": "12"})
        assert refused.status_code == 400
        assert "8000, 16000" in refused.json()["message"]


async def test_messages_are_answered_by_objects_of_a_sentence_each(serve: Serve) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is the lamp?"}]
    async with serve("On the table. Next to the book") as client:
        response = await client.post("/prompt-stream", json={"uuid": "u", "messages": messages})
        decoder, text, found = json.JSONDecoder(), response.text, []
        while text:
            one, end = decoder.raw_decode(text)
            found.append(one)
            text = text[end:]
        assert [one["type"] for one in found] == ["text", "text"]
        assert "".join(one["content"] for one in found).split() == "On the table. Next to the book".split()
        refused = await client.post("/prompt-stream", json={"uuid": "u"})
        assert (refused.status_code, "messages" in refused.json()["message"]) == (400, True)


async def test_a_model_that_fails_is_an_error_of_the_server(serve: Serve) -> None:
    async with serve(ProviderError("chat", "secret details")) as client:
        messages = [{"role": "user", "content": "Where is the lamp?"}]
        response = await client.post("/prompt-stream", json={"messages": messages})
    assert response.status_code == 500
    assert "secret" not in response.text


async def test_a_text_becomes_telephone_audio(serve: Serve) -> None:
    async with serve() as client:
        response = await client.post("/text-to-speech-stream", json={"text": "The lamp is on the table."})
        assert response.headers["content-type"] == "audio/l16"
        assert len(response.content) / 16_000 == pytest.approx(25 * 0.06, abs=0.2)
        for body in ({}, {"text": " "}, {"text": "..."}):
            refused = await client.post("/text-to-speech-stream", json=body)
            assert refused.status_code == 400
            assert "text" in refused.json()["message"]


async def test_a_call_is_hung_up_and_transferred_by_its_uuid(serve: Serve) -> None:
    async with serve() as client, connect(str(client.base_url).replace("http", "ws", 1)) as call:
        await call.send(json.dumps({"type": "init", "uuid": "call-1"}))
        await call.send(json.dumps({"type": "audio", "audio": "AAAA"}))
        await anyio.sleep(1)
        announced = await client.post("/call", json={"uuid": "call-3", "payload": {"from": "2000"}})
        assert announced.status_code == 200
        assert (await client.post("/call", json={"uuid": " "})).status_code == 400
        lost = await client.post("/hangup", json={"uuid": "call-2"})
        assert (lost.status_code, lost.json()) == (404, {"message": "Call with UUID call-2 not found"})
        failed = await client.post("/transfer", json={"uuid": "call-1", "exten": "200", "context": "desk"})
        assert failed.status_code == 400
        assert "cannot transfer" in failed.json()["message"]
        done = await client.post("/hangup", json={"uuid": "call-1"})
        assert done.status_code == 200
        with anyio.fail_after(5):
            await call.wait_closed()
