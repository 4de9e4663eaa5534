"""A line: a bounded, bidirectional channel of events between a transport and an engine."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from vivavoce.protocol.events import ErrorEvent, Event
from vivavoce.protocol.session import AnySession


class HungUp(Exception):
    """Raised by sending when the other end has hung up. This is a normal end, not an error."""


class Rejected(Exception):
    """An incoming call was rejected, with a SIP status code. This is a normal end, not an error."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the call was rejected with {status}")
        self.status = status


class EventQueue:
    """One direction of a line: a bounded queue with many producers and one consumer.

    Audio passes here fifty times a second per call. Therefore a task is only woken if it waits, and asyncio's
    events are reused: anyio's streams yield to the event loop for every item, and anyio's events cannot be
    cleared.
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
        """Accept no more events. Queued events can still be read, unless they are discarded."""
        self._is_closed = True
        if discard:
            self._events.clear()
        self._has_item.set()
        self._has_room.set()


class Line:
    """One end of a line: iterate to receive, `send` to send, leave the `async with` block to hang up.

    Both directions are bounded: `send` waits while the other end is behind.
    """

    in_real_time = True
    """whether the other end plays audio while it arrives, so that an engine paces it"""

    def __init__(self, incoming: EventQueue, outgoing: EventQueue) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def send(self, event: Event) -> None:
        """Send one event. Raises `HungUp` when the other end has hung up."""
        await self._outgoing.put(event)

    async def refuse(self, error: ErrorEvent) -> None:
        """Send an `error` to the sender of the last received event. Raises `HungUp` like `send`."""
        await self.send(error)

    def try_send(self, event: Event) -> bool:
        """Send an event unless that would wait; return whether it was sent. Raises `HungUp` like `send`."""
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
        """Hang up: the other end's iteration ends, and its `send` raises `HungUp`."""
        self._outgoing.close()
        self._incoming.close(discard=True)


@runtime_checkable
class Engine(Protocol):
    """Answers conversations: the cascade, the connection to an upstream server, or an engine of your own."""

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        """Serve one conversation on `line` until the client hangs up. Cancelling ends all tasks of it.

        `session` contains the settings that the client requests; the engine chooses the others.
        """
        ...


def open_line(depth: int = 32) -> tuple[Line, Line]:
    """Return both ends of a new line. `depth` is the number of events that may be queued per direction."""
    up, down = EventQueue(depth), EventQueue(depth)
    return Line(up, down), Line(down, up)
