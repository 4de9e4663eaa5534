"""A queue of texts to be spoken verbatim: fillers, greetings, and the `say` of tools."""

from collections.abc import Callable

import anyio

from vivavoce.protocol import events as e
from vivavoce.protocol.items import Purpose
from vivavoce.protocol.responses import verbatim
from vivavoce.tools.types import ToolError


class Notifier:
    """Wakes all tasks that wait for a change of state. `notify` does not block."""

    def __init__(self) -> None:
        self.next = anyio.Event()
        """set by the next `notify`"""

    def notify(self) -> None:
        """Wake all waiting tasks."""
        self.next.set()
        self.next = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` is true; it is evaluated now and after each `notify`."""
        while not condition():
            await self.next.wait()


class SpeechQueue:
    """A queue of texts that wait until they can be spoken. Tools may queue at most `limit` texts."""

    def __init__(self, notifier: Notifier, limit: int) -> None:
        self._notifier, self._limit = notifier, limit
        self._waiting: dict[anyio.Event, e.ResponseCreate] = {}
        """requests in order, each by the event of being spoken"""

    async def fill(self, text: str) -> None:
        """Queue a text that fills the time, and return when it is about to be spoken.

        Cancelling removes it from the queue. No model is shown it as an answer. Raises `ToolError` if `limit`
        texts are waiting.
        """
        if len(self._waiting) >= self._limit:
            raise ToolError(f"{self._limit} texts wait to be spoken already (limits.tool_calls).")
        await self.append(text, "filler")

    async def append(self, text: str, purpose: Purpose | None = None) -> None:
        """Like `fill`, without the limit, for words with this purpose."""
        started = anyio.Event()
        self._waiting[started] = e.ResponseCreate(event_id=e.new_id("event"), response=verbatim(text, purpose))
        self._notifier.notify()
        try:
            await started.wait()
        finally:
            self._waiting.pop(started, None)

    def pop(self) -> e.ResponseCreate | None:
        """Return the request that has the next text spoken, or None if none is waiting."""
        if not self._waiting:
            return None
        started = next(iter(self._waiting))
        started.set()
        return self._waiting.pop(started)
