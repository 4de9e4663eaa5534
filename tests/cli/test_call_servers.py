"""The telephone caller calls the servers of vivavoce by every peer: two readings of each contract meet."""

import re
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from clients.serving import running
from vivavoce.audio.decode import decode
from vivavoce.client.telephone.caller import OutgoingCall, Recording, Script, make_call
from vivavoce.client.telephone.codecs import CODECS, Codec
from vivavoce.client.telephone.peer import CallOptions
from vivavoce.client.telephone.peers import PEERS
from vivavoce.client.telephone.timings import turns

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]
RECORDINGS = Path(__file__).parents[1] / "recordings"
CALLS = [
    ("avr", "slin"),
    ("avr-http", "slin"),
    ("audiosocket", "slin"),
    ("audiosocket", "ulaw"),
    ("asterisk", "slin16"),
    ("asterisk-plain", "ulaw"),
    ("twilio", "ulaw"),
    ("signalwire", "ulaw"),
    ("telnyx", "alaw"),
    ("plivo", "slin16"),
    ("exotel", "slin"),
    ("vonage", "slin16"),
]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One server with all of its telephones; the address of each peer."""
    folder = tmp_path_factory.mktemp("telephones")
    with running("--preset", "scripted", "--avr-port", "0", "--audiosocket-port", "0", folder=folder) as url:
        log = (folder / "serve.log").read_text()
        (avr,), (asterisk,) = re.findall(r"STS_URL=ws://(\S+)", log), re.findall(r"UUID\(\)},(\S+)\)", log)
        of_its_own = {"avr": f"ws://{avr}", "avr-http": f"http://{avr}", "audiosocket": f"tcp://{asterisk}"}
        web = url.replace("http", "ws").removesuffix("/v1")
        of_its_own["asterisk-plain"] = f"{web}/asterisk"
        yield {**{peer: f"{web}/{peer}" for peer in PEERS}, **of_its_own}


def recording(name: str, codec: Codec) -> Recording:
    return Recording(name, decode((RECORDINGS / name).read_bytes(), rate=codec.rate, max_seconds=10))


async def test_every_peer_is_answered_and_may_interrupt(addresses: dict[str, str]) -> None:
    calls = dict[tuple[str, str], OutgoingCall]()

    async def call(peer: str, name: str) -> None:
        codec = CODECS[name]
        script = Script(
            [recording("brooklyn.wav", codec)],
            interruption=recording("weather.wav", codec),
            after=1.0,
            pause=1.0,
        )
        calls[peer, name] = await make_call(PEERS[peer].dial, addresses[peer], CallOptions(codec), script)

    async with anyio.create_task_group() as tasks:
        for peer, name in CALLS:
            tasks.start_soon(call, peer, name)
    for peer, made in calls.items():
        asked, interrupted = turns(made.said, made.record.queue)
        assert (peer, dict(made.record.problems), made.hung_up) == (peer, {}, False)
        assert asked.first_sound is not None, peer
        assert interrupted.first_sound is not None, peer
        assert interrupted.quiet is not None, peer
        assert asked.answer < 3, f"{peer}: an answer of five seconds was interrupted"
    assert set(calls) == set(CALLS)


async def test_keys_reach_the_server_by_every_peer_that_has_some(addresses: dict[str, str]) -> None:
    calls = dict[str, OutgoingCall]()

    async def call(peer: str) -> None:
        codec = PEERS[peer].codecs[0]
        calls[peer] = await make_call(
            PEERS[peer].dial,
            addresses[peer],
            CallOptions(codec),
            Script(keys="5#", pause=1.0),
        )

    async with anyio.create_task_group() as tasks:
        for peer in PEERS.keys() - {"avr-http"}:
            tasks.start_soon(call, peer)
    for peer, made in calls.items():
        (turn,) = turns(made.said, made.record.queue)
        assert (peer, dict(made.record.problems), made.hung_up) == (peer, {}, False)
        assert turn.first_sound is not None, peer
