"""Servers of telephone peers, small and honest: each answers when the caller has stopped speaking.

They run in memory, over the two ends of a wire, in time that jumps.
"""

import json
from array import array
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import ResourceGuard
from anyio.abc import ByteStream
from websockets.exceptions import ConnectionClosedOK

from vivavoce.audio import g711
from vivavoce.client.telephone.caller import OutgoingCall, Recording, Script, TelephoneCaller
from vivavoce.client.telephone.codecs import Codec
from vivavoce.client.telephone.peer import TelephonePeer

Json = dict[str, Any]
SEND_SECONDS = 0.001
STILL_FRAMES = 15
"""after 0.3 s of quiet a server answers"""


def tone(seconds: float, rate: int = 8000, level: int = 8000) -> bytes:
    return array("h", [level] * round(seconds * rate)).tobytes()


def question(rate: int = 8000, seconds: float = 1.0, name: str = "question.wav") -> Recording:
    """Speech between 0.1 s of silence before it, and 0.5 s after it."""
    return Recording(name, bytes(rate // 5) + tone(seconds, rate) + bytes(rate))


class Lane:
    """One direction of a wire."""

    def __init__(self) -> None:
        self._items, self._is_closed, self._changed = deque[Any](), False, anyio.Event()

    def put(self, item: Any) -> None:
        if self._is_closed:
            raise anyio.BrokenResourceError
        self._items.append(item)
        self._wake()

    async def get(self) -> Any:
        while not self._items:
            if self._is_closed:
                raise anyio.EndOfStream
            await self._changed.wait()
        return self._items.popleft()

    def close(self) -> None:
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class WebSocketEnd:
    """One end of a WebSocket in memory, with what the callers use of the library's."""

    remote_address = ("server", 1)

    def __init__(self, out: Lane, into: Lane) -> None:
        self._out, self._into = out, into

    async def send(self, message: str | bytes) -> None:
        try:
            self._out.put(message)
        except anyio.BrokenResourceError:
            raise ConnectionClosedOK(None, None) from None

    async def recv(self) -> str | bytes:
        try:
            return await self._into.get()
        except anyio.EndOfStream:
            raise ConnectionClosedOK(None, None) from None

    async def close(self) -> None:
        self._out.close()
        self._into.close()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while True:
            try:
                yield await self.recv()
            except ConnectionClosedOK:
                return


class Pipe(ByteStream):
    """One end of a TCP connection in memory. Sending takes a moment, and only one task may do so."""

    def __init__(self, out: Lane, into: Lane) -> None:
        self._out, self._into, self._guard = out, into, ResourceGuard("writing to")

    async def send(self, item: bytes) -> None:
        with self._guard:
            await anyio.sleep(SEND_SECONDS)
            self._out.put(item)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._into.get()

    async def send_eof(self) -> None:
        self._out.close()

    async def aclose(self) -> None:
        self._out.close()
        self._into.close()


def ends(kind: type[Any]) -> tuple[Any, Any]:
    """Return the two ends of a wire."""
    there, here = Lane(), Lane()
    return kind(there, here), kind(here, there)


async def called(
    peer: TelephonePeer, codec: Codec, server: Callable[[], Awaitable[None]], script: Script
) -> OutgoingCall:
    """Make one call while a server runs."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server)
        call = await TelephoneCaller(peer, codec).follow(script)
        tasks.cancel_scope.cancel()
    return call


@dataclass
class Listener:
    """Notices, frame by frame, that the caller begins to speak and has stopped."""

    was_loud: bool = False
    still: int = 0

    def hear(self, pcm: bytes) -> str:
        """Return `began`, `ended`, or nothing."""
        if pcm and max(array("h", pcm)) > 1000:
            began, self.was_loud, self.still = not self.was_loud, True, 0
            return "began" if began else ""
        self.still += self.was_loud
        if self.still == STILL_FRAMES:
            self.was_loud, self.still = False, 0
            return "ended"
        return ""


@dataclass
class WebSocketServer:
    """Answers at one end of a WebSocket. The functions say how its messages are written."""

    end: WebSocketEnd
    audio_of: Callable[[Any], bytes | None]
    play: Callable[[], list[Any]]
    interrupt: Callable[[], list[Any]] = list
    greeting: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)
    """what came that was no audio, with its time"""

    async def serve(self) -> None:
        listener = Listener()
        await self.send(self.greeting)
        async for raw in self.end:
            message = json.loads(raw) if isinstance(raw, str) else raw
            if (pcm := self.audio_of(message)) is None:
                self.received.append((anyio.current_time(), message))
                continue
            noticed = listener.hear(pcm)
            await self.send({"ended": self.play, "began": self.interrupt}.get(noticed, list)())

    async def send(self, messages: list[Any]) -> None:
        for one in messages:
            await self.end.send(one if isinstance(one, bytes) else json.dumps(one))

    def events(self, key: str = "event") -> list[str]:
        """Return what came, by its name."""
        return [message.get(key, "") for _, message in self.received]

    def at(self, name: str) -> list[float]:
        """Return when messages with this event came."""
        return [when for when, message in self.received if message.get("event") == name]


def mulaw(pcm: bytes) -> str:
    return b64encode(g711.encode(pcm, "ulaw")).decode()


def from_mulaw(payload: str) -> bytes:
    return g711.decode(b64decode(payload), "ulaw")
