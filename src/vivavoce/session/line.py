"""A line carries events both ways: a transport holds one end, an engine the other."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

from vivavoce.protocol.events import ClientEvent, ErrorEvent, Event, OwnEvent
from vivavoce.protocol.session import Session, TranscriptionSession

__all__ = [
    "Engine",
    "EventQueue",
    "Heard",
    "HungUp",
    "Line",
    "Listener",
    "Middleware",
    "Rejected",
    "SessionHandle",
    "open_line",
]


class HungUp(Exception):
    """What sending raises when the other end has left. It is nobody's fault."""


class Rejected(Exception):
    """A call was turned away by whoever was asked, with SIP's status. It is nobody's fault."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the call was turned away with {status}")
        self.status = status


class EventQueue:
    """One direction of a line: events queue here, from many to one, at most `depth` of them.

    It wakes somebody only where somebody waits: sound passes here fifty times a second, and a queue that lets
    the event loop turn for each of them costs more than reading the sound. So does making an event for each, as
    anyio's must be; asyncio's can be cleared.
    """

    def __init__(self, depth: int) -> None:
        self._events: deque[Event] = deque()
        self._depth = depth
        self._told_all = self._deaf = False
        self._news, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, event: Event) -> None:
        """Add an event; wait while the lane is full. Raises `HungUp` when nobody listens any more."""
        while len(self._events) >= self._depth and not self._is_closed:
            self._room.clear()
            await self._room.wait()
        self.push(event)

    def push(self, event: Event) -> None:
        """Add an event without waiting, be the lane full or not. Raises `HungUp` like `put`."""
        if self._is_closed:
            raise HungUp
        self._events.append(event)
        if len(self._events) == 1:
            self._news.set()

    @property
    def is_full(self) -> bool:
        """Whether `put` would wait."""
        return len(self._events) >= self._depth

    async def take(self) -> Event | None:
        """Return the next event, or None when there will be no more."""
        while not self._events:
            if self._is_closed:
                return None
            self._news.clear()
            await self._news.wait()
        if len(self._events) == self._depth:
            self._room.set()
        return self._events.popleft()

    def end(self) -> None:
        """Nobody will add anything; what is there can still be taken."""
        self._told_all = True
        self._wake()

    def abandon(self) -> None:
        """Nobody will take anything; what is there is lost."""
        self._deaf = True
        self._events.clear()
        self._wake()

    @property
    def _is_closed(self) -> bool:
        return self._told_all or self._deaf

    def _wake(self) -> None:
        self._news.set()
        self._room.set()


class Line:
    """One end: iterate to hear, `send` to speak, leave the block to hang up.

    Both directions are bounded: `send` waits while the other end lags behind.
    """

    def __init__(self, incoming: EventQueue, outgoing: EventQueue) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def send(self, event: Event) -> None:
        """Say one event. Raises `HungUp` when the other end has left."""
        await self._outgoing.put(event)

    async def refuse(self, error: ErrorEvent) -> None:
        """Say what is wrong with the event that was heard last. Raises `HungUp` like `send`."""
        await self.send(error)

    def offer(self, event: Event) -> bool:
        """Say an event if nobody has to wait for that, and tell whether it was. Raises `HungUp` like `send`."""
        if self._outgoing.is_full:
            return False
        self._outgoing.push(event)
        return True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._incoming.take()
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up: the other end's iteration ends, its sending raises `HungUp`."""
        self._outgoing.end()
        self._incoming.abandon()


def open_line(depth: int = 32) -> tuple[Line, Line]:
    """Return both ends of a new line. `depth` bounds by how many events either side may run ahead."""
    up, down = EventQueue(depth), EventQueue(depth)
    return Line(up, down), Line(down, up)


@runtime_checkable
class Engine(Protocol):
    """What answers a conversation: the cascade, an upstream server, or anything of your own."""

    async def converse(self, line: Line, session: Session | TranscriptionSession | None = None) -> None:
        """Serve one conversation until the client hangs up. Cancelling it ends all that it started.

        `session` is what this client wants from the beginning; what it leaves open is the engine's to choose.
        """
        ...


@dataclass(frozen=True)
class Heard:
    """One event that passed: what, who said it, and when (the event loop's seconds)."""

    event: Event
    by: Literal["client", "server"]
    at: float


Listener = Callable[[Heard], None]
"""Hears what passes on a line. It is called in passing and must not wait."""


class SessionHandle(Protocol):
    """Where an attendant sits beside a line: what it says there the engine hears as the caller's.

    All three raise `HungUp` once the conversation is over.
    """

    async def say(self, event: ClientEvent) -> None:
        """Say something of our own to the engine. Its `error` is for the attendant's ears alone."""
        ...

    async def put_back(self, event: ClientEvent) -> None:
        """Let the engine hear now what the caller has said, and the attendant had kept back."""
        ...

    async def tell(self, event: OwnEvent) -> None:
        """Tell those who listen, and of the others those who know events of our own."""
        ...


class Middleware(Protocol):
    """Listens to one conversation, and may speak in it, as the caller: for its tools, say."""

    def passing(self, event: ClientEvent) -> ClientEvent | None:
        """Return what the engine is to hear of what the caller says; None keeps it back, for now or for good.

        It is called in passing, before anybody hears the event, and must not wait. Where it raises
        `ProtocolError`, nobody hears the event, and the caller is told why.
        """
        ...

    def hear(self, heard: Heard) -> None:
        """Hear what passes, our own words among it. It is called in passing and must not wait."""
        ...

    async def attend(self, seat: SessionHandle) -> None:
        """Work until the conversation is over, when it is cancelled. What it raises is an error of ours."""
        ...
