import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import av
import httpx
import pytest
from anyio.abc import SocketStream
from starlette.routing import Route, WebSocketRoute

from vivavoce.config.schema import Config
from vivavoce.errors import ProviderError
from vivavoce.runtime import Runtime
from vivavoce.testing.simulation import Simulation, Unresponsive
from vivavoce.web.app import Web
from web.asking import asking, error, say, stage_that_hears, transcribe, wav

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

Site = Callable[..., AbstractAsyncContextManager[str]]
RECORDINGS = Path(__file__).parent.parent / "recordings"
REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference"


# recordings


async def test_a_recording_is_written_down(site: Site) -> None:
    async with site(stage_that_hears("How old is the bridge?")) as url, asking(url) as client:
        recording = wav((0, 0.5), (1000, 1), (0, 0.5))
        answer = (await transcribe(client, recording)).json()
        assert answer == {"text": "How old is the bridge?", "usage": {"type": "duration", "seconds": 2.0}}
        assert (await transcribe(client, recording, response_format="text")).text == "How old is the bridge?\n"
        verbose = (await transcribe(client, recording, response_format="verbose_json", language="en")).json()
        assert (verbose["text"], verbose["duration"]) == ("How old is the bridge?", 2.0)
        assert verbose["language"] == "en"


async def test_a_recording_may_have_any_rate(site: Site) -> None:
    async with site(stage_that_hears("Yes.")) as url, asking(url) as client:
        recording = wav((0, 0.5), (1000, 1), (0, 0.5), rate=44_100)
        assert (await transcribe(client, recording)).json()["text"] == "Yes."


@pytest.mark.parametrize(
    ("recording", "code"),
    [
        (b"", "empty_recording"),
        (b"This is a letter, not a recording.", "invalid_audio"),
        (bytes(5000), "invalid_audio"),
        (wav(), "empty_recording"),
        (wav((1000, 1))[:30], "invalid_audio"),
        (wav((0, 2)), "no_speech"),
        ((RECORDINGS / "README.md").read_bytes(), "invalid_audio"),
    ],
    ids=["no bytes", "text", "zeros", "no sound", "torn", "silence", "markdown"],
)
async def test_what_is_no_recording_of_speech_is_refused(site: Site, recording: bytes, code: str) -> None:
    async with site() as url, asking(url) as client:
        found = error(await transcribe(client, recording), 400)
        assert (found["code"], found["param"], found["type"]) == (code, "file", "invalid_request_error")


async def test_a_recording_too_large_is_refused(site: Site) -> None:
    async with site(limits={"upload_bytes": 10_000}) as url, asking(url) as client:
        assert "limits.upload_bytes" in error(await transcribe(client, bytes(10_001)), 413)["message"]
        assert "limits.upload_bytes" in error(await transcribe(client, bytes(200_000)), 413)["message"]


async def test_a_body_that_never_ends_is_refused(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield bytes(10_000)

    async with site(limits={"upload_bytes": 10_000}) as url, asking(url) as client:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = await client.post("/v1/audio/transcriptions", content=endless(), headers=headers)
        assert "limits.upload_bytes" in error(answer, 413)["message"]


async def test_a_recording_too_long_is_refused(site: Site) -> None:
    async with site(limits={"upload_seconds": 1}) as url, asking(url) as client:
        found = error(await transcribe(client, wav((1000, 1.5))), 413)
        assert found["code"] == "recording_too_long"
        assert "limits.upload_seconds" in found["message"]


async def test_a_form_without_a_recording_is_refused(site: Site) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.post("/v1/audio/transcriptions", files={"model": (None, "whisper-1")})
        assert error(answer, 400)["param"] == "file"
        answer = await client.post("/v1/audio/transcriptions", json={"file": "it.wav"})
        assert error(answer, 415)["code"] == "unsupported_media_type"
        found = error(await transcribe(client, wav((1000, 1)), response_format="docx"), 400)
        assert found["param"] == "response_format"


async def test_a_transcriber_that_fails_is_the_worlds_fault(site: Site) -> None:
    broken = Simulation(transcriber_failure=ProviderError("scribe", "is out of ink", retryable=True))
    async with site(broken) as url, asking(url) as client:
        answer = await transcribe(client, wav((1000, 1)))
        assert "out of ink" in error(answer, 502)["message"]
        assert answer.headers["retry-after"]


async def test_one_request_more_than_there_is_room_for_is_refused(site: Site) -> None:
    async with (
        site(
            Simulation(transcriber_failure=Unresponsive()),
            limits={"http_requests": 1, "transcription_seconds": 0.5},
        ) as url,
        asking(url) as client,
        anyio.create_task_group() as tasks,
    ):
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await transcribe(client, wav((1000, 1))))

        tasks.start_soon(ask)
        tasks.start_soon(ask)
    assert sorted(answer.status_code for answer in answers) == [502, 503]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert "limits.http_requests" in error(refused, 503)["message"]


# texts


@pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "opus", "flac", "aac"])
async def test_a_text_is_read_out_in_the_format_asked_for(site: Site, name: str) -> None:
    async with site(Simulation(synthesizer_delay=0)) as url, asking(url) as client:
        answer = await say(client, "Hello there. How are you?", response_format=name)
        assert answer.status_code == 200
        if name == "pcm":
            seconds = len(answer.content) / 2 / 24_000
        else:
            with av.open(io.BytesIO(answer.content)) as file:
                seconds = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
        assert seconds == pytest.approx(1.9, abs=0.3)


async def test_speech_comes_as_events_too(site: Site) -> None:
    async with site(Simulation(synthesizer_delay=0)) as url, asking(url) as client:
        plain = await say(client, response_format="wav")
        answer = await say(client, response_format="wav", stream_format="sse")
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert answer.headers["content-type"] == "text/event-stream"
    assert events[-1] == {"type": "speech.audio.done"}
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == plain.content


async def test_speech_is_mp3_unless_said_otherwise(site: Site) -> None:
    async with site(Simulation(synthesizer_delay=0)) as url, asking(url) as client:
        assert (await say(client)).headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "  \n"}, "input"),
        ({"input": "a" * 5000}, "input"),
        ({"speed": 9}, "speed"),
        ({"input": "… *** 🙂"}, "input"),
        ({"response_format": "midi"}, "response_format"),
        ({"stream_format": "text"}, "stream_format"),
        ({"instructions": "Whisper."}, "instructions"),
        ({"pitch": 2}, "pitch"),
        ({"voice": 7}, "voice"),
        ({"input": 7}, "input"),
    ],
)
async def test_a_wish_that_cannot_be_met_is_refused(site: Site, fields: dict[str, Any], param: str) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.post("/v1/audio/speech", json={"input": "Hello.", **fields})
        assert error(answer, 400)["param"] == param


async def test_a_body_that_is_not_json_is_refused(site: Site) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.post(
            "/v1/audio/speech", content=b"{", headers={"content-type": "application/json"}
        )
        assert error(answer, 400)
        assert error(await client.post("/v1/audio/speech", content=b"Hello."), 415)


async def test_a_synthesizer_that_fails_is_answered_with_a_status(site: Site) -> None:
    simulation = Simulation(synthesizer_delay=0)
    async with site(simulation) as url, asking(url) as client:
        simulation.engine.providers.synthesizer.failure = ProviderError("throat", "is sore")  # type: ignore[attr-defined]
        assert "is sore" in error(await say(client), 502)["message"]


async def test_the_sound_takes_a_place_until_it_has_all_been_sent(site: Site) -> None:
    async with site(Simulation(synthesizer_delay=0), limits={"http_requests": 1}) as url, asking(url) as client:
        wish = {"input": "Hello there. " * 300, "response_format": "wav"}
        async with client.stream("POST", "/v1/audio/speech", json=wish) as answer:
            assert answer.status_code == 200
            assert error(await say(client), 503)["code"] == "server_busy"
        with anyio.fail_after(30):  # who leaves gives it back
            while (await say(client)).status_code == 503:
                continue


async def test_a_synthesizer_that_fails_in_the_middle_breaks_the_answer_off(site: Site) -> None:
    simulation = Simulation(synthesizer_delay=0)
    async with site(simulation) as url, asking(url) as client:
        throat: Any = simulation.engine.providers.synthesizer
        wish = {"input": "Hello there. " * 300, "response_format": "wav"}
        async with client.stream("POST", "/v1/audio/speech", json=wish) as answer:
            assert answer.status_code == 200
            throat.failure = ProviderError("throat", "is sore")
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()


async def test_a_speaker_takes_breath_between_two_sentences(site: Site) -> None:
    async with site(Simulation(synthesizer_delay=0)) as url, asking(url) as client:
        whole = (await say(client, "Hello there. Hello there.", response_format="pcm")).content
        part = (await say(client, "Hello there.", response_format="pcm")).content
        breath = whole[len(part) : -len(part)]
        assert (len(breath) / 2 / 24_000, set(breath)) == (0.28, {0})


async def test_a_text_is_said_as_people_read_it(site: Site) -> None:
    simulation = Simulation(synthesizer_delay=0)
    async with site(simulation) as url, asking(url) as client:
        await say(client, "It costs **$5**.", voice={"id": "alloy"})
        assert simulation.engine.providers.synthesizer.texts[-1] == "It costs five dollars."  # type: ignore[attr-defined]


# bodies that mean no good


