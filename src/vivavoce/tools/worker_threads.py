"""Worker threads for blocking functions, limited per function."""

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

log = logging.getLogger(__name__)

T = TypeVar("T")


class WorkerThreads:
    """The threads of one function, at most `limit`. `abandoned` counts threads whose call was cancelled."""

    def __init__(self, name: str, limit: int) -> None:
        self.abandoned = 0
        self._name, self._limit = name, limit
        self._slots = RunVar[anyio.CapacityLimiter](name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function in a thread, and return its result. Cancelling abandons the thread.

        Threads cannot be stopped. An abandoned thread keeps its slot until it ends, so that a hanging function
        never has more than `limit` threads; it is a daemon, so that the process can exit.
        """
        slots, job = self._here(), Future[T]()
        await slots.acquire_on_behalf_of(job)
        job.add_done_callback(_once_in(asyncio.get_running_loop(), slots.release_on_behalf_of))
        Thread(target=copy_context().run, args=(_do, job, work), name=self._name, daemon=True).start()
        try:
            return await asyncio.wrap_future(job)
        except anyio.get_cancelled_exc_class():
            self._abandon(job)
            raise

    def _here(self) -> anyio.CapacityLimiter:
        slots = self._slots.get(None)
        if slots is None:
            slots = anyio.CapacityLimiter(self._limit)
            self._slots.set(slots)
        return slots

    def _abandon(self, job: "Future[T]") -> None:
        if not job.done():
            self.abandoned += 1
            log.warning(
                "%r was abandoned and runs on in its thread; there are %d such threads, at most %d",
                self._name,
                self.abandoned,
                self._limit,
            )
            job.add_done_callback(_once_in(asyncio.get_running_loop(), self._has_ended))

    def _has_ended(self, _job: "Future[T]") -> None:
        self.abandoned -= 1
        log.info("an abandoned thread of %r has ended; %d are left", self._name, self.abandoned)


def _do(job: "Future[T]", work: Callable[[], T]) -> None:
    job.set_running_or_notify_cancel()  # it cannot be cancelled from here on
    try:
        job.set_result(work())
    except (StopIteration, SystemExit, GeneratorExit) as error:  # no future carries these to a task unharmed
        failure = RuntimeError(f"it has raised {error!r}")
        failure.__cause__ = error
        job.set_exception(failure)
    except BaseException as error:  # noqa: BLE001 (it is raised in the awaiting task)
        job.set_exception(error)


def _once_in(
    loop: asyncio.AbstractEventLoop, then: Callable[["Future[T]"], object]
) -> Callable[["Future[T]"], None]:
    """Return a thread-safe callback that calls `then` on the loop; it does nothing if the loop is closed."""

    def call(job: "Future[T]") -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(then, job)

    return call
