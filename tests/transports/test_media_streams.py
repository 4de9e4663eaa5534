"""Calls by media streams, in the dialects of all carriers: conversations, and what is no stream."""

import json
import logging
from array import array
from contextlib import suppress
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.carriers import SHAPES, Callers, Carrier, Wire, b64, call, sounding
from transports.legs import LONG, QUESTION, Presses, truncations
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol import events as e
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.transports.telephony.call import SETTLED_SECONDS
from vivavoce.transports.telephony.media_streams import (
    DIALECTS,
    CarrierDialect,
    MediaStreamLeg,
    read_codec,
    read_message,
    read_start,
)
from vivavoce.transports.telephony.peer_socket import ChunkOrder

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", SHAPES)
async def test_two_turns_an_interruption_and_a_key(name: str) -> None:
    steps = [
        QUESTION,
        CallerSays(5.0, "No, stop please, I mean Spain."),
        Presses(10.0, "5"),
        Presses(10.3, "#"),
    ]
    callers = Callers()
    simulation = Simulation([LONG, "Madrid.", "Five."])
    carrier, timeline = await call(name, simulation, steps, until=14, callers=callers)
    started = timeline.at(e.InputAudioBufferSpeechStarted, 1)
    heard = sounding(carrier)
    before = [at for at in heard if at < started + 0.5]
    assert max(before) <= started + 0.06, "quiet at once"
    assert carrier.cleared == [pytest.approx(started, abs=0.05)]
    (ms,) = truncations(timeline)
    assert ms == pytest.approx(1000 * (max(before) + 0.02 - min(before)), abs=70)
    assert [one.event for one in timeline.of(e.DtmfEventReceived)] == ["5", "#"]  # type: ignore[attr-defined]
    assert len(timeline.of(e.ResponseDone)) == 3
    assert timeline.of(e.ErrorEvent) == []
    answers = [at for at in heard if at > started + 0.5]
    assert any(at < 10 for at in answers)
    assert any(at > 10.3 for at in answers)
    (caller,) = callers
    assert caller.transport == name
    assert caller.address.endswith("15550100")
    assert caller.external_id in ("CA1", "v2:C1", "C1")
    assert caller.metadata["agent"] == "sales"
    assert caller.metadata["from"].endswith("15550100")


@pytest.mark.parametrize("name", SHAPES)
async def test_the_whole_answer_is_heard_without_a_hole(name: str) -> None:
    carrier, timeline = await call(name, Simulation([LONG], word_delay=0), [QUESTION], until=11)
    audio = b"".join(one.delta for one in timeline.of(e.ResponseOutputAudioDelta))  # type: ignore[attr-defined]
    heard = sum(sum(abs(one) > 100 for one in array("h", pcm)) for _, pcm in carrier.heard)
    sounds = sum(abs(one) > 100 for one in array("h", audio)) / 24_000
    assert heard / SHAPES[name].rate == pytest.approx(sounds, abs=0.05)
    times = [at for at, _ in carrier.heard]
    assert times[-1] - times[0] == pytest.approx(0.02 * (len(times) - 1), abs=0.07)


@pytest.mark.parametrize("name", SHAPES)
async def test_what_is_no_message_of_the_dialect_harms_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bad: list[Any] = [
        "{",
        "[]",
        "null",
        '"start"',
        "{}",
        '{"event": 7}',
        '{"event": ["media"]}',
        '{"event": "brand_new", "x": {}}',
        '{"event": "media"}',
        '{"event": "media", "media": 5}',
        '{"event": "media", "media": {"payload": "%%%", "chunk": "1"}}',
        '{"event": "media", "media": {"payload": 7, "chunk": {}}}',
        '{"event": "dtmf", "dtmf": {"digit": "x"}}',
        '{"event": "dtmf", "dtmf": {"digit": 5}}',
        '{"event": "mark"}',
        '{"event": "mark", "mark": {"name": "of nobody"}}',
        '{"event": "start", "start": {"callSid": "CA2"}}',
        '{"event": "websocket:dtmf"}',
        '{"event": "error", "payload": 7}',
        "[" * 5000,
    ]

    async def act(carrier: Carrier) -> None:
        for message in bad[:-3]:
            await carrier.put(message)
        await carrier.act([QUESTION], 2.5)

    async def interfere(carrier: Carrier) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carrier.act, [QUESTION], 6)
            await anyio.sleep(0.7)
            for message in bad * 60:
                await carrier.put(message)
            if name != "vonage":
                await carrier.put(b"\1\2\3")

    simulation = Simulation(["Paris."])
    simulation.caller.utterances = [QUESTION]
    carrier, timeline = await call(name, simulation, [QUESTION], act=interfere)
    assert len(timeline.of(e.ResponseDone)) == 1
    assert "France" in str(simulation.chat.requests[-1].items)
    assert timeline.of(e.ErrorEvent) == []
    assert sounding(carrier)
    assert len([one for one in caplog.records if "ignored" in one.getMessage()]) == 1, "one line a call"
    carrier, timeline = await call(name, Simulation(["Paris."]), [QUESTION], act=act)
    assert timeline.of(e.SessionCreated), "what comes before the start is no harm either"


