"""AudioSocket over real sockets: what Asterisk sends, what it must receive, and what nobody should send."""

import logging
import socket
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import anyio
import numpy as np
import pytest
from anyio.abc import SocketAttribute
from hypothesis import given
from hypothesis import strategies as st

from audio.test_g711_detection import g722, pieces, recording
from transports.asterisk import HANG_UP, ID, KEY, SLIN, SLIN16, FakeAmi, Parrot, answered, audiosocket
from vivavoce.audio import g711
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.session.switchboard import Switchboard
from vivavoce.transports.telephony.audiosocket import ID_SECONDS, RATES, Frame, FrameParser, is_other_protocol

pytestmark = pytest.mark.anyio
in_real_time = pytest.mark.real_time

FRAMES = st.lists(st.builds(Frame, st.integers(0, 255), st.binary(max_size=400)), max_size=12)
TONE = array("h", [9000 if n // 12 % 2 else -9000 for n in range(24_000)]).tobytes()
"""a second of 1 kHz, at 24 kHz"""


def voice(rate: int, seconds: float) -> bytes:
    """Return a tone whose samples at 8 kHz are no G.711."""
    at = np.arange(round(rate * seconds)) / rate
    return (8000 * np.sin(2 * np.pi * 440.7 * at)).astype("<i2").tobytes()


def frames(kind: int, audio: bytes, size: int) -> list[Frame]:
    return [Frame(kind, audio[at : at + size]) for at in range(0, len(audio), size)]


def loudness(audio: bytes) -> float:
    return float(np.frombuffer(audio, "<i2").std()) if audio else 0.0


def pitch(audio: bytes, rate: int) -> float:
    """Return the loudest frequency, in Hz."""
    samples = np.frombuffer(audio, "<i2")
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


# frames


@given(FRAMES, st.lists(st.integers(1, 60), min_size=1))
def test_however_the_stream_is_cut_its_frames_are_the_same(sent: list[Frame], cuts: Sequence[int]) -> None:
    stream, parser, received, n = b"".join(one.encode() for one in sent), FrameParser(), list[Frame](), 0
    while stream:
        size = cuts[n % len(cuts)]
        received += parser.push(stream[:size])
        stream, n = stream[size:], n + 1
    assert received == sent


@given(st.binary())
def test_any_bytes_are_frames_or_the_beginning_of_one(data: bytes) -> None:
    parser = FrameParser()
    found = b"".join(frame.encode() for frame in parser.push(data))
    assert data.startswith(found)
    assert len(data) - len(found) < 3 + 65535


def test_the_longest_frame_is_one() -> None:
    frame = Frame(SLIN, bytes(65535))
    assert FrameParser().push(frame.encode()) == [frame]


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1", b"POST /speech", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0"]
)
def test_other_protocols_are_known_by_their_first_bytes(head: bytes) -> None:
    assert is_other_protocol(head)


@pytest.mark.parametrize("head", [Frame(ID, bytes(16)).encode(), b"", b"\x10", b"\x16\x07\x80"])
def test_audiosocket_is_no_other_protocol(head: bytes) -> None:
    assert not is_other_protocol(head)


# calls


@in_real_time
@pytest.mark.parametrize("kind", RATES)
async def test_audio_is_carried_both_ways_at_the_rate_that_asterisk_has_chosen(kind: int) -> None:
    rate, engine = RATES[kind], Parrot(TONE)
    size = rate // 50 * 2
    async with audiosocket(engine) as office, office.call() as peer:
        await peer.send(*frames(kind, voice(rate, 0.5), size))
        heard = b""
        with anyio.fail_after(10):
            while len(heard) < rate:  # half a second
                frame = await peer.receive()
                assert frame
                if any(frame.payload):
                    assert (frame.kind, len(frame.payload)) == (kind, size)
                    heard += frame.payload
        assert pitch(heard, rate) == pytest.approx(1000, abs=5)
        await engine.until(lambda: len(engine.audio) >= 24_000)
        assert pitch(engine.audio, 24_000) == pytest.approx(440, abs=5)


