"""Calls by Asterisk's chan_websocket: its events and commands in both forms, and what it throws away."""

import logging
from array import array
from dataclasses import replace
from typing import Any, ClassVar

import anyio
import pytest

from transports.carriers import Callers, Carrier, Wire, asterisk, call, sounding
from transports.legs import LONG, QUESTION, Presses, truncations
from vivavoce.protocol import events as e
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.transports.telephony.ami import Ami
from vivavoce.transports.telephony.asterisk import read_event

pytestmark = pytest.mark.anyio

FORMATS = ["slin", "slin16", "slin24", "ulaw", "alaw"]
BARGE_IN = CallerSays(5.0, "No, stop please, I mean Spain.")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("as_json", [True, False])
async def test_two_turns_an_interruption_and_a_key(kind: str, as_json: bool) -> None:
    steps = [QUESTION, BARGE_IN, Presses(10.0, "5"), Presses(10.3, "#")]
    callers, wire, shape = Callers(), Wire(), asterisk(kind, as_json=as_json)
    simulation = Simulation([LONG, "Madrid.", "Five."])
    carrier, timeline = await call(
        "asterisk",
        simulation,
        steps,
        until=14,
        wire=wire,
        callers=callers,
        shape=shape,
        query="from=200&to=300",
    )
    assert carrier.received[0][1] == "answer"
    started = timeline.at(e.InputAudioBufferSpeechStarted, 1)
    before = [at for at in sounding(carrier) if at < started + 0.5]
    assert max(before) <= started + 0.06
    (ms,) = truncations(timeline)
    assert ms == pytest.approx(1000 * (max(before) + 0.02 - min(before)), abs=90)
    assert [one.event for one in timeline.of(e.DtmfEventReceived)] == ["5", "#"]  # type: ignore[attr-defined]
    assert len(timeline.of(e.ResponseDone)) == 3
    assert timeline.of(e.ErrorEvent) == []
    (caller,) = callers
    assert (caller.transport, caller.address, caller.external_id) == ("asterisk", "200", "pbx-17.9")


@pytest.mark.parametrize("kind", FORMATS)
async def test_nothing_is_thrown_away_for_filling_no_frame(kind: str) -> None:
    shape = asterisk(kind)
    carrier, timeline = await call(
        "asterisk", Simulation([LONG], word_delay=0), [QUESTION], until=11, shape=shape
    )
    audio = b"".join(one.delta for one in timeline.of(e.ResponseOutputAudioDelta))  # type: ignore[attr-defined]
    heard = sum(sum(abs(one) > 100 for one in array("h", pcm)) for _, pcm in carrier.heard) / shape.rate
    assert heard == pytest.approx(sum(abs(one) > 100 for one in array("h", audio)) / 24_000, abs=0.03)


async def test_a_frame_is_as_large_as_asterisk_says() -> None:
    wire, shape = Wire(), replace(asterisk("ulaw"), start=[])

    async def act(carrier: Carrier) -> None:
        await carrier.send({"event": "MEDIA_START", "format": "ulaw", "optimal_frame_size": 240})
        await carrier.act([QUESTION], 6)

    await call("asterisk", Simulation([LONG]), [QUESTION], wire=wire, act=act, shape=shape)
    sizes = [len(one["bytes"]) for one in wire.sent if one.get("bytes")]
    assert sizes
    assert all(size % 240 == 0 for size in sizes)


@pytest.mark.parametrize("size", ["0", -1, 10**9, "x", None, 641, [], "9" * 5000])
async def test_a_frame_size_that_is_none_is_twenty_milliseconds(size: Any) -> None:
    wire = Wire()

    async def begin(carrier: Carrier) -> None:
        await carrier.send({"event": "MEDIA_START", "format": "slin16", "optimal_frame_size": size})
        await carrier.act([QUESTION], 5)

    simulation = Simulation([LONG])
    shape = replace(asterisk(), start=[])
    await call("asterisk", simulation, [QUESTION], wire=wire, act=begin, shape=shape)
    sizes = [len(one["bytes"]) for one in wire.sent if one.get("bytes")]
    assert sizes
    assert all(size % 640 == 0 for size in sizes)


async def test_while_its_queue_is_full_nothing_is_sent() -> None:
    async def act(carrier: Carrier) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carrier.act, [QUESTION], 12)
            await anyio.sleep(3.5)
            await carrier.send({"event": "MEDIA_XOFF", "channel_id": "1"})
            await anyio.sleep(2)
            await carrier.send({"event": "MEDIA_XON", "channel_id": "1"})

    simulation = Simulation([LONG], word_delay=0)
    carrier, _ = await call("asterisk", simulation, [QUESTION], act=act, shape=asterisk())
    sent = [at for at, kind in carrier.received if kind == "audio"]
    assert not [at for at in sent if 3.52 < at < 5.49]
    assert [at for at in sent if at < 3.5]
    assert [at for at in sent if at > 5.49]


async def test_what_waited_for_a_full_queue_is_dropped_by_an_interruption() -> None:
    async def act(carrier: Carrier) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carrier.act, [QUESTION, BARGE_IN], 10)
            await anyio.sleep(3.5)
            await carrier.send({"event": "MEDIA_XOFF", "channel_id": "1"})

    simulation = Simulation([LONG, "Madrid."], word_delay=0)
    carrier, timeline = await call("asterisk", simulation, [QUESTION, BARGE_IN], act=act, shape=asterisk())
    (flushed,) = carrier.cleared
    sent = [at for at, kind in carrier.received if kind == "audio"]
    done = timeline.at(e.ResponseCreated, 1)
    assert not [at for at in sent if 3.52 < at < done - 0.01], "nothing of the old answer comes after the flush"
    assert [at for at in sent if at >= done - 0.01]
    assert flushed < done