async def test_eight_hundred_tiny_messages_are_one_audio() -> None:
    async def act(carrier: Carrier) -> None:
        await carrier.start()
        for at in range(800):  # a second of speech, ten samples at a time
            await carrier.send(SHAPES["twilio"].media(at + 1, SHAPES["twilio"].encode(10 * b"\xe8\x03")))
        await anyio.sleep(0.5)
        for at in range(200):
            silence = SHAPES["twilio"].encode(bytes(320))
            await carrier.send(SHAPES["twilio"].media(801 + at, silence))
            await anyio.sleep(0.02)

    simulation = Simulation(["Paris."])
    _, timeline = await call("twilio", simulation, [CallerSays(0, "Hello there.", 1.0)], act=act)
    assert len(timeline.of(e.ResponseDone)) == 1
    assert "Hello there." in str(simulation.chat.requests[-1].items)


async def test_a_stream_that_never_starts_is_closed() -> None:
    wire = Wire()

    async def act(carrier: Carrier) -> None:
        await carrier.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await carrier.send(SHAPES["twilio"].media(1, bytes(160)))
        await anyio.sleep(30)

    carrier, timeline = await call("twilio", Simulation(), wire=wire, act=act)
    assert carrier.now == pytest.approx(10)
    assert wire.closed["code"] == 1003
    assert "start" in wire.closed["reason"]
    assert timeline.entries == []


@pytest.mark.parametrize(
    ("encoding", "rate"), [("OPUS", 16000), ("audio/x-mulaw", 16000), ("L16", 11025), ("G722", 8000)]
)
async def test_audio_that_is_not_understood_is_refused_by_name(encoding: str, rate: int) -> None:
    wire = Wire()

    async def act(carrier: Carrier) -> None:
        about = {"stream_id": "S1", "media_format": {"encoding": encoding, "sample_rate": rate}}
        await carrier.send({"event": "start", "start": about})
        await anyio.sleep(1)

    _, timeline = await call("telnyx", Simulation(), wire=wire, act=act)
    assert wire.closed["code"] == 1003
    assert f"{encoding} at {rate} Hz" in wire.closed["reason"]
    assert len(wire.closed["reason"].encode()) <= 123
    assert timeline.entries == []


@pytest.mark.parametrize(
    ("named", "codec"),
    [
        ("audio/x-mulaw", "ulaw"),
        ("PCMU", "ulaw"),
        ("audio/x-mulaw;rate=8000", "ulaw"),
        ("mu-law", "ulaw"),
        ("PCMA", "alaw"),
        ("audio/x-alaw", "alaw"),
        ("audio/l16;rate=16000", "pcm"),
        ("audio/x-raw", "pcm"),
        ("base64", "pcm"),
        ("raw/slin", "pcm"),
        ("L16", "pcm"),
        ("OPUS", None),
        ("AMR-WB", None),
    ],
)
def test_codecs_have_many_names(named: str, codec: str | None) -> None:
    assert read_codec(named) == codec


