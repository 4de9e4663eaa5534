"""Vonage: audio in binary messages of 20 ms, everything else in JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
from websockets.asyncio.client import ClientConnection

from vivavoce.client.telephone.peer import CallOptions, CallRecord, Later, text_of
from vivavoce.client.telephone.sockets import encode, frames, open_call, read

QUEUED_MESSAGES = 3_072
KEY_MS = 100


@asynccontextmanager
async def dial(url: str, options: CallOptions) -> AsyncIterator["Vonage"]:
    """Call a WebSocket. Raises `ProviderError` if it cannot be reached, or refuses."""
    async with open_call(url, options) as socket:
        hello = {
            "event": "websocket:connected",
            "content-type": f"audio/l16;rate={options.codec.rate}",
            "uuid": options.call_id,
            "from": options.from_number,
            "to": options.to_number,
        }
        await socket.send(encode(hello))
        yield Vonage(socket, options.codec.frame_bytes)


class Vonage:
    """One call by Vonage, which queues about a minute."""

    queue_seconds: ClassVar[float] = QUEUED_MESSAGES * 0.02
    keys_pause_audio: ClassVar[bool] = False

    def __init__(self, socket: ClientConnection, frame_bytes: int) -> None:
        self._socket, self._frame_bytes = socket, frame_bytes
        self._notices: Later[object] = Later()

    async def send(self, audio: bytes) -> None:
        """Send audio."""
        await self._socket.send(audio)

    async def press(self, key: str) -> None:
        """Send a key."""
        await self._socket.send(encode({"event": "websocket:dtmf", "digit": key, "duration": KEY_MS}))

    async def hang_up(self) -> None:
        """Close the connection."""
        await self._socket.close()

    async def listen(self, record: CallRecord) -> None:
        """Receive until the server hangs up."""

        async def report(payload: object) -> None:
            await self._socket.send(encode({"event": "websocket:notify", "payload": payload}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._notices.run, report)
            async for frame in frames(self._socket):
                if isinstance(frame, bytes):
                    if len(frame) != self._frame_bytes:
                        record.problem(f"A message has {len(frame)} bytes of audio, not {self._frame_bytes}.")
                    record.audio(frame[: len(frame) // 2 * 2])
                else:
                    await self._obey(frame, record)
            tasks.cancel_scope.cancel()

    async def _obey(self, text: str, record: CallRecord) -> None:
        message = read(text, record)
        if message is None:
            return
        match text_of(message, "action"):
            case "notify":
                self._notices.add(message.get("payload"), record.queue.waiting(record.now))
            case "clear":
                record.clear()
                self._notices.take_all()
                await self._socket.send(encode({"event": "websocket:cleared"}))
            case other:
                record.problem(f"A message has the action {other!r}, which Vonage does not know.")