@asynccontextmanager
async def beginning(url: str, path: str, kind: str) -> AsyncIterator[SocketStream]:
    """Post one byte of nine."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 9\r\n\r\n-"
    async with await anyio.connect_tcp("127.0.0.1", int(url.rpartition(":")[2])) as stream:
        await stream.send(head.encode())
        yield stream


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/audio/speech", "application/json"),
        ("/v1/chat/completions", "application/json"),
        ("/v1/realtime/client_secrets", "application/json"),
        ("/v1/audio/transcriptions", "multipart/form-data; boundary=x"),
        ("/v1/realtime/calls", "multipart/form-data; boundary=x"),
    ],
)
async def test_a_body_that_does_not_come_gives_its_place_back(site: Site, path: str, kind: str) -> None:
    async with site(limits={"http_requests": 1, "body_seconds": 0.2}) as url, asking(url) as client:
        async with beginning(url, path, kind) as stream:
            with anyio.fail_after(30):
                answer = await stream.receive()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"limits.body_seconds" in answer
        assert (await say(client)).status_code == 200


async def test_who_leaves_in_the_middle_of_their_body_is_no_error_of_ours(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(limits={"http_requests": 1}) as url, asking(url) as client:
        async with beginning(url, "/v1/chat/completions", "application/json"):
            with anyio.fail_after(30):
                while (await say(client)).status_code != 503:
                    continue
        with anyio.fail_after(30):
            while (await say(client)).status_code == 503:
                continue
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# the rest


async def test_readiness_says_how_far_the_models_are(site: Site) -> None:
    async with site(furnished=False) as url, asking(url) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["models"]["chat"] == "waiting"
        assert (await client.get("/healthz")).status_code == 200
        assert error(await transcribe(client, wav((1000, 1))), 503)["code"] == "not_ready"
    async with site() as url, asking(url) as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_the_status_says_who_speaks(site: Site) -> None:
    async with site() as url, asking(url) as client:
        status = (await client.get("/v1/status")).json()
        assert status["ready"]
        assert "script" in status["description"]
        assert status["model"] == "a script, 100 ms, then 50 words a second"
        assert (status["voices"], status["languages"], status["webrtc"], status["history"]) == (
            None,
            None,
            True,
            False,
        )
        assert status["limits"]["upload_bytes"] == 25 * 1024 * 1024


async def test_whoever_has_no_key_is_not_told_what_answers(site: Site) -> None:
    async with site(keys="sesame") as url, asking(url) as client:
        assert (await client.get("/v1/status")).json() == {"ready": True, "key_needed": True}
        known = (await client.get("/v1/status", headers={"authorization": "Bearer sesame"})).json()
        assert not known["key_needed"]
        assert known["model"]


async def test_models_are_listed_as_openai_lists_them(site: Site) -> None:
    async with site() as url, asking(url) as client:
        answer = (await client.get("/v1/models")).json()
        assert answer["object"] == "list"
        assert answer["data"][0] == {"id": "vivavoce", "object": "model", "created": 0, "owned_by": "vivavoce"}


async def test_the_page_runs_no_script_but_its_own(site: Site) -> None:
    async with site() as url, asking(url) as client:
        page = await client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert (await client.get("/static/worklet.js")).headers["x-content-type-options"] == "nosniff"


async def test_what_is_not_there_is_answered_in_openais_shape(site: Site) -> None:
    async with site() as url, asking(url) as client:
        assert error(await client.get("/v1/nothing"), 404)
        assert error(await client.delete("/v1/models"), 405)
        assert error(await client.get("/static/../../config.py"), 404)


async def test_a_strange_name_does_not_lead_here(site: Site) -> None:
    async with site(server={"hosts": ("voice.example",)}) as url, asking(url) as client:
        for name in ("rebound.example", "localhost.example", ""):
            found = error(await client.get("/", headers={"host": name}), 421)
            assert found["code"] == "unknown_host"
        for name in ("localhost:8765", "127.0.0.1", "[::1]:1", "voice.example"):
            assert (await client.get("/", headers={"host": name})).status_code == 200


async def test_pages_of_strangers_may_not_post(site: Site) -> None:
    async with site() as url, asking(url) as client:
        answer = await client.post("/v1/audio/speech", json={}, headers={"origin": "https://evil.example"})
        assert error(answer, 403)["code"] == "origin_not_allowed"


async def test_with_keys_only_the_page_and_its_state_are_open(site: Site) -> None:
    async with site(keys="sesame") as url:
        async with asking(url) as client:
            for path in ("/", "/healthz", "/readyz", "/v1/status", "/static/worklet.js"):
                assert (await client.get(path)).status_code == 200
            assert error(await client.get("/v1/models"), 401)["code"] == "invalid_api_key"
            assert error(await say(client), 401)
        async with asking(url, headers={"authorization": "Bearer sesame"}) as client:
            assert (await client.get("/v1/models")).status_code == 200


async def test_every_endpoint_is_on_its_page() -> None:
    page = (REFERENCE / "endpoints.md").read_text(encoding="utf-8")
    slots = {role: {"provider": "scripted"} for role in ("turn", "transcriber", "chat", "synthesizer")}
    web = Web(Runtime(Config(**slots)))  # type: ignore[arg-type]
    routes = [route for route in web.application.routes if isinstance(route, Route | WebSocketRoute)]
    paths = [route.path.replace(":path", "") for route in routes]
    assert [path for path in paths if f"`{path}`" not in page and f" {path}`" not in page] == []
