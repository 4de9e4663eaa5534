"""Words that wait to be said as they are: fillers, greetings, and what tools have to say while they work."""

from collections import deque
from dataclasses import dataclass, field

import anyio

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import verbatim
from vivavoce.tools.notifier import Notifier
from vivavoce.tools.types import ToolError

__all__ = ["SpeechQueue"]


@dataclass(eq=False)
class _Words:
    asks: e.ResponseCreate
    said: anyio.Event = field(default_factory=anyio.Event)


class SpeechQueue:
    """Keeps words in order until somebody can say them. Of tools' words at most `most` wait at once."""

    def __init__(self, bell: Notifier, most: int) -> None:
        self._bell, self._most = bell, most
        self._waiting: deque[_Words] = deque()

    def add(self, text: str) -> _Words:
        """Have words said when it is their turn."""
        words = _Words(e.ResponseCreate(event_id=e.new_id("event"), response=verbatim(text)))
        self._waiting.append(words)
        self._bell.ring()
        return words

    async def say(self, text: str) -> None:
        """Have words said; return when it is their turn. Cancelling takes them back. Raises `ToolError`."""
        if len(self._waiting) >= self._most:
            raise ToolError(f"{self._most} things wait to be said already (limits.tool_calls).")
        words = self.add(text)
        try:
            await words.said.wait()
        finally:
            if words in self._waiting:
                self._waiting.remove(words)

    def next(self) -> e.ResponseCreate | None:
        """Return how to ask for the words whose turn it is, if any are waiting."""
        if not self._waiting:
            return None
        words = self._waiting.popleft()
        words.said.set()
        return words.asks
