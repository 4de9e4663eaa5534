"""Who wants to be told of what: handlers, those who wait for something, and loops over all events."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Self
from weakref import WeakSet

import anyio
from anyio.abc import TaskGroup

from vivavoce.client.notifications import HandlerFailed, Happening, is_meant, name_of
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol.events import ClientEvent, Event
from vivavoce.session.line import EventQueue

__all__ = ["Events", "Expected", "Handler", "Handlers"]

log = logging.getLogger(__name__)

Handler = Callable[[Any], object]
"""Is given what happened: an event for an event's name, a notice for one of ours. It may be a coroutine's."""


class Handlers:
    """Tells everyone what happens, in the order in which they asked to be told.

    A plain handler is called in passing and must not wait. What an async one does waits for what it was told
    before, in a task of its own, so it may take its time; at most `depth` such errands wait for one handler.
    What comes beyond is not done, and that is told.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._bells: list[_Bell] = []
        self._expected: list[Expected] = []
        self._loops: WeakSet[Events] = WeakSet()

    def on(self, pattern: str, handler: Handler) -> None:
        """Have a handler told."""
        self._bells.append(_Bell(pattern, handler))

    def off(self, pattern: str, handler: Handler | None = None) -> bool:
        """Tell a handler nothing more, or all of this pattern; say whether there were any."""
        kept = [b for b in self._bells if b.pattern != pattern or handler not in (None, b.handler)]
        found = len(kept) < len(self._bells)
        self._bells = kept
        return found

    def clear(self) -> None:
        """Forget all handlers."""
        self._bells.clear()

    @contextmanager
    def expect(self, wanted: Callable[[Happening], bool]) -> "Iterator[Expected]":
        """Give what waits for the next thing that is wanted, from now on until the block is left."""
        expected = Expected(wanted)
        self._expected.append(expected)
        try:
            yield expected
        finally:
            self._expected.remove(expected)

    def events(self) -> "Events":
        """Return all that the server will say from now on."""
        loop = Events(self._depth)
        self._loops.add(loop)
        return loop

    def tell(self, happening: Happening, tasks: TaskGroup) -> bool:
        """Tell everyone; say whether somebody waited for just this, and ought to have a turn now."""
        for bell in tuple(self._bells):
            if is_meant(bell.pattern, happening):
                self._ring(bell, happening, tasks)
        if isinstance(happening, Event) and not isinstance(happening, ClientEvent):
            for loop in tuple(self._loops):
                loop.push(happening)
        return [expected.take(happening) for expected in self._expected].count(True) > 0

    def close(self, error: ProviderError | None) -> None:
        """Nothing more will happen, because of an error or because it was wished: let nobody wait for it."""
        for loop in tuple(self._loops):
            loop.end(error)
        for expected in self._expected:
            expected.end(error or ProviderError("realtime", "the client has hung up"))

    def _ring(self, bell: "_Bell", happening: Happening, tasks: TaskGroup) -> None:
        about = name_of(happening)
        try:
            result = bell.handler(happening)
        except Exception as error:  # noqa: BLE001 (it is the user's code; that it failed is told)
            self._failed(bell, about, error, tasks)
            return
        if not isawaitable(result):
            return
        if len(bell.errands) >= self._depth:
            _drop(result)
            self._failed(bell, about, None, tasks)
            return
        bell.errands.append((about, result))
        if not bell.at_work:
            bell.at_work = True
            tasks.start_soon(self._work, bell, tasks)

    async def _work(self, bell: "_Bell", tasks: TaskGroup) -> None:
        try:
            while bell.errands:
                about, errand = bell.errands.popleft()
                try:
                    await errand
                except Exception as error:  # noqa: BLE001 (the same)
                    self._failed(bell, about, error, tasks)
        finally:
            bell.at_work = False
            for _, errand in bell.errands:
                _drop(errand)
            bell.errands.clear()

    def _failed(self, bell: "_Bell", about: str, error: Exception | None, tasks: TaskGroup) -> None:
        name = getattr(bell.handler, "__qualname__", repr(bell.handler))
        if error is None:
            log.warning(
                "%s lags behind by %d events (limits.handler_depth): it is not told of %s",
                name, self._depth, about,
            )  # fmt: skip
        else:
            log.error("%s failed at %s", name, about, exc_info=error)
        if not about.startswith("handler."):
            self.tell(HandlerFailed(name, about, error), tasks)


@dataclass(eq=False)
class _Bell:
    """A handler, and what it has still to do."""

    pattern: str
    handler: Handler
    errands: deque[tuple[str, Awaitable[object]]] = field(default_factory=deque)
    at_work: bool = False


def _drop(errand: Awaitable[object]) -> None:
    if isinstance(errand, Coroutine):
        errand.close()


class Expected:
    """Something that is to happen."""

    def __init__(self, wanted: Callable[[Happening], bool]) -> None:
        self._wanted = wanted
        self._found: Happening | ProviderError | None = None
        self._news = anyio.Event()

    def take(self, happening: Happening) -> bool:
        """Say whether this is what was waited for."""
        if self._found is not None or not self._wanted(happening):
            return False
        self.end(happening)
        return True

    def end(self, found: Happening | ProviderError) -> None:
        """There is nothing more to wait for."""
        if self._found is None:
            self._found = found
            self._news.set()

    async def wait(self) -> Happening:
        """Return it when it happens. Raises `ProviderError` if the connection is over first."""
        while self._found is None:
            await self._news.wait()
        if isinstance(self._found, ProviderError):
            raise self._found
        return self._found


class Events:
    """All that a server says, to be iterated; ends when the client disconnects.

    Raises `ProviderError` when the connection is lost for good, and `ProtocolError` (`events_lost`) once its
    reader lags behind by more than `depth` events: better to know than to miss some.
    """

    def __init__(self, depth: int) -> None:
        self._lane, self._depth = EventQueue(depth), depth
        self._is_over = False
        self._error: Exception | None = None

    def push(self, event: Event) -> None:
        """Add an event, for a reader who keeps up."""
        if self._is_over:
            return
        if self._lane.is_full:
            problem = f"{self._depth} events wait to be read (limits.handler_depth); more would be lost."
            self.end(ProtocolError(problem, code="events_lost"))
        else:
            self._lane.put_nowait(event)

    def end(self, error: Exception | None) -> None:
        """Let the reader read what is there, and then know why there is no more."""
        if not self._is_over:
            self._is_over, self._error = True, error
            self._lane.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._lane.get()
        if event is None:
            raise self._error or StopAsyncIteration
        return event