@in_real_time
@pytest.mark.parametrize("law", ["ulaw", "alaw"])
async def test_g711_in_frames_of_linear_pcm_is_heard_and_answered_in_linear_pcm(law: g711.Law) -> None:
    engine, speech = Parrot(TONE), recording("brooklyn")
    async with audiosocket(engine) as office, office.call() as peer:
        await peer.send(*frames(SLIN, g711.encode(speech, law), 160))
        await engine.until(lambda: len(engine.audio) >= 3 * len(speech) - 3000)
        heard = np.frombuffer(engine.audio, "<i2")[::3][: len(speech) // 2 - 1000].astype(float)
        said = np.frombuffer(speech, "<i2")[: len(heard)].astype(float)
        spectrum = np.fft.rfft(heard) * np.conj(np.fft.rfft(said))
        best = np.fft.irfft(spectrum, len(said)).max()
        assert best > 0.9 * np.linalg.norm(heard) * np.linalg.norm(said)
        while not any((frame := await peer.receive() or HANG_UP).payload):
            assert frame.kind == SLIN
        assert len(frame.payload) == 320


@in_real_time
async def test_audio_that_cannot_be_read_is_silence_and_the_log_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Parrot()
    wideband = pieces(g722(recording("jfk", 16_000)), 160)[20:80]
    async with audiosocket(engine) as office, office.call() as peer:
        await peer.send(*(Frame(SLIN, piece) for piece in wideband))
        await engine.until(lambda: len(engine.audio) >= 960 * len(wideband))
        assert len(engine.audio) == 960 * len(wideband), "time goes on"
        assert loudness(engine.audio) < 1000
    told = [record for record in caplog.records if "set c(slin)" in record.getMessage()]
    assert len(told) == 1


@in_real_time
async def test_silence_is_sent_as_soon_as_the_call_is_known_and_once_a_second() -> None:
    async with audiosocket(Parrot()) as office, office.call() as peer:
        began = anyio.current_time()
        times = []
        with anyio.move_on_after(2.5):
            while frame := await peer.receive():
                assert frame == Frame(SLIN, bytes(320))
                times.append(anyio.current_time() - began)
        assert times[0] < 0.3
        assert max(b - a for a, b in pairwise([*times, 2.5])) < 1.3
        assert len(times) <= 4


@in_real_time
async def test_a_caller_who_sends_nothing_is_greeted_within_a_second() -> None:
    async with audiosocket(Parrot(TONE)) as office, office.call() as peer:
        with anyio.fail_after(1.2):
            while not any((await peer.receive() or HANG_UP).payload):
                continue


@in_real_time
async def test_a_frame_leaves_every_twenty_milliseconds_while_we_speak() -> None:
    async with audiosocket(Parrot(TONE)) as office, office.call() as peer:
        times = []
        await peer.send(*frames(SLIN, bytes(6400), 320))
        with anyio.fail_after(10):
            while len(times) < 50:
                frame = await peer.receive()
                assert frame
                if any(frame.payload):
                    times.append(anyio.current_time())
        assert times[-1] - times[0] == pytest.approx(49 * 0.02, abs=0.08)


@in_real_time
async def test_a_frame_leaves_in_one_piece_since_older_asterisks_mix_up_others() -> None:
    async with audiosocket(Parrot(TONE)) as office, office.call() as peer:
        pieces = []
        with anyio.fail_after(10):
            while len(pieces) < 40:
                pieces.append(await peer.stream.receive())
        assert [len(piece) for piece in pieces if len(piece) % 323] == []


@in_real_time
async def test_keys_are_received_once_each() -> None:
    engine = Parrot()
    async with audiosocket(engine) as office, office.call() as peer:
        await peer.send(*(Frame(KEY, key) for key in (b"1", b"#", b"a", b"x", b"", b"12")))
        await engine.until(lambda: any(isinstance(one, e.ResponseCreate) for one in engine.events))
        (item,) = [one.item for one in engine.events if isinstance(one, e.ConversationItemCreate)]
        assert "pressed 1 # A on" in str(item)


# the end


@in_real_time
async def test_we_hang_up_with_a_frame_that_lets_the_dialplan_go_on() -> None:
    engine = Parrot()
    async with audiosocket(engine) as office, office.call() as peer:
        await peer.send(*frames(SLIN, bytes(3200), 320))
        await engine.until(lambda: engine.audio)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(office.transport.hang_up)
            with anyio.fail_after(3):
                while (frame := await peer.receive()) != HANG_UP:
                    assert frame
            await peer.stream.aclose()  # as Asterisk does


@in_real_time
@pytest.mark.parametrize("how", ["close", "frame", "reset"])
async def test_a_caller_who_hangs_up_ends_the_conversation_without_a_trace_in_the_log(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Parrot(TONE * 20)
    async with audiosocket(engine) as office, office.call() as peer:
        await peer.send(Frame(SLIN, bytes(320)))
        while not any((await peer.receive() or HANG_UP).payload):
            continue
        if how == "frame":
            await peer.send(HANG_UP)
        else:
            if how == "reset":
                raw = peer.stream.extra(SocketAttribute.raw_socket)  # noqa: S610
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await peer.stream.aclose()
        with anyio.fail_after(1):
            await engine.until(lambda: engine.has_ended)
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.WARNING]


@in_real_time
async def test_a_call_too_many_is_hung_up_and_the_others_go_on() -> None:
    engine = Parrot()
    async with audiosocket(engine, limits=Limits(conversations=1)) as office, office.call() as first:
        await first.send(Frame(SLIN, bytes(320)))
        await engine.until(lambda: engine.audio)
        async with office.call() as second:
            await second.send(Frame(SLIN, bytes(320)))
            assert (await second.rest())[-1] == HANG_UP
        before = len(engine.audio)
        await first.send(Frame(SLIN, bytes(320)))
        await engine.until(lambda: len(engine.audio) > before)


# transfers


@in_real_time
async def test_a_call_is_transferred_and_hung_up_by_ami() -> None:
    fake, engine = FakeAmi(), Parrot()
    async with (
        fake.serving(hangs_up=True) as ami,
        audiosocket(engine, ami=ami) as office,
        office.call() as peer,
    ):
        await peer.send(Frame(SLIN, bytes(320)))
        await engine.until(lambda: engine.audio)
        fake.channels = answered(peer.uuid)
        switchboard: Switchboard = office.transport.connect.__self__  # type: ignore[attr-defined]
        (caller,) = switchboard.callers
        await switchboard.refer(caller.id, "200")
        assert fake.actions[-1]["Action"] == "Redirect"
        assert caller.leave
        await caller.leave()
        assert HANG_UP in await peer.rest()
        assert fake.actions[-1]["Action"] == "Hangup"


@in_real_time
async def test_a_call_that_was_refused_stays_in_the_dialplan_although_ami_could_end_it() -> None:
    fake = FakeAmi()
    limits = Limits(conversations=0)
    async with (
        fake.serving(hangs_up=True) as ami,
        audiosocket(Parrot(), ami=ami, limits=limits) as office,
        office.call() as peer,
    ):
        fake.channels = answered(peer.uuid)
        assert (await peer.rest())[-1] == HANG_UP
    assert fake.actions == []


# who calls


@in_real_time
async def test_the_numbers_of_a_call_are_those_that_asterisk_knows() -> None:
    fake, engine = FakeAmi(), Parrot()
    async with fake.serving() as ami, audiosocket(engine, ami=ami) as office, office.peer() as peer:
        numbers = {"CallerIDNum": "+15550100", "Exten": "600"}
        fake.channels = [{**row, **numbers} for row in answered(peer.uuid)]
        await peer.call()
        await peer.send(Frame(SLIN, bytes(320)))
        await engine.until(lambda: engine.audio)
        switchboard: Switchboard = office.transport.connect.__self__  # type: ignore[attr-defined]
        (caller,) = switchboard.callers
        assert caller.address == "+15550100"
        assert (caller.metadata["from"], caller.metadata["to"]) == ("+15550100", "600")


@in_real_time
@pytest.mark.parametrize("hangs_at", ["Login", ""])
async def test_a_call_whose_numbers_are_not_known_begins_all_the_same(hangs_at: str) -> None:
    engine = Parrot()
    async with (
        FakeAmi(hangs_at=hangs_at).serving() as ami,
        audiosocket(engine, ami=ami) as office,
        office.call() as peer,
    ):
        await peer.send(Frame(SLIN16, voice(16_000, 0.4)))
        with anyio.fail_after(1.5):
            await engine.until(lambda: len(engine.audio) >= 19_000)


# what nobody should send


@in_real_time
async def test_frames_that_mean_nothing_are_survived_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine = Parrot()
    odd = voice(16_000, 0.2)
    async with audiosocket(engine) as office, office.call() as peer:
        uuid = peer.uuid
        await peer.send(
            Frame(0x42, b"?"),
            Frame(0x42),
            Frame(0xFF, b"\x01"),
            Frame(ID, bytes(16)),
            Frame(SLIN),
            Frame(SLIN16, odd[:321]),
            Frame(SLIN16, odd[321:]),
            Frame(0x30, bytes(65535)),
            Frame(SLIN16, voice(16_000, 1)),
        )
        await engine.until(lambda: len(engine.audio) >= 2 * 24_000 * 1.15)
        assert pitch(engine.audio, 24_000) == pytest.approx(440, abs=5)
    (told,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith(f"call {uuid}: ")]
    for fault in (
        "unexpected frame of type 0x42 (2 times)",
        "error 0x01 of the peer (1 times)",
        "unexpected frame of type 0x01 (1 times)",
        "empty frame of audio (1 times)",
        "frame with half a sample (2 times)",
        "unexpected frame of type 0x30 (1 times)",
    ):
        assert fault in told


@in_real_time
async def test_half_a_sample_too_many_does_not_turn_all_that_follows_into_noise() -> None:
    engine, said = Parrot(), voice(16_000, 1)
    async with audiosocket(engine) as office, office.call() as peer:
        await peer.send(Frame(SLIN16, said[:640] + b"\x55"), *frames(SLIN16, said[640:], 640))
        await engine.until(lambda: len(engine.audio) >= 47_000)
        samples = np.frombuffer(engine.audio, "<i2").astype(float)
        assert np.abs(np.diff(samples[1000:])).max() < 1500


@in_real_time
@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"]
)
async def test_a_connection_of_another_protocol_is_closed_at_once(data: bytes) -> None:
    engine = Parrot()
    async with audiosocket(engine) as office, office.peer() as peer:
        for byte in data:
            try:
                await peer.stream.send(bytes((byte,)))
            except anyio.BrokenResourceError:
                break
        with anyio.fail_after(1):
            assert await peer.receive() is None
    assert engine.lines == []


