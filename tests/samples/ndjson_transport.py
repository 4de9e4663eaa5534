# ruff: noqa: E402 (each section is shown on its own)
# [start:sample]
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import anyio
from anyio.abc import AnyByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from vivavoce import Limits
from vivavoce.errors import ProtocolError
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.dialects import GA
from vivavoce.protocol.events import Event
from vivavoce.session.call import Caller
from vivavoce.session.line import Line
from vivavoce.transports.base import Connect, EventRate, OpenCalls, decode_event, run_until_first

CLOSED = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.DelimiterNotFound)


@dataclass(frozen=True)
class NdjsonTransport:
    """The Realtime protocol over a byte stream, such as a TCP connection: one event of JSON a line."""

    connect: Connect
    limits: Limits = field(default_factory=Limits)
    _calls: OpenCalls = field(default_factory=OpenCalls)

    name: ClassVar[str] = "ndjson"
    plays_audio: ClassVar[bool] = False  # the client does, from `response.output_audio.delta`

    async def accept(self, connection: AnyByteStream) -> None:
        """Hold one call, until the stream or the line ends."""
        async with connection:
            try:
                async with self.connect(Caller(self.name, plays_audio=self.plays_audio)) as line:
                    with self._calls.track():
                        await run_until_first(
                            partial(self._receive, line, connection),
                            partial(self._send_all, line, connection),
                            self._calls.closing.wait,
                        )
            except ProtocolError as refusal:
                await self._send(error_event(refusal), connection)

    async def hang_up(self) -> None:
        """End every call."""
        await self._calls.hang_up()

    async def _receive(self, line: Line, connection: AnyByteStream) -> None:
        rate, stream = EventRate(self.limits.events_per_second), BufferedByteReceiveStream(connection)
        while True:
            try:
                text = await stream.receive_until(b"\n", self.limits.message_bytes)
            except CLOSED:
                return
            await rate.count()
            await line.send(decode_event(text, GA, self.limits))

    async def _send_all(self, line: Line, connection: AnyByteStream) -> None:
        async for event in line:
            await self._send(event, connection)

    async def _send(self, event: Event, connection: AnyByteStream) -> None:
        text = GA.encode(event)
        if text is not None:  # a dialect leaves out what it does not know
            with anyio.fail_after(self.limits.send_seconds):
                await connection.send(text.encode() + b"\n")


# [end:sample]
# [start:serve]
from vivavoce.session.switchboard import Switchboard


async def serve(switchboard: Switchboard, port: int = 8766) -> None:
    """Listen for callers; a runtime that is open has a `switchboard`."""
    transport = NdjsonTransport(switchboard.connect, switchboard.limits)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as listener:
        await listener.serve(transport.accept)


# [end:serve]