async def test_lost_chunks_are_silence_and_time_goes_on() -> None:
    shape = SHAPES["twilio"]

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        for n in (1, 2, 3, 14, 15):
            await carrier.send(shape.media(n, shape.encode(b"\xe8\x03" * 160)))
        await anyio.sleep(1)

    _, timeline = await call("twilio", Simulation(), act=act)
    audio = b"".join(one.audio for one in timeline.of(e.InputAudioBufferAppend))  # type: ignore[attr-defined]
    assert len(audio) / 48_000 == pytest.approx(0.3, abs=0.003)
    quiet = sum(abs(sample) < 100 for sample in array("h", audio)) / 24_000
    assert quiet == pytest.approx(0.2, abs=0.01)


async def test_what_telnyx_sends_in_the_wrong_order_is_put_right() -> None:
    shape = SHAPES["telnyx"]

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        for n in (1, 3, 2, 4, 4, 7, 6, 5, 9, 10, 11, 12, 13, 14, 15):  # 8 is lost
            await carrier.send(shape.media(n, shape.encode(array("h", [1000 * n] * 160).tobytes())))
        await anyio.sleep(1)

    _, timeline = await call("telnyx", Simulation(), act=act)
    audio = b"".join(one.audio for one in timeline.of(e.InputAudioBufferAppend))  # type: ignore[attr-defined]
    samples = array("h", audio)
    middles = [round(samples[480 * n + 240] / 1000) for n in range(15)]
    assert middles == [1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15]


async def test_half_a_sample_waits_for_the_rest() -> None:
    shape, sound = SHAPES["exotel"], array("h", [3000] * 1600).tobytes()

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        for n, at in enumerate(range(0, len(sound), 321), 1):
            await carrier.send(shape.media(n, sound[at : at + 321]))
        await anyio.sleep(1)

    _, timeline = await call("exotel", Simulation(), act=act)
    audio = b"".join(one.audio for one in timeline.of(e.InputAudioBufferAppend))  # type: ignore[attr-defined]
    assert set(array("h", audio)[1000:4000]) == {3000}


@pytest.mark.parametrize("name", ["exotel", "vonage"])
async def test_one_odd_message_does_not_silence_a_caller(name: str) -> None:
    async def act(carrier: Carrier) -> None:
        await carrier.start()
        await carrier.send(SHAPES[name].media(1, b"a"))
        await carrier.act([QUESTION], 8)

    _, timeline = await call(name, Simulation(["Paris."]), [QUESTION], act=act)
    assert len(timeline.of(e.ResponseDone)) == 1


async def test_our_own_voice_is_not_heard_where_both_tracks_are_streamed() -> None:
    async def act(carrier: Carrier) -> None:
        await carrier.start()
        media = {"track": "outbound", "chunk": "1", "payload": b64(bytes(160))}
        await carrier.send({"event": "media", "streamSid": "MZ1", "media": media})
        await anyio.sleep(1)

    _, timeline = await call("twilio", Simulation(), act=act)
    assert timeline.of(e.InputAudioBufferAppend) == []


async def test_what_is_known_of_a_call_is_kept_and_bounded() -> None:
    legs: list[MediaStreamLeg] = []

    async def transfer(leg: MediaStreamLeg, target: str) -> None:
        legs.append(leg)
        raise ProviderError("twilio", "refused")

    callers, query = Callers(), "agent=support&callSid=CA9&" + "&".join(f"x{n}={'y' * 900}" for n in range(99))

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        await anyio.sleep(1)
        (caller,) = callers
        assert caller.refer
        with pytest.raises(ProviderError, match="refused"):
            await caller.refer("tel:+15550123")

    await call("twilio", Simulation(), act=act, callers=callers, query=query, transfer=transfer)
    (leg,) = legs
    assert leg.details.id == "CA1"
    assert leg.stream.account == "AC1"
    assert leg.details.address == "192.0.2.1"
    assert leg.details.metadata["agent"] == "sales"
    assert len(leg.details.metadata) <= 32
    assert max(map(len, leg.details.metadata.values())) <= 512


async def test_an_error_that_a_carrier_reports_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def act(carrier: Carrier) -> None:
        await carrier.start()
        problem = {"code": 100004, "title": "Invalid media", "detail": "Too much of it."}
        await carrier.send({"event": "error", "payload": problem, "stream_id": "S1"})
        await anyio.sleep(1)

    await call("telnyx", Simulation(), act=act)
    assert "'code': 100004, 'title': 'Invalid media', 'detail': 'Too much of it.'" in caplog.text


