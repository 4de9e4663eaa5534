"""Calls by WebRTC as a server sees them: who is refused, who is lost, and that nothing is left behind."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import pytest
from aiortc import RTCIceTransport
from aiortc.exceptions import InvalidStateError
from websockets.asyncio.client import connect

from clients.phone import Phone, calling, has, only
from vivavoce.config.schema import Config
from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import AnySession
from vivavoce.runtime import Runtime
from vivavoce.session.line import Line
from vivavoce.testing.simulation import Simulation
from vivavoce.transports.webrtc.sdp import check_offer, max_message_size
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

CALLS = "/realtime/calls"
RETRIEVED = "conversation.item.retrieved"


@dataclass
class Watched:
    """An engine that counts its conversations, and says when none is left."""

    simulation: Simulation
    begun: int = 0
    held: int = 0
    quiet: anyio.Event = field(default_factory=anyio.Event)

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        self.begun, self.held = self.begun + 1, self.held + 1
        try:
            await self.simulation.engine.converse(line, session)
        finally:
            self.held -= 1
            if not self.held:
                self.quiet.set()
                self.quiet = anyio.Event()


@dataclass
class Site:
    url: str
    web: Web
    engine: Watched

    async def offer(self, body: str | bytes, kind: str = "application/sdp", **ways: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url) as http:
            return await http.post(CALLS, content=body, headers={"Content-Type": kind}, **ways)

    async def form(self, **parts: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url) as http:
            return await http.post(CALLS, files={name: (None, part) for name, part in parts.items()})


@asynccontextmanager
async def open_site(*, furnished: bool = True, **limits: float) -> AsyncIterator[Site]:
    jobs = ("turn", "transcriber", "chat", "synthesizer")
    runtime = Runtime(
        Config.model_validate({"limits": limits, **{job: {"provider": "scripted"} for job in jobs}})
    )
    replies = ["One two three four five six seven eight."]
    engine = Watched(
        Simulation(
            replies=replies,
            limits=runtime.config.limits,
            chat_delay=0,
            transcriber_delay=0,
            synthesizer_delay=0,
        )
    )
    if furnished:
        await runtime.use_providers(engine.simulation.engine.providers)
        runtime.use_engine(engine)
    web = Web(runtime)
    async with serving(web, listen("127.0.0.1", 0)) as url:
        yield Site(f"{url}/v1", web, engine)


async def offer(**kind: Any) -> str:
    """Return an offer that nobody will ever follow up."""
    phone = Phone(**kind)
    try:
        return await phone.offer()
    finally:
        await phone.connection.close()


# who is refused


@pytest.mark.parametrize(
    ("sdp", "why"),
    [
        ("", "not SDP"),
        ("hello", "not SDP"),
        ("v=0\r\nnonsense\r\n", "not SDP"),
        ("v=0\r\ns=-\r\n", "no audio"),
        ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", "audio must be Opus"),
        ("v=0\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n", "no audio"),
        ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n", "no data channel"),
    ],
)
def test_what_is_no_offer_is_refused_before_anything_is_done(sdp: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        check_offer(sdp)
    assert (caught.value.code, caught.value.param) == ("invalid_offer", "sdp")


def test_an_offer_says_how_large_a_message_may_be() -> None:
    assert max_message_size("v=0\r\na=max-message-size:262144\r\n") == 262_144
    assert max_message_size("v=0\r\n") == 65_536


async def test_a_wrong_offer_is_told_what_is_wrong_with_it() -> None:
    good = await offer()
    wrong = {
        "it is not SDP": "nonsense",
        "it offers no data channel": await offer(channel=None),
        "it has no DTLS fingerprint": "\r\n".join(x for x in good.split("\r\n") if "fingerprint" not in x),
        "audio must be Opus": good.replace("opus/48000/2", "speex/16000"),
        "it cannot be read": good.replace("a=setup:actpass", "a=setup:nobody"),
    }
    async with open_site() as site:
        for why, sdp in wrong.items():
            answer = await site.offer(sdp)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_offer", "sdp"), why
            assert why in error["message"]
        assert (await site.offer(b"x" * 70_000)).status_code == 413
        assert (await site.offer("{}", "application/json")).status_code == 415
        assert site.engine.held == 0


async def test_a_session_that_is_wrong_is_refused_with_the_name_of_the_field() -> None:
    sdp = await offer()
    wrong = {
        "session.audio.output.speed": {"type": "realtime", "audio": {"output": {"speed": 9}}},
        "session.instructions": {"type": "realtime", "instructions": 5},
        "session.nonsense": {"type": "realtime", "nonsense": 1},
        "session.type": {"instructions": "Be kind."},
    }
    async with open_site() as site:
        for param, session in wrong.items():
            answer = await site.form(sdp=sdp, session=json.dumps(session))
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
        assert (await site.form(sdp=sdp, session="{")).json()["error"]["code"] == "invalid_json"
        assert (await site.form(session="{}")).json()["error"]["param"] == "sdp"
        assert site.engine.begun == 0


async def test_one_caller_too_many_is_told_to_come_back() -> None:
    async with open_site(conversations=1) as site, calling(site.url):
        answer = await site.offer(await offer())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["code"] == "server_busy"


async def test_while_the_models_load_callers_are_told_to_come_back() -> None:
    async with open_site(furnished=False) as site:
        answer = await site.offer(await offer())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")


async def test_without_the_extra_the_answer_is_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vivavoce.transports.webrtc.peer", None)
    async with open_site() as site:
        answer = await site.offer(await offer())
    assert answer.status_code == 501
    assert "pip install 'vivavoce[webrtc]'" in answer.json()["error"]["message"]


async def test_an_offer_that_was_damaged_harms_nobody() -> None:
    good, chance = await offer(), Random(5)  # noqa: S311  (no secret)
    async with open_site(webrtc_connect_seconds=2) as site:
        for _ in range(60):
            answer = await site.offer(damaged(good, chance))
            assert answer.status_code in (201, 400), answer.text
        async with calling(site.url) as phone:
            phone.write("Still there?", output_modalities=["text"])
            await phone.until(has("response.done"))


def damaged(sdp: str, chance: Random) -> str:
    lines = sdp.split("\r\n")
    at = chance.randrange(len(lines) - 1)
    match chance.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        case 2:
            lines[at] = lines[at][: chance.randrange(1, len(lines[at]) + 1)]
        case _:
            lines[at] = "".join(chance.choice("0 :=/x") if chance.random() < 0.2 else c for c in lines[at])
    return "\r\n".join(lines)


async def test_who_hides_their_address_is_waited_for() -> None:
    async with open_site() as site:
        phone = Phone()
        nobody = "6e5376c2-8b34-4e8b-b3ad-013226137d7c.local"  # as a browser without a microphone says
        hidden = re.sub(r"(a=candidate:\S+ \d \w+ \d+ )\S+", rf"\g<1>{nobody}", await phone.offer())
        await phone.take(await site.offer(hidden))
        await phone.until(has("session.created"), seconds=10)
        await phone.connection.close()


# how calls end


async def test_who_never_connects_is_let_go() -> None:
    async with open_site(webrtc_connect_seconds=0.2) as site:
        quiet = site.engine.quiet
        assert (await site.offer(await offer())).status_code == 201
        with anyio.fail_after(10):
            await quiet.wait()


async def test_a_connection_that_breaks_while_it_is_made_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(transport: RTCIceTransport, remote: object) -> None:
        raise InvalidStateError("RTCIceTransport is closed")

    async with open_site(webrtc_connect_seconds=0.2) as site:
        quiet, good = site.engine.quiet, await offer()
        with monkeypatch.context() as patch:
            patch.setattr(RTCIceTransport, "start", start)
            assert (await site.offer(good)).status_code == 201
            with anyio.fail_after(10):
                await quiet.wait()
        async with calling(site.url) as phone:
            phone.write("Still there?", output_modalities=["text"])
            await phone.until(has("response.done"))


async def test_who_closes_the_connection_has_hung_up() -> None:
    async with open_site() as site:
        quiet = site.engine.quiet
        async with calling(site.url):
            assert site.engine.held == 1
        with anyio.fail_after(10):
            await quiet.wait()


async def test_who_is_not_heard_of_any_more_is_let_go() -> None:
    async with open_site(webrtc_silence_seconds=0.4) as site:
        quiet = site.engine.quiet
        phone = Phone()
        await phone.take(await site.offer(await phone.offer()))
        await phone.until(has("session.created"))
        ice = phone.connection.getTransceivers()[0].receiver.transport.transport
        for protocol in ice._connection._protocols:
            protocol.transport.abort()  # as when the network is gone: no goodbye
        with anyio.fail_after(10):
            await quiet.wait()
        await phone.connection.close()


async def test_a_server_that_goes_away_hangs_up() -> None:
    async with open_site() as site, calling(site.url) as phone:
        quiet = site.engine.quiet
        with anyio.fail_after(10):
            await site.web.hang_up()
            await phone.over.wait()
            await quiet.wait()


async def test_who_is_hung_up_on_before_they_connect_is_let_go() -> None:
    async with open_site() as site:
        quiet = site.engine.quiet
        answer = await site.offer(await offer())
        site.web.runtime.switchboard.hang_up(answer.headers["location"].rpartition("/")[2])
        with anyio.fail_after(10):
            await quiet.wait()


async def test_who_floods_the_channel_is_hung_up_on() -> None:
    async with open_site(events_per_second=20) as site, calling(site.url) as phone:
        phone.errors += ["invalid_value"] * 20
        for _ in range(200):
            phone.send('{"type": "nonsense"}')
        with anyio.fail_after(10):
            await phone.over.wait()
        phone.errors = [event["error"]["code"] for event in phone.events if event["type"] == "error"]


async def test_many_calls_leave_nothing_behind() -> None:
    async with open_site() as site:
        async with calling(site.url):
            pass
        before = tasks_threads_files()
        for _ in range(12):
            quiet = site.engine.quiet
            async with calling(site.url) as phone:
                phone.write("Hello?", output_modalities=["text"])
                await phone.until(has("response.done"))
            with anyio.fail_after(10):
                await quiet.wait()
        left = [now - then for now, then in zip(tasks_threads_files(), before, strict=True)]
        assert max(left) <= 2, left  # of the last call, perhaps; not one for each


def tasks_threads_files() -> tuple[int, int, int]:
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return len(asyncio.all_tasks()), threading.active_count(), files


async def test_a_call_that_lasted_long_enough_is_told_so_before_it_ends() -> None:
    async with open_site(conversation_minutes=0.02) as site, calling(site.url) as phone:
        phone.errors = ["session_expired"]
        with anyio.fail_after(10):
            await phone.over.wait()
        assert only(phone.events, "error")["error"]["code"] == "session_expired"


# what is heard and told


async def test_who_joins_hears_what_is_played_but_no_sound_and_may_clear_it() -> None:
    async with open_site() as site, calling(site.url) as phone:
        call = phone.location.rpartition("/")[2]
        door = site.url.replace("http", "ws", 1) + f"/realtime?call_id={call}"
        async with connect(door) as beside:
            phone.tell("response.create")
            heard: list[str] = []
            with anyio.fail_after(10):
                while "output_audio_buffer.started" not in heard:
                    heard.append(json.loads(await beside.recv())["type"])
                await beside.send('{"type": "output_audio_buffer.clear"}')
                while "output_audio_buffer.cleared" not in heard or "conversation.item.truncated" not in heard:
                    heard.append(json.loads(await beside.recv())["type"])
            assert "response.output_audio.delta" not in heard
            events = await phone.until(has("conversation.item.truncated"))
            only(events, "output_audio_buffer.cleared")


async def test_an_event_too_large_for_the_clients_channel_is_told_of() -> None:
    async with open_site() as site:
        phone = Phone()
        small = (await phone.offer()).replace("a=max-message-size:262144", "a=max-message-size:20000")
        await phone.take(await site.offer(small))
        await phone.until(has("session.created"))
        phone.tell("session.update", session={"type": "realtime", "instructions": "x" * 30_000})
        error = only(await phone.until(has("error")), "error")["error"]
        assert error["code"] == "event_too_large"
        phone.tell("response.create")
        done = only(await phone.until(has("response.done")), "response.done")["response"]
        phone.tell("conversation.item.retrieve", item_id=done["output"][0]["id"])
        retrieved = only(await phone.until(has(RETRIEVED)), RETRIEVED)
        (part,) = retrieved["item"]["content"]
        assert (part["transcript"].split()[0], "audio" in part) == ("One", False)
        await phone.connection.close()


async def test_a_session_may_only_write_down_what_is_said() -> None:
    async with open_site() as site, calling(site.url, session={"type": "transcription"}) as phone:
        assert phone.events[0]["session"]["type"] == "transcription"


async def test_what_is_encoded_can_be_decoded_at_once() -> None:
    from vivavoce.transports.webrtc.opus import OpusDecoder, OpusEncoder

    encoder, decoder = OpusEncoder(), OpusDecoder()
    frames = decoder.frames()
    for number in range(50):
        encoder.write(array("h", [8000 if n // 24 % 2 else -8000 for n in range(480)]).tobytes())
        decoder.add(received(number, await encoder.recv()))
        heard = array("h", await anext(frames))
        assert len(heard) == 480
        assert number < 3 or max(heard) > 4000
    await frames.aclose()


async def test_what_the_network_loses_is_concealed_from_what_was_before() -> None:
    from vivavoce.transports.webrtc.opus import OpusDecoder, OpusEncoder

    encoder, decoder = OpusEncoder(), OpusDecoder()
    frames = decoder.frames()
    loudest = []
    for number in range(40):
        encoder.write(array("h", [8000 if n // 24 % 2 else -8000 for n in range(480)]).tobytes())
        packet = await encoder.recv()
        if number != 20:
            decoder.add(received(number, packet))
        if number < 20 or number > 23:  # three packets wait for the lost one
            loudest.append(max(array("h", await anext(frames))[100:]))
    assert min(loudest[4:]) > 2000
    await frames.aclose()


async def test_a_new_source_on_the_same_track_is_decoded() -> None:
    from vivavoce.transports.webrtc.opus import OpusDecoder, OpusEncoder

    encoder, decoder = OpusEncoder(), OpusDecoder()
    frames = decoder.frames()
    for number in (500, 501, 502, 503, 400, 401, 402):  # the other's numbers are behind
        encoder.write(array("h", [8000 if n // 24 % 2 else -8000 for n in range(480)]).tobytes())
        decoder.add(received(number, await encoder.recv(), source=1 if number >= 500 else 2))
        heard = max(array("h", await anext(frames)))
        assert heard > 4000 or number in (500, 501, 502)
    await frames.aclose()


def received(number: int, packet: Any, source: int = 1) -> Any:
    from aiortc.rtp import RtpPacket

    arrived = RtpPacket(payload_type=111, sequence_number=number, timestamp=packet.pts, ssrc=source)
    arrived.payload = bytes(packet)
    return arrived


def test_nothing_of_aiortc_is_imported_before_somebody_calls() -> None:
    loaded = "import sys, vivavoce.web.app; print([name for name in sys.modules if name in ('aiortc', 'av')])"
    shown = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
