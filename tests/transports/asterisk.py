"""Asterisk's side of AudioSocket and of its manager interface, over real sockets, and engines to talk with."""

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import AnySession
from vivavoce.session.line import Engine, Line
from vivavoce.session.switchboard import Switchboard
from vivavoce.transports.telephony.ami import Ami
from vivavoce.transports.telephony.audiosocket import AudioSocketServer, Frame, FrameParser
from vivavoce.transports.telephony.call import TelephoneTransport

ID, KEY, SLIN, SLIN16 = 0x01, 0x03, 0x10, 0x12
HANG_UP = Frame(0x00)


@dataclass
class Parrot:
    """An engine that keeps what it receives, and says `speech` (at 24 kHz) at the beginning."""

    speech: bytes = b""
    events: list[e.Event] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    has_ended: bool = False

    def __post_init__(self) -> None:
        self._changed = anyio.Event()

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        self.lines.append(line)
        try:
            for at in range(0, len(self.speech), 4800):
                await self.say(line, self.speech[at : at + 4800])
            async for event in line:
                self.events.append(event)
                self._note()
        finally:
            self.has_ended = True
            self._note()

    def _note(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def say(self, line: Line, audio: bytes) -> None:
        part = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        await line.send(e.ResponseOutputAudioDelta(delta=audio, **part))  # type: ignore[arg-type]

    @property
    def audio(self) -> bytes:
        """What the caller said, at 24 kHz."""
        return b"".join(one.audio for one in self.events if isinstance(one, e.InputAudioBufferAppend))

    async def until(self, true: Callable[[], object]) -> None:
        with anyio.fail_after(10):
            while not true():
                await self._changed.wait()


class Peer:
    """A connection as Asterisk makes one."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream, self.uuid = stream, str(uuid4())
        self._parser = FrameParser()
        self._frames: list[Frame] = []

    async def call(self) -> None:
        await self.send(Frame(ID, bytes.fromhex(self.uuid.replace("-", ""))))

    async def send(self, *frames: Frame) -> None:
        await self.stream.send(b"".join(frame.encode() for frame in frames))

    async def receive(self) -> Frame | None:
        """Return the next frame; None when the server has closed."""
        while not self._frames:
            try:
                self._frames += self._parser.push(await self.stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return None
        return self._frames.pop(0)

    async def rest(self) -> list[Frame]:
        """Return all frames until the server closes."""
        frames = []
        with anyio.fail_after(15):
            while (frame := await self.receive()) is not None:
                frames.append(frame)
        return frames


@dataclass
class Office:
    """A running server, and how to call it."""

    port: int
    transport: TelephoneTransport

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            yield Peer(stream)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Peer]:
        async with self.peer() as peer:
            await peer.call()
            yield peer


@asynccontextmanager
async def audiosocket(
    engine: Engine,
    may_call: Callable[[str], bool] = lambda address: True,
    ami: Ami | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Office]:
    """Serve AudioSocket on a free port."""
    limits = limits or Limits()
    transport = TelephoneTransport(Switchboard(engine, limits=limits).connect, limits)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(AudioSocketServer(transport, may_call, ami).serve, listening)
            yield Office(listening.getsockname()[1], transport)
            tasks.cancel_scope.cancel()


@dataclass
class FakeAmi:
    """A manager interface, with the channels of an Asterisk and its dialplan."""

    channels: Sequence[Mapping[str, str]] = ()
    extensions: Sequence[str] = ("200@internal",)
    secret: str = "hush"
    breaks_at: str = ""
    """the action in the middle of whose answer the connection breaks"""
    hangs_at: str = ""
    """the action that is never answered"""
    actions: list[Mapping[str, str]] = field(default_factory=list)
    """what was done, but for looking things up"""
    connections: int = 0
    ended: anyio.Event = field(default_factory=anyio.Event)
    """set when a connection has come and gone"""

    @asynccontextmanager
    async def serving(self, **settings: object) -> AsyncIterator[Ami]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (this is no Django)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            fields: dict[str, object] = {"secret": "hush", "context": "internal", **settings}
            yield Ami("127.0.0.1", "vivavoce", port=port, **fields)  # type: ignore[arg-type]
            tasks.cancel_scope.cancel()
        await listener.aclose()

    async def _serve(self, stream: SocketStream) -> None:
        self.connections += 1
        try:
            await self._answer_all(stream)
        finally:
            self.ended.set()

    async def _answer_all(self, stream: SocketStream) -> None:
        async with stream:
            buffer = BufferedByteReceiveStream(stream)
            await stream.send(b"Asterisk Call Manager/11.0.0\r\n")
            try:
                while True:
                    text = (await buffer.receive_until(b"\r\n\r\n", 10_000)).decode()
                    action = dict(line.split(": ", 1) for line in text.split("\r\n"))
                    if action["Action"] == self.hangs_at:
                        await anyio.sleep_forever()
                    answer = "".join(self._message(action, fields) for fields in self._answer(action)).encode()
                    if action["Action"] == self.breaks_at:
                        await stream.send(answer[: len(answer) // 2])
                        return
                    await stream.send(answer)
            except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                return

    def _message(self, action: Mapping[str, str], fields: Mapping[str, str]) -> str:
        lines = {**({} if fields.get("Event") == "FullyBooted" else {"ActionID": action["ActionID"]}), **fields}
        return "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"

    def _answer(self, action: Mapping[str, str]) -> list[Mapping[str, str]]:
        """Answer as Asterisk 22.10 does."""
        match action["Action"]:
            case "Login" if action["Secret"] != self.secret:
                return [{"Response": "Error", "Message": "Authentication failed"}]
            case "Login":
                booted = {"Event": "FullyBooted", "Privilege": "system,all", "Status": "Fully Booted"}
                return [{"Response": "Success", "Message": "Authentication accepted"}, booted]
            case "CoreShowChannels":
                begin = {"Response": "Success", "EventList": "start", "Message": "Channels will follow"}
                rows = [{"Event": "CoreShowChannel", **row} for row in self.channels]
                end = {
                    "Event": "CoreShowChannelsComplete",
                    "EventList": "Complete",
                    "ListItems": str(len(rows)),
                }
                return [begin, *rows, end]
            case "ShowDialPlan":
                place = f"{action['Extension']}@{action['Context']}"
                if place not in self.extensions:
                    return [{"Response": "Error", "Message": f"Did not find extension {place}"}]
                step = {"Event": "ListDialplan", "Extension": action["Extension"], "Application": "Dial"}
                start = {"Response": "Success", "EventList": "start", "Message": "DialPlan list will follow"}
                return [start, step, {"Event": "ShowDialPlanComplete", "EventList": "Complete"}]
            case "Ping":
                return [{"Response": "Success", "Ping": "Pong", "Timestamp": "1796070443.000000"}]
            case name:
                if action["Channel"] not in [row["Channel"] for row in self.channels]:
                    return [{"Response": "Error", "Message": "Channel does not exist."}]
                self.actions.append({key: value for key, value in action.items() if key != "ActionID"})
                message = {"Redirect": "Redirect successful", "Hangup": "Channel Hungup"}[name]
                return [{"Response": "Success", "Message": message}]


def dialled(uuid: str) -> list[Mapping[str, str]]:
    """Return the two channels of a call by `Dial(AudioSocket/…)`: the caller's, and the dialled one."""
    data = f"AudioSocket/127.0.0.1:9092/{uuid}/c(slin16)"
    return [
        {
            "Channel": f"AudioSocket/127.0.0.1:9092-{uuid}",
            "Application": "AppDial",
            "ApplicationData": "(Outgoing Line)",
        },
        {"Channel": "PJSIP/ada-00000001", "Application": "Dial", "ApplicationData": data},
        {"Channel": "PJSIP/bob-00000002", "Application": "Echo", "ApplicationData": ""},
    ]


def answered(uuid: str, channel: str = "PJSIP/ada-00000001") -> list[Mapping[str, str]]:
    """Return the channel of a call by `AudioSocket()`."""
    return [{"Channel": channel, "Application": "AudioSocket", "ApplicationData": f"{uuid},127.0.0.1:9092"}]