async def test_a_call_that_we_leave_is_hung_up() -> None:
    callers, wire = Callers(), Wire()

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        await anyio.sleep(1)
        assert callers[0].leave
        await callers[0].leave()
        await anyio.sleep(5)

    carrier, _ = await call("asterisk", Simulation(), act=act, callers=callers, wire=wire, shape=asterisk())
    assert carrier.has_hung_up
    assert wire.closed["code"] == 1000
    assert wire.sent[0] == {"type": "websocket.accept", "subprotocol": None}


class RecordingAmi(Ami):
    """Remembers what was done to which call."""

    done: ClassVar[list[tuple[str, str, str]]] = []

    async def redirect(self, uuid: str, target: str) -> None:
        self.done.append(("redirect", uuid, target))

    async def hang_up(self, uuid: str) -> None:
        self.done.append(("hang up", uuid, ""))


UUID = "123e4567-e89b-12d3-a456-426614174000"


async def test_a_call_with_a_uuid_is_transferred_by_ami() -> None:
    callers, ami = Callers(), RecordingAmi("127.0.0.1", "viva", "hush", hangs_up=True)
    ami.done.clear()

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        await anyio.sleep(1)
        assert callers[0].refer
        await callers[0].refer("200@desk")
        assert callers[0].leave
        await callers[0].leave()
        await anyio.sleep(5)

    query = f"uuid={UUID.upper()}"
    carrier, _ = await call(
        "asterisk", Simulation(), act=act, callers=callers, shape=asterisk(), ami=ami, query=query
    )
    assert ami.done == [("redirect", UUID, "200@desk"), ("hang up", UUID, "")]
    assert carrier.has_hung_up


@pytest.mark.parametrize(
    ("ami", "query"),
    [
        (None, f"uuid={UUID}"),
        (RecordingAmi("127.0.0.1", "viva", "hush"), ""),
        (RecordingAmi("127.0.0.1", "viva", "hush"), "uuid=a"),
    ],
)
async def test_without_ami_or_a_uuid_no_transfer_is_offered(ami: Ami | None, query: str) -> None:
    callers = Callers()

    async def act(carrier: Carrier) -> None:
        await carrier.start()
        await anyio.sleep(1)
        assert callers[0].refer is None

    await call("asterisk", Simulation(), act=act, callers=callers, shape=asterisk(), ami=ami, query=query)


@pytest.mark.parametrize(
    "start", ['{"event": "MEDIA_START", "format": "opus"}', "MEDIA_START", "MEDIA_START format:g722"]
)
async def test_a_format_that_is_not_understood_is_refused_with_what_to_set(start: str) -> None:
    wire = Wire()

    async def act(carrier: Carrier) -> None:
        await carrier.put(start)
        await anyio.sleep(1)

    _, timeline = await call("asterisk", Simulation(), wire=wire, act=act, shape=asterisk())
    assert wire.closed["code"] == 1003
    assert "c(slin16)" in wire.closed["reason"]
    assert timeline.entries == []


async def test_a_call_without_a_start_is_closed() -> None:
    wire = Wire()

    async def act(carrier: Carrier) -> None:
        await carrier.put(b"\0" * 640)
        await carrier.put("HELLO")
        await anyio.sleep(20)

    carrier, _ = await call("asterisk", Simulation(), wire=wire, act=act, shape=asterisk())
    assert carrier.now == pytest.approx(10)
    assert "MEDIA_START" in wire.closed["reason"]


@pytest.mark.parametrize("as_json", [True, False])
async def test_what_means_nothing_harms_nothing(as_json: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bad: list[Any] = [
        *(
            "",
            " ",
            "{",
            "{}",
            "[]",
            "null",
            '{"event": 1}',
            '{"event": "NEW"}',
            "NEW a:b",
            "DTMF_END",
            "DTMF_END digit:x",
        ),
        *(
            '{"event": "DTMF_END", "digit": 5}',
            "MEDIA_START format:opus",
            '{"event": "MEDIA_START"}',
            "MEDIA_XON",
        ),
        *(
            "MEDIA_MARK_PROCESSED",
            "MEDIA_MARK_PROCESSED correlation_id:7000",
            "ERROR error_text:x",
            '{"a":' * 3000,
            b"",
        ),
        "word " * 5000,
    ]

    async def act(carrier: Carrier) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carrier.act, [QUESTION], 6)
            await anyio.sleep(0.7)
            for message in bad * 50:
                await carrier.put(message)

    simulation, shape = Simulation(["Paris."]), asterisk(as_json=as_json)
    carrier, timeline = await call("asterisk", simulation, [QUESTION], act=act, shape=shape)
    assert len(timeline.of(e.ResponseDone)) == 1
    assert timeline.of(e.ErrorEvent) == []
    assert sounding(carrier)
    assert len([one for one in caplog.records if "ignored" in one.getMessage()]) == 1


def test_events_are_json_or_lines() -> None:
    assert read_event('{"event": "DTMF_END", "digit": "5"}') == (
        "DTMF_END",
        {"event": "DTMF_END", "digit": "5"},
    )
    assert read_event("DTMF_END digit:5") == ("DTMF_END", {"digit": "5"})
    assert read_event("MEDIA_XOFF") == ("MEDIA_XOFF", {})
    assert read_event("MEDIA_START channel:a:b") == ("MEDIA_START", {"channel": "a:b"})
    assert read_event("") == ("", {})
