"""Worker threads for functions that would hold up everybody, a number of them for each."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

import anyio
from anyio.lowlevel import RunVar

__all__ = ["WorkerThreads"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class WorkerThreads:
    """As many threads as one function may have at work. `given_up` are those nobody waits for any more."""

    def __init__(self, name: str, most: int) -> None:
        self.given_up = 0
        self._name, self._most = name, most
        self._places = RunVar[anyio.CapacityLimiter](name)

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in a thread, and return what comes of it. Cancelling gives the thread up.

        No thread can be stopped. It keeps its place until it ends, so that a function that hangs never has more
        threads than it may; and it is a daemon, so that nobody waits for it at the end of the process.
        """
        places, job = self._here(), Future[T]()
        await places.acquire_on_behalf_of(job)
        job.add_done_callback(_once_in(asyncio.get_running_loop(), places.release_on_behalf_of))
        Thread(target=copy_context().run, args=(_do, job, work), name=f"tool {self._name}", daemon=True).start()
        try:
            return await asyncio.wrap_future(job)
        except anyio.get_cancelled_exc_class():
            self._give_up(job)
            raise

    def _here(self) -> anyio.CapacityLimiter:
        """Return the places, which belong to an event loop."""
        places = self._places.get(None)
        if places is None:
            places = anyio.CapacityLimiter(self._most)
            self._places.set(places)
        return places

    def _give_up(self, job: "Future[T]") -> None:
        if not job.done():
            self.given_up += 1
            log.warning(
                "tool %r was given up and works on in its thread; there are %d such threads, and may be %d",
                self._name,
                self.given_up,
                self._most,
            )
            job.add_done_callback(_once_in(asyncio.get_running_loop(), self._has_ended))

    def _has_ended(self, _job: "Future[T]") -> None:
        self.given_up -= 1
        log.info("a thread of tool %r that was given up has ended; %d are left", self._name, self.given_up)


def _do(job: "Future[T]", work: Callable[[], T]) -> None:
    job.set_running_or_notify_cancel()  # it cannot be cancelled from here on
    try:
        job.set_result(work())
    except (StopIteration, SystemExit) as error:  # no task can be told of the one, and none survives the other
        failure = RuntimeError(f"it has raised {error!r}")
        failure.__cause__ = error
        job.set_exception(failure)
    except BaseException as error:  # noqa: BLE001 (it is raised where somebody waits)
        job.set_exception(error)


def _once_in(
    loop: asyncio.AbstractEventLoop, then: Callable[["Future[T]"], object]
) -> Callable[["Future[T]"], None]:
    """Return what has the loop do something, called from any thread; nothing once the loop is closed."""

    def call(job: "Future[T]") -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(then, job)

    return call
