"""How the bench reaches the engine: over a WebSocket, or in the same process. Either way a wire of notes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Protocol

import anyio
import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce.session.line import Line
from vivavoce.session.switchboard import Caller, Switchboard
from vivavoce_bench.measures import Note, first_audible

__all__ = ["Dial", "Wire", "dial_switchboard", "dial_websocket", "noted"]


class Wire(Protocol):
    """A caller's connection."""

    async def say(self, frame: bytes) -> None:
        """Send 20 ms of sound."""
        ...

    async def update(self, session: Session) -> None:
        """Send `session.update`."""
        ...

    def notes(self) -> AsyncIterator[Note]:
        """Hear what comes back, until the connection ends."""
        ...


# over a WebSocket: as little work as possible, for the bench shares the machine with the server


class _Response(Struct):
    id: str
    status: str = ""


class _Error(Struct):
    message: str = ""


class _Frame(Struct):
    type: str
    response_id: str = ""
    response: _Response | None = None
    delta: msgspec.Raw = msgspec.Raw(b'""')
    transcript: str = ""
    error: _Error | None = None


_frame = msgspec.json.Decoder(_Frame)
_sound = msgspec.json.Decoder(bytes)
_AUDIO = "response.output_audio.delta"


@lru_cache(maxsize=4096)
def _append(frame: bytes) -> str:
    return msgspec.json.encode(e.InputAudioBufferAppend(audio=frame)).decode()


class _OverWebSocket:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def say(self, frame: bytes) -> None:
        await self._socket.send(_append(frame))

    async def update(self, session: Session) -> None:
        await self._socket.send(msgspec.json.encode(e.SessionUpdate(session=session)).decode())

    async def notes(self) -> AsyncIterator[Note]:
        try:
            while True:
                text = await self._socket.recv(decode=False)
                yield noted(text, anyio.current_time())
        except ConnectionClosed:
            return


def noted(text: str | bytes, at: float) -> Note:
    """Note an event that arrived at this time."""
    frame = _frame.decode(text)
    sound = _sound.decode(frame.delta) if frame.type == _AUDIO else b""
    response = frame.response
    return Note(
        at,
        frame.type,
        response=response.id if response else frame.response_id,
        text=frame.error.message if frame.error else frame.transcript,
        status=response.status if response else "",
        seconds=_seconds(sound),
        audible=first_audible(sound),
    )


Dial = Callable[[], AbstractAsyncContextManager[Wire]]
"""Opens a wire; leaving the block hangs up."""


def dial_websocket(url: str, key: str | None = None) -> Dial:
    """Return how to call a Realtime server at a URL such as `ws://127.0.0.1:8765/v1/realtime`."""

    @asynccontextmanager
    async def dial() -> AsyncIterator[Wire]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            socket = await connect(url, additional_headers=headers, max_size=None, compression=None)
        except (OSError, WebSocketException) as error:
            raise ProviderError("viva serve", f"did not take the call: {error}") from error
        async with socket:
            yield _OverWebSocket(socket)

    return dial


# in the same process


class _OnLine:
    def __init__(self, line: Line) -> None:
        self._line = line

    async def say(self, frame: bytes) -> None:
        await self._line.send(e.InputAudioBufferAppend(audio=frame))

    async def update(self, session: Session) -> None:
        await self._line.send(e.SessionUpdate(session=session))

    async def notes(self) -> AsyncIterator[Note]:
        async for event in self._line:
            yield _of_event(event, anyio.current_time())


def _of_event(event: e.Event, at: float) -> Note:
    kind = str(event.__struct_config__.tag)
    match event:
        case e.ResponseOutputAudioDelta(response_id=response, delta=sound):
            return Note(at, kind, response, seconds=_seconds(sound), audible=first_audible(sound))
        case e.ResponseCreated(response=made) | e.ResponseDone(response=made):
            return Note(at, kind, made.id, status=made.status)
        case (
            e.ResponseOutputAudioTranscriptDelta(response_id=response)
            | e.ResponseFunctionCallArgumentsDone(response_id=response)
        ):
            return Note(at, kind, response)
        case e.TranscriptionCompleted(transcript=text):
            return Note(at, kind, text=text)
        case e.ErrorEvent(error=error):
            return Note(at, kind, text=error.message)
        case _:
            return Note(at, kind)


def dial_switchboard(switchboard: Switchboard) -> Dial:
    """Return how to call a switchboard of this process."""

    @asynccontextmanager
    async def dial() -> AsyncIterator[Wire]:
        async with switchboard.connect(Caller("bench")) as line:
            yield _OnLine(line)

    return dial


def _seconds(sound: bytes) -> float:
    return len(sound) / 2 / OUTPUT_RATE
