"""`viva call` over real connections."""

import json
import re
import wave
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from cli.conftest import Done, Viva
from client.telephone.answering import WebSocketServer, tone
from client.telephone.test_peers import serve_frames, serve_http, slin
from vivavoce.client.telephone.codecs import SLIN16, ULAW
from vivavoce.client.telephone.media_streams import twilio_signature
from vivavoce.client.telephone.peers import codec_of, peer_at
from vivavoce.errors import ConfigError

pytestmark = pytest.mark.anyio
Recording = Callable[..., Path]


def avr_server(end: Any) -> WebSocketServer:
    def audio_of(message: Any) -> bytes | None:
        return b64decode(message["audio"]) if message["type"] == "audio" else None

    audio = {"type": "audio", "audio": b64encode(tone(2)).decode()}
    heard = {"type": "transcript", "role": "user", "text": "How old is it?"}
    return WebSocketServer(end, audio_of, lambda: [heard, audio], lambda: [{"type": "interruption"}])


async def over_websocket(viva: Viva, *arguments: str) -> tuple[Done, WebSocketServer]:
    served = list[WebSocketServer]()

    async def serve(connection: ServerConnection) -> None:
        served.append(avr_server(connection))
        await served[0].serve()

    async with listen(serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        done = await viva("call", f"ws://127.0.0.1:{port}/?uniqueid=7", "--peer", "avr", *arguments)
    return done, served[0]


async def over_tcp(
    viva: Viva, scheme: str, serve: Callable[[SocketStream], Awaitable[None]], *arguments: str
) -> Done:
    async def serve_one(stream: SocketStream) -> None:
        async with stream:
            await serve(stream)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as server,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(server.serve, serve_one)
        port = server.extra(SocketAttribute.local_port)  # noqa: S610  (of a listener, not of a database)
        done = await viva("call", f"{scheme}://127.0.0.1:{port}", *arguments)
        tasks.cancel_scope.cancel()
    return done


@pytest.fixture
def question(recording: Recording) -> str:
    return str(recording((0, 0.2), (8000, 0.6), (0, 0.4)))


@pytest.mark.real_time
async def test_a_call_is_timed_and_saved(viva: Viva, question: str, tmp_path: Path) -> None:
    done, server = await over_websocket(
        viva, "--play", question, "--pause", "0.3", "--save", "heard.wav", "--stereo"
    )
    calling, saved = done.stderr.decode().splitlines()
    assert (done.returncode, saved) == (0, "What was heard is in heard.wav.")
    assert re.fullmatch(r"Calling ws://127\.0\.0\.1:\d+/ as avr, with slin\.", calling)
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "You:     How old is it?"
    assert lines[2].split() == ["said", "first", "sound", "answer", "holes", "quiet"]
    name, latency, unit, *_ = lines[3].split()
    assert (name, unit) == ("question.wav", "s")
    assert 0.29 < float(latency) < 0.8
    assert [message["type"] for _, message in server.received] == ["init"]
    with wave.open(str(tmp_path / "heard.wav")) as heard:
        assert (heard.getnchannels(), heard.getframerate()) == (2, 8000)
        samples = memoryview(heard.readframes(heard.getnframes())).cast("h")
    left, right = list(samples[::2]), list(samples[1::2])
    said, answered = (next(at for at, one in enumerate(side) if one > 1000) / 8000 for side in (left, right))
    assert answered - said - 0.6 == pytest.approx(float(latency), abs=0.03)


@pytest.mark.real_time
async def test_an_interruption_is_timed_for_programs(viva: Viva, question: str) -> None:
    done, _ = await over_websocket(
        viva, "--play", question, "--interrupt", question, "--after", "0.5", "--pause", "0.3", "--json", "-q"
    )
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(done.stdout)
    asked, interrupted = told["turns"]
    assert asked["said"]["interrupts"] is False
    assert asked["holes"] == []
    assert 0 < interrupted["quiet"] < 0.3
    assert (told["problems"], told["hung_up"], len(told["transcripts"])) == ({}, False, 2)


@pytest.mark.real_time
async def test_avr_by_http_is_guessed_from_the_scheme(viva: Viva, question: str) -> None:
    seen = list[Any]()
    serve = partial(serve_http, answer=[tone(1)], seen=seen)
    done = await over_tcp(viva, "http", serve, "--play", question, "--pause", "0.3")
    assert done.returncode == 0, done.stderr
    assert seen[0][:2] == (b"POST", b"/speech-to-speech-stream")


@pytest.mark.real_time
async def test_audiosocket_is_guessed_from_the_scheme(viva: Viva, question: str) -> None:
    seen = list[tuple[int, bytes]]()
    serve = partial(serve_frames, seen=seen, answer=slin)
    done = await over_tcp(viva, "tcp", serve, "--play", question, "--pause", "0.3", "--codec", "ulaw")
    assert done.returncode == 0, done.stderr
    assert UUID(bytes=seen[0][1])
    assert len(seen[1][1]) == 160


@pytest.mark.real_time
async def test_no_answer_is_a_failure(viva: Viva, question: str) -> None:
    seen = list[tuple[int, bytes]]()
    serve = partial(serve_frames, seen=seen, answer=None)
    done = await over_tcp(viva, "tcp", serve, "--play", question, "--pause", "0.1", "--wait", "0.5")
    assert done.returncode == 1
    assert b"no answer" in done.stdout


@pytest.mark.real_time
async def test_what_cannot_be_is_said_in_a_sentence(viva: Viva, question: str, recording: Recording) -> None:
    silence = str(recording((0, 1), name="silence.wav"))
    for arguments, code, sentence in (
        (["ws://127.0.0.1:9/twilio", "--play", question], 1, "127.0.0.1:9: cannot be reached"),
        (["tcp://127.0.0.1:9", "--play", question], 1, "127.0.0.1:9: cannot be reached"),
        (["ws://127.0.0.1:9/"], 2, "does not say who calls; add --peer, one of: avr,"),
        (["ws://exotel:secret@127.0.0.1:9/?key=secret"], 2, "ws://127.0.0.1:9/ does not say who calls"),
        (["http://exotel:secret@127.0.0.1:9/", "--play", question], 1, "127.0.0.1:9: cannot be reached"),
        (["tcp://127.0.0.1:9/sales"], 2, "'sales' is no UUID; write for example tcp://"),
        (["tcp://127.0.0.1:9", "--keys", "1x"], 2, "'X' is no key of a telephone;"),
        (["tcp://127.0.0.1:9", "--play", silence], 2, "Nobody can be heard in"),
        (["tcp://127.0.0.1:9", "--interrupt", question], 2, "There is no answer to interrupt; add --play"),
    ):
        done = await viva("call", *arguments, "-q")
        assert (done.returncode, done.stderr.count(b"\n")) == (code, 1), done.stderr
        assert sentence in done.stderr.decode()
        assert "secret" not in done.stderr.decode()


def test_the_peer_is_guessed_from_the_address() -> None:
    expected = {
        "http://127.0.0.1:6030": "avr-http",
        "ws://127.0.0.1:6030/?from=2000": "avr",
        "tcp://127.0.0.1": "audiosocket",
        "wss://voice.example.org/twilio": "twilio",
        "wss://voice.example.org/telephone/plivo": "plivo",
        "ws://127.0.0.1:8765/media/sales": "asterisk",
    }
    assert {url: peer_at(url, None)[0] for url in expected} == expected
    assert peer_at("http://127.0.0.1:80", "avr")[0] == "avr-http"


@pytest.mark.parametrize(
    ("url", "name", "sentence"),
    [
        ("ws://h/", "twillio", "did you mean 'twilio'"),
        ("ws://h/", "audiosocket", "The peer audiosocket calls tcp://, not ws://."),
        ("here", None, "is no address of a server; write for example"),
        ("ws://h:x/", None, "its port is no number"),
    ],
)
def test_addresses_that_no_peer_calls_are_refused(url: str, name: str | None, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        peer_at(url, name)


def test_a_peer_has_only_its_own_codecs() -> None:
    assert (codec_of("asterisk", None), codec_of("telnyx", "ulaw")) == (SLIN16, ULAW)
    with pytest.raises(ConfigError, match="The peer twilio has no codec 'slin'; there are: ulaw"):
        codec_of("twilio", "slin")


@pytest.mark.real_time
async def test_a_call_by_twilio_is_signed_for_the_public_address(viva: Viva, question: str) -> None:
    headers = list[str]()

    async def serve(connection: ServerConnection) -> None:
        headers.append(connection.request.headers["X-Twilio-Signature"] if connection.request else "")
        for _ in range(5):
            await connection.recv()

    async with listen(serve, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/twilio"
        signing = ["--key-env", "TOKEN", "--signed-url", "wss://voice.example.org/twilio"]
        done = await viva("call", url, "--play", question, *signing, TOKEN="12345")
    assert (done.returncode, headers) == (1, [twilio_signature("12345", "wss://voice.example.org/twilio")])
    assert b", and the server ended it." in done.stdout
