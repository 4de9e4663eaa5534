"""A line carries events both ways: a transport holds one end, an engine the other."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from vivavoce.protocol.events import ErrorEvent, Event
from vivavoce.protocol.session import Session, TranscriptionSession


class HungUp(Exception):
    """Raised by sending when the other end has left. It is nobody's fault."""


class Rejected(Exception):
    """An incoming call was rejected, with a SIP status code. It is nobody's fault."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the call was rejected with {status}")
        self.status = status


class EventQueue:
    """One direction of a line: a bounded queue with many producers and one consumer.

    Sound passes here fifty times a second. So a task is woken only where one waits, and the events that wake it
    are cleared and used again: anyio's streams let the event loop turn for every item, and anyio's events
    cannot be cleared.
    """

    def __init__(self, depth: int) -> None:
        self._events: deque[Event] = deque()
        self._depth = depth
        self._is_closed = False
        self._has_item, self._has_room = asyncio.Event(), asyncio.Event()

    async def put(self, event: Event) -> None:
        """Append an event, waiting while the queue is full. Raises `HungUp` if the queue is closed."""
        while self.is_full and not self._is_closed:
            self._has_room.clear()
            await self._has_room.wait()
        self.put_nowait(event)

    def put_nowait(self, event: Event) -> None:
        """Append an event, even beyond `depth`. Raises `HungUp` if the queue is closed."""
        if self._is_closed:
            raise HungUp
        self._events.append(event)
        if len(self._events) == 1:
            self._has_item.set()

    @property
    def is_full(self) -> bool:
        """Whether `put` would wait."""
        return len(self._events) >= self._depth

    async def get(self) -> Event | None:
        """Return the next event, or None when the queue is closed and empty."""
        while not self._events:
            if self._is_closed:
                return None
            self._has_item.clear()
            await self._has_item.wait()
        if len(self._events) == self._depth:
            self._has_room.set()
        return self._events.popleft()

    def close(self, *, discard: bool = False) -> None:
        """Accept nothing more. What is in the queue can still be read, unless it is to be discarded."""
        self._is_closed = True
        if discard:
            self._events.clear()
        self._has_item.set()
        self._has_room.set()


class Line:
    """One end of a line: iterate to receive, `send` to send, leave the block to hang up.

    Both directions are bounded: `send` waits while the other end lags behind.
    """

    def __init__(self, incoming: EventQueue, outgoing: EventQueue) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def send(self, event: Event) -> None:
        """Send one event. Raises `HungUp` when the other end has left."""
        await self._outgoing.put(event)

    async def refuse(self, error: ErrorEvent) -> None:
        """Send an error to whoever sent the event received last. Raises `HungUp` like `send`."""
        await self.send(error)

    def try_send(self, event: Event) -> bool:
        """Send an event if that needs no waiting; return whether it was sent. Raises `HungUp` like `send`."""
        if self._outgoing.is_full:
            return False
        self._outgoing.put_nowait(event)
        return True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._incoming.get()
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up: the other end's iteration ends, its sending raises `HungUp`."""
        self._outgoing.close()
        self._incoming.close(discard=True)


@runtime_checkable
class Engine(Protocol):
    """What answers a conversation: the cascade, an upstream server, or anything of your own."""

    async def converse(self, line: Line, session: Session | TranscriptionSession | None = None) -> None:
        """Serve one conversation until the client hangs up. Cancelling it ends all that it started.

        `session` is what this client wants from the beginning; what it leaves open is the engine's to choose.
        """
        ...


def open_line(depth: int = 32) -> tuple[Line, Line]:
    """Return both ends of a new line. `depth` bounds by how many events either side may run ahead."""
    up, down = EventQueue(depth), EventQueue(depth)
    return Line(up, down), Line(down, up)