@in_real_time
async def test_a_connection_that_does_not_say_which_call_it_is_is_closed_after_five_seconds() -> None:
    engine = Parrot()
    beginnings = [b"", Frame(SLIN, bytes(320)).encode() * 3, Frame(ID, b"short").encode(), b"\x01\x00\x10half"]
    async with audiosocket(engine) as office, anyio.create_task_group() as tasks:
        began = anyio.current_time()

        async def wait(beginning: bytes) -> None:
            async with office.peer() as peer:
                await peer.stream.send(beginning)
                assert await peer.rest() == []
                assert anyio.current_time() - began == pytest.approx(ID_SECONDS, abs=0.5)

        for beginning in beginnings:
            tasks.start_soon(wait, beginning)
    assert engine.lines == []


@in_real_time
async def test_a_flood_before_the_uuid_is_not_waited_for() -> None:
    async with audiosocket(Parrot()) as office, office.peer() as peer:
        with anyio.fail_after(2):
            await peer.stream.send(Frame(0x42).encode() * 3000)
            assert await peer.rest() == []


@in_real_time
async def test_audio_before_the_uuid_is_passed_over() -> None:
    engine = Parrot()
    async with audiosocket(engine) as office, office.peer() as peer:
        await peer.send(Frame(SLIN, bytes(320)), Frame(ID, bytes(16)), Frame(SLIN16, voice(16_000, 0.5)))
        await engine.until(lambda: len(engine.audio) >= 23_000)


