"""Carriers of telephone calls, as they describe themselves: they stream, play by a clock, and mark.

Their calls run without a network, in jumping time (`call`), or over a WebSocket of the test's.
"""

import json
from array import array
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from transports.legs import Doing, Presses
from vivavoce.audio import g711
from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation, Timeline
from vivavoce.transports.telephony.ami import Ami
from vivavoce.transports.telephony.asterisk import AsteriskServer
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.media_streams import DIALECTS, MediaStreamServer

Sent = dict[str, Any] | bytes | str


@dataclass(frozen=True)
class Shape:
    """What a carrier sends, and what it understands: `read` returns such as ("mark", name)."""

    path: str
    rate: int
    start: Sequence[Sent]
    media: Callable[[int, bytes], Sent]
    key: Callable[[str], Sent]
    mark: Callable[[str], Sent]
    stop: Sent | None
    read: Callable[[Any], tuple[str, Any]]
    law: Any = "ulaw"
    played_ms: int = 20
    cleared: Sent | None = None

    def encode(self, pcm: bytes) -> bytes:
        return g711.encode(pcm, self.law) if self.law else pcm

    def decode(self, audio: bytes) -> bytes:
        return g711.decode(audio, self.law) if self.law else audio


def b64(audio: bytes) -> str:
    return b64encode(audio).decode()


def twilio(path: str = "twilio") -> Shape:
    def read(message: Any) -> tuple[str, Any]:
        assert message["streamSid"] == "MZ1"
        if message["event"] == "media":
            return "audio", b64decode(message["media"]["payload"], validate=True)
        return message["event"], message.get("mark", {}).get("name")

    about = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "customParameters": {"from": "+15550100", "agent": "sales"},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    return Shape(
        path,
        8000,
        [
            {"event": "connected", "protocol": "Call", "version": "1.0.0"},
            {"event": "start", "sequenceNumber": "1", "start": about, "streamSid": "MZ1"},
        ],
        lambda n, audio: {
            "event": "media",
            "sequenceNumber": str(n + 1),
            "media": {"track": "inbound", "chunk": str(n), "timestamp": str(20 * n), "payload": b64(audio)},
            "streamSid": "MZ1",
        },
        lambda digit: {
            "event": "dtmf",
            "streamSid": "MZ1",
            "sequenceNumber": "5",
            "dtmf": {"track": "inbound_track", "digit": digit},
        },
        lambda name: {"event": "mark", "sequenceNumber": "9", "streamSid": "MZ1", "mark": {"name": name}},
        {"event": "stop", "sequenceNumber": "5", "stop": {"accountSid": "AC1", "callSid": "CA1"}},
        read,
    )


def telnyx() -> Shape:
    def read(message: Any) -> tuple[str, Any]:
        if message["event"] == "media":
            return "audio", b64decode(message["media"]["payload"], validate=True)
        return message["event"], message.get("mark", {}).get("name")

    about = {
        "user_id": "U1",
        "call_control_id": "v2:C1",
        "from": "+15550100",
        "to": "+15550199",
        "custom_parameters": {"agent": "sales"},
        "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
    }
    return Shape(
        "telnyx",
        8000,
        [
            {"event": "connected", "version": "1.0.0"},
            {"event": "start", "sequence_number": "1", "start": about, "stream_id": "S1"},
        ],
        lambda n, audio: {
            "event": "media",
            "sequence_number": str(n + 3),
            "media": {"track": "inbound", "chunk": str(n), "timestamp": str(20 * n), "payload": b64(audio)},
            "stream_id": "S1",
        },
        lambda digit: {"event": "dtmf", "stream_id": "S1", "sequence_number": "5", "dtmf": {"digit": digit}},
        lambda name: {"event": "mark", "sequence_number": "4", "stream_id": "S1", "mark": {"name": name}},
        {"event": "stop", "sequence_number": "5", "stop": {"call_control_id": "v2:C1"}, "stream_id": "S1"},
        read,
        law="alaw",
    )


