"""Agent Voice Response by WebSocket: messages of JSON, audio in base64, 16-bit PCM at 8 kHz."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from websockets.asyncio.client import ClientConnection

from vivavoce.client.telephone.peer import (
    QUEUE_SECONDS,
    CallOptions,
    CallRecord,
    PeerTranscript,
    base64_audio,
    text_of,
    whole_samples,
)
from vivavoce.client.telephone.sockets import encode, messages, open_call
from vivavoce.connect.endpoint import Endpoint


@asynccontextmanager
async def dial(url: str, options: CallOptions) -> AsyncIterator["AvrWebSocket"]:
    """Call `ws://host:6030/?from=2000&to=5001`. Raises `ProviderError` if it cannot be reached, or refuses."""
    numbers = {"from": options.from_number, "to": options.to_number}
    async with open_call(Endpoint(url).with_query(**numbers).url, options) as socket:
        await socket.send(encode({"type": "init", "uuid": options.call_id}))
        yield AvrWebSocket(socket)


class AvrWebSocket:
    """One call by WebSocket; avr-core queues what comes, and drops it at an `interruption`."""

    queue_seconds: ClassVar[float] = QUEUE_SECONDS
    keys_pause_audio: ClassVar[bool] = True

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, audio: bytes) -> None:
        """Send audio."""
        await self._socket.send(encode({"type": "audio", "audio": b64encode(audio).decode()}))

    async def press(self, key: str) -> None:
        """Send a key."""
        await self._socket.send(encode({"type": "dtmf_digit", "digit": key}))

    async def hang_up(self) -> None:
        """Close the connection."""
        await self._socket.close()

    async def listen(self, record: CallRecord) -> None:
        """Receive until the server hangs up."""
        carry = bytearray()
        async for message in messages(self._socket, record):
            match text_of(message, "type"):
                case "audio":
                    record.audio(whole_samples(carry, base64_audio(text_of(message, "audio"), record)))
                case "interruption":
                    carry.clear()
                    record.clear()
                case "transcript":
                    record.transcripts.append(
                        PeerTranscript(text_of(message, "role"), text_of(message, "text"))
                    )
                case "error":
                    record.problem(f"The server reports an error: {text_of(message, 'message')}")
                case "ready":
                    pass
                case other:
                    record.problem(f"A message has the type {other!r}, which avr-core does not know.")
