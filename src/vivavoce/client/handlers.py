"""Dispatch of events and notifications to handlers, to waiting tasks, and to event streams."""

import logging
from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Self
from weakref import WeakSet

from anyio.abc import TaskGroup

from vivavoce.client.notifications import Emitted, HandlerFailed, check_pattern, matches, name_of
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol.events import ClientEvent, Event
from vivavoce.session.line import EventQueue

log = logging.getLogger(__name__)

Handler = Callable[[Any], object]
"""Is called with an event or a notification. It may be `async`."""


@dataclass(eq=False)
class _Subscription:
    """A handler, and its pending calls: the name of what was emitted, and the awaitable."""

    pattern: str
    handler: Handler
    pending: deque[tuple[str, Awaitable[object]]] = field(default_factory=deque)
    is_working: bool = False


class Handlers:
    """Calls handlers in the order in which they were registered.

    A plain handler is called synchronously and must not block. An `async` one runs in a task of its own, one
    call after the other; at most `depth` calls wait for one handler. Further calls are dropped, logged, and
    emitted as `handler.failed`.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._subscriptions: list[_Subscription] = []
        self._waiters: list[tuple[Callable[[Emitted], bool], Future[Emitted]]] = []
        self._streams: WeakSet[EventStream] = WeakSet()
        self._closed: ProviderError | None = None
        self._is_closed = False

    def on(self, pattern: str, handler: Handler) -> None:
        """Register a handler. Raises `ConfigError` if nothing has such a name."""
        check_pattern(pattern)
        self._subscriptions.append(_Subscription(pattern, handler))

    def off(self, pattern: str, handler: Handler | None = None) -> bool:
        """Remove a handler, or all handlers of this pattern; return whether there were any."""
        kept = [
            one for one in self._subscriptions if one.pattern != pattern or handler not in (None, one.handler)
        ]
        found = len(kept) < len(self._subscriptions)
        self._subscriptions = kept
        return found

    def clear(self) -> None:
        """Remove all handlers."""
        self._subscriptions.clear()

    @contextmanager
    def expect(self, wanted: Callable[[Emitted], bool]) -> Iterator[Future[Emitted]]:
        """Yield a future of the next event or notification for which `wanted` is true, until the block is left.

        Awaiting it raises `ProviderError` if the connection is closed first.
        """
        future = get_running_loop().create_future()
        waiter = wanted, future
        self._waiters.append(waiter)
        if self._is_closed:
            self._fail(future)
        try:
            yield future
        finally:
            self._waiters.remove(waiter)
            if future.done() and not future.cancelled():
                future.exception()  # marks it as retrieved; asyncio logs exceptions that were never retrieved

    def events(self) -> "EventStream":
        """Return a stream of what the server sends from now on: nothing once the connection is closed."""
        stream = EventStream(self._depth)
        if self._is_closed:
            stream.end(self._closed)
        else:
            self._streams.add(stream)
        return stream

    def emit(self, emitted: Emitted, tasks: TaskGroup) -> bool:
        """Call the matching handlers; return whether a task waited for it and should run next."""
        name = name_of(emitted)
        for subscription in tuple(self._subscriptions):
            if matches(subscription.pattern, name):
                self._call(subscription, emitted, tasks)
        if isinstance(emitted, Event) and not isinstance(emitted, ClientEvent):
            for stream in tuple(self._streams):
                if not stream.push(emitted):
                    self._streams.discard(stream)
        resolved = [future for wanted, future in self._waiters if not future.done() and wanted(emitted)]
        for future in resolved:
            future.set_result(emitted)
        return bool(resolved)

    def open(self) -> None:
        """Begin: streams and waits last until the connection is closed."""
        self._is_closed = False

    def close(self, error: ProviderError | None) -> None:
        """End all streams and waits, these and later ones; `error` is None if it was closed on purpose."""
        self._closed, self._is_closed = error, True
        while self._streams:
            self._streams.pop().end(error)
        for _, future in self._waiters:
            if not future.done():
                self._fail(future)

    def _fail(self, future: "Future[Emitted]") -> None:
        future.set_exception(self._closed or ProviderError("realtime", "the client has hung up"))

    def _call(self, subscription: _Subscription, emitted: Emitted, tasks: TaskGroup) -> None:
        about = name_of(emitted)
        try:
            result = subscription.handler(emitted)
        except Exception as error:  # noqa: BLE001 (it is the application's code, and the failure is reported)
            self._report(subscription, about, error, tasks)
            return
        if not isawaitable(result):
            return
        if len(subscription.pending) >= self._depth:
            _discard(result)
            self._report(subscription, about, None, tasks)
            return
        subscription.pending.append((about, result))
        if not subscription.is_working:
            subscription.is_working = True
            tasks.start_soon(self._work, subscription, tasks)

    async def _work(self, subscription: _Subscription, tasks: TaskGroup) -> None:
        pending = subscription.pending
        try:
            while pending:
                about, result = pending.popleft()
                try:
                    await result
                except Exception as error:  # noqa: BLE001 (the same)
                    self._report(subscription, about, error, tasks)
        finally:
            subscription.is_working = False
            while pending:
                _discard(pending.popleft()[1])

    def _report(
        self, subscription: _Subscription, about: str, error: Exception | None, tasks: TaskGroup
    ) -> None:
        name = getattr(subscription.handler, "__qualname__", repr(subscription.handler))
        if error is None:
            problem = "%s is behind by %d events (limits.handler_depth): it is not called for %s"
            log.warning(problem, name, self._depth, about)
        else:
            log.error("%s failed at %s", name, about, exc_info=error)
        if not about.startswith("handler."):  # a failing handler of `handler.failed` must not call itself
            self.emit(HandlerFailed(name, about, error), tasks)


def _discard(result: Awaitable[object]) -> None:
    if isinstance(result, Coroutine):
        result.close()


class EventStream:
    """An async iterator over the server's events; ends when the client disconnects.

    Raises `ProviderError` when the connection is lost for good, and `ProtocolError` (`events_lost`) once its
    reader is behind by more than `depth` events.
    """

    def __init__(self, depth: int) -> None:
        self._queue, self._depth = EventQueue(depth), depth
        self._error: Exception | None = None

    def push(self, event: Event) -> bool:
        """Append an event; if the reader is `depth` events behind, end the stream and return False."""
        if self._queue.is_full:
            problem = f"{self._depth} events wait to be read (limits.handler_depth); more would be lost."
            self.end(ProtocolError(problem, code="events_lost"))
            return False
        self._queue.put_nowait(event)
        return True

    def end(self, error: Exception | None) -> None:
        """End the stream after the queued events, with `error` if there is one."""
        self._error = error
        self._queue.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._queue.get()
        if event is None:
            raise self._error or StopAsyncIteration
        return event