async def test_where_calls_cannot_be_transferred_no_transfer_is_offered() -> None:
    callers = Callers()

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        await anyio.sleep(1)
        assert callers[0].refer is None

    await call("exotel", Simulation(), act=act, callers=callers)


async def test_a_call_that_we_leave_is_closed_after_the_last_word() -> None:
    callers, wire = Callers(), Wire()

    async def act(carrier: Carrier) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carrier.act, [QUESTION], 30)
            await anyio.sleep(3.5)
            assert callers[0].leave
            await callers[0].leave()

    carrier, timeline = await call(
        "twilio", Simulation(["Goodbye, and thank you."]), [QUESTION], act=act, callers=callers, wire=wire
    )
    assert wire.closed["code"] == 1000
    stopped = timeline.at(e.OutputAudioBufferStopped)
    assert carrier.now == pytest.approx(stopped + SETTLED_SECONDS, abs=0.1)
    assert carrier.now < 29


KEYWORDS = ["event", "start", "media", "mediaFormat", "media_format", "encoding", "sampleRate", "content-type"]
KEYWORDS += [
    "customParameters",
    "extra_headers",
    "streamSid",
    "callSid",
    "from",
    "payload",
    "chunk",
    "mark",
    "name",
]
WORDS = [
    *KEYWORDS,
    "websocket:connected",
    "PCMU",
    "L16",
    "audio/l16;rate=16000",
    "8000",
    "a=1,b",
    '{"a": "b"}',
    "[]",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS) | st.text(), some),
    max_leaves=12,
)
STARTS = st.sampled_from(["start", "websocket:connected", "media", "mark", "dtmf"])


@given(
    st.sampled_from([*DIALECTS.values()]), STARTS, st.dictionaries(st.sampled_from(KEYWORDS), VALUES), VALUES
)
def test_a_message_is_read_or_is_not_whatever_it_holds(
    dialect: CarrierDialect, event: str, fields: dict[str, Any], within: Any
) -> None:
    text = json.dumps({**fields, event: within, "event": event})
    kind, found = read_message(text, dialect)
    assert isinstance(kind, str)
    with suppress(ProtocolError):
        stream = read_start(found, dialect, {"query_string": b"a=%ff&=&from=%00", "client": None})
        assert stream.details.id
        assert stream.rate in (8000, 16000, 24000)
        assert len(stream.details.metadata) <= 32


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda some: some.decode(errors="replace")))
def test_text_is_read_or_is_not(text: str) -> None:
    assert read_message(text, DIALECTS["twilio"])[1] == {} or text
    assert read_message('{"event": "start", "streamSid": "\\ud800"}', DIALECTS["twilio"])


@given(st.lists(st.integers(1, 50), max_size=80), st.integers(0, 6))
def test_whatever_the_order_each_chunk_is_heard_once_at_its_place(numbers: list[int], depth: int) -> None:
    order, heard = ChunkOrder(depth, 1 << 20), b""
    for number in numbers:
        heard += order.push(number, bytes([number, 0]))
    places = [value for value in heard[::2] if value]
    assert places == sorted(set(places))
    if places:
        assert heard[::2] == bytes(
            n if n in places else 0 for n in range(places[0], places[0] + len(heard) // 2)
        )


def test_a_gap_is_filled_up_to_a_limit_and_counting_may_begin_anew() -> None:
    order = ChunkOrder(0, 8)
    assert order.push(1, b"ab") == b"ab"
    assert order.push(10**14, b"cd") == bytes(8) + b"cd"
    assert order.push(1, b"ef") == b"ef"
    assert order.push(1, b"ef") == b""
    assert order.push(2, b"gh") == b"gh"


def test_every_template_is_json() -> None:
    from string import Template

    for dialect in DIALECTS.values():
        for template in filter(None, (dialect.media, dialect.mark, dialect.clear)):
            filled = Template(template).substitute(id='"i"', name='"n"', audio='"YQ=="', type='"t"', rate="1")
            assert isinstance(json.loads(filled), dict)
