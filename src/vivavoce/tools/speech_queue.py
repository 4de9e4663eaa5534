"""Words that wait to be spoken as they are: fillers, greetings, and what tools say."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import verbatim
from vivavoce.tools.types import ToolError


class Notifier:
    """Wakes all who wait for something to change. Notifying them waits for nobody."""

    def __init__(self) -> None:
        self.next = anyio.Event()
        """set by the next `notify`"""

    def notify(self) -> None:
        """Something has changed."""
        self.next.set()
        self.next = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once this is true; it is evaluated again whenever something has changed."""
        while not condition():
            await self.next.wait()


@dataclass(eq=False)
class _Words:
    request: e.ResponseCreate
    started: anyio.Event = field(default_factory=anyio.Event)


class SpeechQueue:
    """Keeps words in order until they can be spoken. Tools may have `limit` of them waiting."""

    def __init__(self, notifier: Notifier, limit: int) -> None:
        self._notifier, self._limit = notifier, limit
        self._waiting: deque[_Words] = deque()

    async def say(self, text: str) -> None:
        """Have words spoken; return when it is their turn. Cancelling takes them out. Raises `ToolError`."""
        if len(self._waiting) >= self._limit:
            raise ToolError(f"{self._limit} texts wait to be spoken already (limits.tool_calls).")
        await self.append(text)

    async def append(self, text: str) -> None:
        """Like `say`, however many are waiting."""
        words = _Words(e.ResponseCreate(event_id=e.new_id("event"), response=verbatim(text)))
        self._waiting.append(words)
        self._notifier.notify()
        try:
            await words.started.wait()
        finally:
            if words in self._waiting:
                self._waiting.remove(words)

    def pop(self) -> e.ResponseCreate | None:
        """Return the request for the words whose turn it is, if any are waiting."""
        if not self._waiting:
            return None
        words = self._waiting.popleft()
        words.started.set()
        return words.request
