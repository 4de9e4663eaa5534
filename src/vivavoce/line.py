"""A line carries events both ways: a transport holds one end, an engine the other."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from vivavoce.protocol.events import Event

__all__ = ["Heard", "HungUp", "Line", "Listener", "open_line", "tapped"]

HungUp = (anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What sending raises when the other end has left. It is nobody's fault."""


@dataclass(frozen=True)
class Line:
    """One end: iterate to hear, `send` to speak, leave the block to hang up.

    Both directions are bounded: `send` waits while the other end lags behind.
    """

    incoming: MemoryObjectReceiveStream[Event]
    outgoing: MemoryObjectSendStream[Event]

    async def send(self, event: Event) -> None:
        """Say one event. Raises `HungUp` when the other end has left."""
        await self.outgoing.send(event)

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self.incoming:
            yield event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up: the other end's iteration ends, its sending raises `HungUp`."""
        self.outgoing.close()
        self.incoming.close()


def open_line(depth: int = 32) -> tuple[Line, Line]:
    """Return both ends of a new line. `depth` bounds by how many events either side may run ahead."""
    to_engine, from_transport = anyio.create_memory_object_stream[Event](depth)
    to_transport, from_engine = anyio.create_memory_object_stream[Event](depth)
    return Line(from_engine, to_engine), Line(from_transport, to_transport)


@dataclass(frozen=True)
class Heard:
    """One event that passed: what, who said it, and when (the event loop's seconds)."""

    event: Event
    by: Literal["client", "server"]
    at: float


Listener = Callable[[Heard], None]
"""Hears what passes on a line. It is called in passing and must not wait."""


@dataclass(frozen=True)
class _Tapped(Line):
    listeners: tuple[Listener, ...] = ()

    async def send(self, event: Event) -> None:
        self._tell(Heard(event, "server", anyio.current_time()))
        await self.outgoing.send(event)

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self.incoming:
            self._tell(Heard(event, "client", anyio.current_time()))
            yield event

    def _tell(self, heard: Heard) -> None:
        for listener in self.listeners:
            listener(heard)


def tapped(line: Line, *listeners: Listener) -> Line:
    """Return an engine's end of a line on which `listeners` hear all that passes, in order."""
    return _Tapped(line.incoming, line.outgoing, listeners)
