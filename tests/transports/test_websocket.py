"""What the door does without a socket: sound that is heard as it comes, and clients that do not read."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.streams.memory import MemoryObjectSendStream

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.session.call import Caller
from vivavoce.session.line import Line, open_line
from vivavoce.transports.websocket import RECEIVE_NOWAIT, WebSocketTransport

pytestmark = pytest.mark.anyio


class Socket:
    """A server of ASGI with a WebSocket, at whose other end of the line we are."""

    def __init__(self, far: Line, incoming: MemoryObjectSendStream[dict[str, Any]]) -> None:
        self.far, self._incoming = far, incoming
        self.receive_nowait: Callable[[bytes], bool] = lambda frame: False
        self.sent: list[dict[str, Any]] = []
        self.reads = anyio.Event()
        self.reads.set()
        self.over = anyio.Event()

    async def queue(self, name: str, kind: str = "input_audio_buffer.append") -> None:
        await self._incoming.send({"type": "websocket.receive", "text": frame(name, kind)})
        await anyio.wait_all_tasks_blocked()

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.sent.append(message)

    def on_text(self, function: Callable[[bytes], bool]) -> None:
        self.receive_nowait = function

    async def heard(self) -> str | object:
        event = await anext(self.far)
        assert isinstance(event, e.ClientEvent)
        return event.event_id


def frame(name: str, kind: str = "input_audio_buffer.append") -> bytes:
    sound = ',"audio":"AAAA"' if "append" in kind else ""
    return f'{{"type":"{kind}","event_id":"{name}"{sound}}}'.encode()


@asynccontextmanager
async def conversation(depth: int = 32, **limits: Any) -> AsyncIterator[Socket]:
    near, far = open_line(depth)
    incoming, outgoing = anyio.create_memory_object_stream[dict[str, Any]](100)
    socket = Socket(far, incoming)

    @asynccontextmanager
    async def connect(_: Caller) -> AsyncIterator[Line]:
        yield near

    scope = {"query_string": b"", "headers": [], "extensions": {RECEIVE_NOWAIT: {"on_text": socket.on_text}}}

    async def serve() -> None:
        await WebSocketTransport(connect, Limits(**limits))(scope, outgoing.receive, socket.send)  # type: ignore[arg-type]
        socket.over.set()

    async with incoming, outgoing, anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await incoming.send({"type": "websocket.connect"})
        await anyio.wait_all_tasks_blocked()
        yield socket
        tasks.cancel_scope.cancel()


async def test_sound_is_heard_as_it_comes() -> None:
    async with conversation() as socket:
        assert socket.receive_nowait(frame("e1"))
        assert await socket.heard() == "e1"


@pytest.mark.parametrize(
    "said", [frame("e1", "response.cancel"), b"", b"\xff", frame("e1").replace(b"A", b"%")]
)
async def test_all_else_waits_for_its_turn(said: bytes) -> None:
    async with conversation() as socket:
        assert not socket.receive_nowait(said)


async def test_sound_does_not_overtake_what_waits() -> None:
    async with conversation(depth=1) as socket:
        assert socket.receive_nowait(frame("e1"))
        assert not socket.receive_nowait(frame("e2"))  # the line is full
        await socket.queue("e2")
        assert await socket.heard() == "e1"
        assert not socket.receive_nowait(frame("e3"))  # there is room, but the second is still on its way
        await socket.queue("e3")
        assert [await socket.heard(), await socket.heard()] == ["e2", "e3"]
        await anyio.wait_all_tasks_blocked()
        assert socket.receive_nowait(frame("e4"))


async def test_a_flood_of_sound_waits_for_the_next_second() -> None:
    began = anyio.current_time()
    async with conversation(events_per_second=3) as socket:
        assert [socket.receive_nowait(frame(f"e{number}")) for number in range(4)] == [True, True, True, False]
        await socket.queue("e3")
        assert [await socket.heard() for _ in range(4)] == ["e0", "e1", "e2", "e3"]
        assert anyio.current_time() == pytest.approx(began + 1)
        await anyio.lowlevel.checkpoint()
        assert socket.receive_nowait(frame("e4"))


async def test_nobody_hears_when_the_engine_has_left() -> None:
    async with conversation() as socket:
        await socket.far.__aexit__(None, None, None)
        assert not socket.receive_nowait(frame("e1"))
        await socket.over.wait()
        assert socket.sent[-1] == {"type": "websocket.close", "code": 1000}


async def test_a_client_may_take_its_time_to_read_but_not_too_long() -> None:
    async with conversation(send_seconds=10) as socket:
        await anyio.sleep(25)
        for seconds in (9, 9.5, 11):
            began, socket.reads = anyio.current_time(), anyio.Event()
            await socket.far.send(e.InputAudioBufferCleared())
            with anyio.move_on_after(seconds):
                await socket.over.wait()
            socket.reads.set()
            await anyio.wait_all_tasks_blocked()
        assert socket.over.is_set()
        assert anyio.current_time() == pytest.approx(began + 10)
        assert [message["type"] for message in socket.sent] == ["websocket.accept"] + ["websocket.send"] * 2