@in_real_time
async def test_two_calls_of_one_uuid_are_two_conversations(caplog: pytest.LogCaptureFixture) -> None:
    engine = Parrot()
    async with audiosocket(engine) as office, office.call() as one, office.peer() as other:
        other.uuid = one.uuid
        await other.call()
        for peer in (one, other):
            await peer.send(Frame(SLIN16, bytes(640)))
        await engine.until(lambda: len(engine.lines) == 2 and len(engine.audio) >= 2 * 960)
    assert f"call {one.uuid}: there is another with this UUID" in caplog.text


@in_real_time
async def test_only_those_who_may_call_are_listened_to(caplog: pytest.LogCaptureFixture) -> None:
    strangers = audiosocket(Parrot(), may_call=lambda address: address != "127.0.0.1")
    async with strangers as office, office.peer() as peer:
        assert await peer.rest() == []
    assert "127.0.0.1 may not call by AudioSocket" in caplog.text


@in_real_time
async def test_a_slow_reader_loses_audio_and_stays_in_step(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine, parser = Parrot(TONE * 8), FrameParser()
    async with audiosocket(engine) as office:
        with mute_peer(office.port) as peer:
            await engine.until(lambda: engine.audio)
            await anyio.sleep(2.5)
            began, received = anyio.current_time(), list[Frame]()
            while anyio.current_time() < began + 1:
                await anyio.wait_readable(peer)
                received += parser.push(peer.recv(65536))
        assert {frame.kind for frame in received if any(frame.payload)} == {0x18}, "frames are whole"
        seconds = sum(len(frame.payload) for frame in received) / 384_000
        assert 0.7 < seconds < 1 + 0.5, "what has waited too long is not sent late"
        await office.transport.hang_up()
    assert "frame dropped, since the peer reads too slowly" in caplog.text


@in_real_time
async def test_a_peer_that_never_reads_is_hung_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine = Parrot(TONE * 8)
    async with audiosocket(engine, limits=Limits(send_seconds=0.5)) as office:
        with mute_peer(office.port):
            await engine.until(lambda: engine.has_ended)
            await office.transport.hang_up()
    assert "the peer does not read" in caplog.text


@contextmanager
def mute_peer(port: int) -> Iterator[socket.socket]:
    """Call at 384,000 bytes a second, and read nothing."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        peer.sendall(Frame(ID, bytes(16)).encode() + Frame(0x18, bytes(7680)).encode())
        peer.setblocking(False)
        yield peer


@in_real_time
async def test_a_failure_in_one_call_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    engine = Parrot()

    class Fails:
        async def converse(self, line: object, session: object = None) -> None:
            if engine.lines:
                raise RuntimeError("a bug")
            await engine.converse(line)  # type: ignore[arg-type]

    async with audiosocket(Fails()) as office, office.call() as good:  # type: ignore[arg-type]
        await good.send(Frame(SLIN16, bytes(640)))
        await engine.until(lambda: engine.audio)
        async with office.call() as bad:
            await bad.send(Frame(SLIN16, bytes(640)))
            await bad.rest()
        await good.send(Frame(SLIN16, bytes(640)))
        await engine.until(lambda: len(engine.audio) >= 2 * 960)
