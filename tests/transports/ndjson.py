"""A client of the sample transport."""

import json
from typing import Any

import anyio
from anyio.streams.stapled import StapledObjectStream


class Client:
    """The other end of a byte stream: an event a line."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._rest = stream, b""

    async def send(self, kind: str, **fields: Any) -> None:
        await self._stream.send(json.dumps({"type": kind, **fields}).encode() + b"\n")

    async def ask(self, text: str) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.send("conversation.item.create", item=item)
        await self.send("response.create", response={"output_modalities": ["text"]})

    async def until(self, kind: str) -> dict[str, Any]:
        with anyio.fail_after(20):
            while True:
                while b"\n" not in self._rest:
                    self._rest += await self._stream.receive()
                line, self._rest = self._rest.split(b"\n", 1)
                event: dict[str, Any] = json.loads(line)
                if event["type"] == kind:
                    return event


def stream_pair() -> tuple[Any, Any]:
    """Return both ends of a stream in memory."""
    (a_send, b_receive), (b_send, a_receive) = (anyio.create_memory_object_stream[bytes](9) for _ in "ab")
    return StapledObjectStream(a_send, a_receive), StapledObjectStream(b_send, b_receive)