def plivo() -> Shape:
    def read(message: Any) -> tuple[str, Any]:
        match message:
            case {"event": "playAudio", "media": media}:
                assert media["contentType"] == "audio/x-l16"
                assert media["sampleRate"] == 16000
                return "audio", b64decode(media["payload"], validate=True)
            case {"event": "checkpoint", "streamId": "S1", "name": name}:
                return "mark", name
            case {"event": "clearAudio", "streamId": "S1"}:
                return "clear", None
        raise AssertionError(message)

    about = {
        "callId": "C1",
        "streamId": "S1",
        "accountId": "A1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000},
    }
    extra = '{"from":"15550100","agent":"sales"}'
    return Shape(
        "plivo",
        16000,
        [{"event": "start", "sequenceNumber": 0, "start": about, "extra_headers": extra}],
        lambda n, audio: {
            "event": "media",
            "sequenceNumber": n + 1,
            "streamId": "S1",
            "media": {"track": "inbound", "timestamp": str(20 * n), "chunk": n, "payload": b64(audio)},
        },
        lambda digit: {"event": "dtmf", "streamId": "S1", "dtmf": {"track": "inbound", "digit": digit}},
        lambda name: {"event": "playedStream", "streamId": "S1", "sequenceNumber": 9, "name": name},
        {"event": "stop", "streamId": "S1", "sequenceNumber": 99},
        read,
        law=None,
        cleared={"event": "clearedAudio", "streamId": "S1", "sequenceNumber": 9},
    )


def exotel() -> Shape:
    def read(message: Any) -> tuple[str, Any]:
        assert message["stream_sid"] == "MZ1"
        if message["event"] == "media":
            audio = b64decode(message["media"]["payload"], validate=True)
            assert 3200 <= len(audio) <= 100_000
            assert len(audio) % 320 == 0
            return "audio", audio
        return message["event"], message.get("mark", {}).get("name")

    about = {
        "stream_sid": "MZ1",
        "call_sid": "CA1",
        "account_sid": "AC1",
        "from": "+15550100",
        "to": "+15550199",
        "custom_parameters": {"agent": "sales"},
        "media_format": {"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"},
    }
    return Shape(
        "exotel",
        8000,
        [
            {"event": "connected"},
            {"event": "start", "sequence_number": "1", "stream_sid": "MZ1", "start": about},
        ],
        lambda n, audio: {
            "event": "media",
            "sequence_number": str(n + 2),
            "stream_sid": "MZ1",
            "media": {"chunk": str(n), "timestamp": str(20 * n), "payload": b64(audio)},
        },
        lambda digit: {"event": "dtmf", "stream_sid": "MZ1", "dtmf": {"duration": "100", "digit": digit}},
        lambda name: {"event": "mark", "sequence_number": "5", "stream_sid": "MZ1", "mark": {"name": name}},
        {"event": "stop", "sequence_number": "5", "stream_sid": "MZ1", "stop": {"reason": "callended"}},
        read,
        law=None,
    )


def vonage() -> Shape:
    def read(message: Any) -> tuple[str, Any]:
        match message:
            case bytes():
                assert len(message) == 640
                return "audio", message
            case {"action": "notify", "payload": {"name": name}}:
                return "mark", name
            case {"action": "clear"}:
                return "clear", None
        raise AssertionError(message)

    return Shape(
        "vonage",
        16000,
        [
            {
                "event": "websocket:connected",
                "content-type": "audio/l16;rate=16000",
                "uuid": "C1",
                "from": "15550100",
                "agent": "sales",
            }
        ],
        lambda n, audio: audio,
        lambda digit: {"event": "websocket:dtmf", "digit": digit, "duration": 260},
        lambda name: {"event": "websocket:notify", "payload": {"name": name}},
        None,
        read,
        law=None,
        cleared={"event": "websocket:cleared"},
    )


def asterisk(kind: str = "slin16", *, as_json: bool = True) -> Shape:
    """Asterisk, which throws away what fills no frame, and reads no long commands."""
    law, rate = {
        "ulaw": ("ulaw", 8000),
        "alaw": ("alaw", 8000),
        "slin": (None, 8000),
        "slin16": (None, 16000),
        "slin24": (None, 24000),
    }[kind]
    frame = rate // 50 * (1 if law else 2)

    def read(message: Any) -> tuple[str, Any]:
        if isinstance(message, bytes):
            assert 0 < len(message) <= 65_500
            return "audio", message[: len(message) // frame * frame]
        assert as_json == isinstance(message, dict)
        assert len(str(message)) <= 128
        name = message["command"] if as_json else message
        names = {"MARK_MEDIA": "mark", "FLUSH_MEDIA": "clear", "ANSWER": "answer", "HANGUP": "hangup"}
        return names[name], message.get("correlation_id") if as_json else None

    about = {
        "connection_id": "N1",
        "channel": "WebSocket/viva",
        "channel_id": "pbx-17.9",
        "format": kind,
        "optimal_frame_size": frame,
        "ptime": 20,
    }

    def event(name: str, **fields: Any) -> Sent:
        if as_json:
            return {"event": name, **fields}
        return " ".join([name, *(f"{key}:{value}" for key, value in fields.items())])

    variables = {"channel_variables": {"AGENT": "sales"}} if as_json else {}
    return Shape(
        "asterisk",
        rate,
        [event("MEDIA_START", **about, **variables)],
        lambda n, audio: audio,
        lambda digit: event("DTMF_END", channel_id="pbx-17.9", digit=digit),
        lambda name: event("MEDIA_MARK_PROCESSED", correlation_id=name),
        None,
        read,
        law=law,
    )


SHAPES = {
    "twilio": twilio(),
    "telnyx": telnyx(),
    "signalwire": twilio("signalwire"),
    "plivo": plivo(),
    "exotel": exotel(),
    "vonage": vonage(),
}


@dataclass
class Carrier:
    """One call: streams what the caller does, and plays what comes back, 20 ms at a time."""

    shape: Shape
    put: Callable[[str | bytes], Awaitable[object]]
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    """PCM that was played, with its time"""
    cleared: list[float] = field(default_factory=list)
    received: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = anyio.current_time()
        self.has_hung_up = False
        self._queue: list[tuple[str, Any]] = []

    @property
    def now(self) -> float:
        return anyio.current_time() - self.began

    async def send(self, message: Sent) -> None:
        await self.put(json.dumps(message) if isinstance(message, dict) else message)

    async def on_message(self, message: str | bytes) -> None:
        kind, value = self.shape.read(
            json.loads(message) if isinstance(message, str) and message.startswith("{") else message
        )
        self.received.append((self.now, kind))
        match kind:
            case "audio":
                pcm, size = self.shape.decode(value), self.shape.rate // 25
                self._queue += [("audio", pcm[at : at + size]) for at in range(0, len(pcm), size)]
            case "mark":
                self._queue.append((kind, value))
            case "clear":
                self.cleared.append(self.now)
                marks = [name for kind, name in self._queue if kind == "mark"]
                self._queue.clear()
                for name in marks:
                    await self.send(self.shape.mark(name))
                if self.shape.cleared:
                    await self.send(self.shape.cleared)
            case "answer":
                pass
            case "hangup":
                self.has_hung_up = True
            case _:
                raise AssertionError(kind)

    async def start(self) -> None:
        for message in self.shape.start:
            await self.send(message)

    async def act(self, steps: Sequence[Doing], until: float) -> None:
        """Stream what the caller does, then stop."""
        said = [step for step in steps if isinstance(step, CallerSays)]
        keys = sorted((step for step in steps if isinstance(step, Presses)), key=lambda step: step.at)
        await self.start()
        for frame in range(round(until * 50)):
            at = frame / 50
            await anyio.sleep_until(self.began + at)
            while keys and keys[0].at <= at:
                await self.send(self.shape.key(keys.pop(0).key))
            level = next((n for n, one in enumerate(said, 1) if one.at <= at < one.until), 0)
            pcm = array("h", [1000 * level] * (self.shape.rate // 50)).tobytes()
            await self.send(self.shape.media(frame + 1, self.shape.encode(pcm)))
        if self.shape.stop:
            await self.send(self.shape.stop)

    async def play(self) -> None:
        """Play what is queued, until cancelled."""
        due = anyio.current_time()
        while True:
            due = max(due + 0.02, anyio.current_time() - 0.1)
            await anyio.sleep_until(due)
            while self._queue and self._queue[0][0] == "mark":
                await self.send(self.shape.mark(self._queue.pop(0)[1]))
            if self._queue:
                self.heard.append((self.now, self._queue.pop(0)[1]))


Callers = list[Caller]


class Wire:
    """A WebSocket without a network: what ASGI passes to the server, and what the server sends."""

    def __init__(self) -> None:
        self.to_server = deque[dict[str, Any]]([{"type": "websocket.connect"}])
        self.arrived = anyio.Event()
        self.sent: list[dict[str, Any]] = []
        self.carrier: Carrier | None = None

    async def put(self, message: str | bytes) -> None:
        kind = "bytes" if isinstance(message, bytes) else "text"
        self.give({"type": "websocket.receive", kind: message})

    def give(self, message: dict[str, Any]) -> None:
        self.to_server.append(message)
        self.arrived.set()

    async def receive(self) -> dict[str, Any]:
        while not self.to_server:
            self.arrived = anyio.Event()
            await self.arrived.wait()
        return self.to_server.popleft()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.send" and self.carrier:
            await self.carrier.on_message(message.get("text") or message["bytes"])

    @property
    def closed(self) -> dict[str, Any]:
        (message,) = [one for one in self.sent if one["type"] == "websocket.close"]
        return message


async def call(
    name: str,
    simulation: Simulation,
    steps: Sequence[Doing] = (),
    *,
    until: float = 5,
    wire: Wire | None = None,
    act: Callable[[Carrier], Any] | None = None,
    callers: Callers | None = None,
    query: str = "",
    transfer: Any = None,
    shape: Shape | None = None,
    ami: Ami | None = None,
) -> tuple[Carrier, Timeline]:
    """Run one call in a carrier's dialect; `act` is done instead of the steps."""
    wire = wire or Wire()
    carrier = wire.carrier = Carrier(shape or SHAPES[name], wire.put)
    simulation.caller.utterances = [step for step in steps if isinstance(step, CallerSays)]
    timeline = Timeline([], carrier.began)

    def listener(caller: Caller) -> Callable[[ObservedEvent], None]:
        (callers if callers is not None else []).append(caller)
        return timeline.entries.append

    async def converse() -> None:
        await (act(carrier) if act else carrier.act(steps, until))

    switchboard = Switchboard(simulation.engine, listeners=[listener], middleware=simulation.middleware)
    transport = TelephoneTransport(switchboard.connect)
    dialect = DIALECTS.get(name)
    server = MediaStreamServer(dialect, transport, transfer) if dialect else AsteriskServer(transport, ami)
    scope = {"type": "websocket", "query_string": query.encode(), "client": ("192.0.2.1", 5), "headers": []}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carrier.play)

        async def end() -> None:
            await converse()
            wire.give({"type": "websocket.disconnect", "code": 1000})

        tasks.start_soon(end)
        await server(scope, wire.receive, wire.send)
        tasks.cancel_scope.cancel()
    return carrier, timeline


def sounding(carrier: Carrier) -> list[float]:
    return [at for at, pcm in carrier.heard if max(array("h", pcm), default=0) > 100]
