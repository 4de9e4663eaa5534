"""What a client has sent of its own sound, until it is known whose item it is."""

from collections import deque

from vivavoce.protocol.session import AudioFormat, Pcm
from vivavoce.session.formats import bytes_per_ms

__all__ = ["Microphone"]

COMMITS = 8
"""turns that may be committed before the first of them is confirmed"""


class Microphone:
    """What the client has sent of its own sound, at most so many bytes, until it is known whose item it is.

    A server that detects turns tells it by milliseconds, counted from the beginning of the session. Otherwise
    it is what the client commits.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.restart()

    def restart(self) -> None:
        """A new session counts from the beginning."""
        self._sound = bytearray()
        self._format: AudioFormat = Pcm()
        self._gone_ms = 0.0
        self._spans: dict[str, tuple[int, int | None]] = {}
        self._committed: deque[bytes] = deque(maxlen=COMMITS)
        self._open = 0
        """bytes since the last commit"""

    @property
    def has_more(self) -> bool:
        """Whether there is sound that is not committed."""
        return self._open > 0

    def hear(self, sound: bytes, format: AudioFormat) -> None:
        """Take in some more sound."""
        if type(format) is not type(self._format):
            self._drop(len(self._sound))
            self._format, self._open = format, 0
        self._sound += sound
        self._open += len(sound)
        self._drop(max(0, len(self._sound) - self._most))

    def _drop(self, size: int) -> None:
        del self._sound[:size]
        self._gone_ms += size / bytes_per_ms(self._format)

    def started(self, item_id: str, ms: int) -> None:
        """The server has heard somebody begin."""
        self._spans = {item_id: (ms, None)}

    def stopped(self, item_id: str, ms: int) -> None:
        """The server has heard them end."""
        begin, _ = self._spans.get(item_id, (ms, None))
        self._spans[item_id] = (begin, ms)

    def commit(self) -> None:
        """The client has finished."""
        self._committed.append(self._since_commit())
        self._open = 0

    def clear(self) -> None:
        """The client takes back what it has not committed."""
        self._open = 0

    def refused(self) -> None:
        """The server has found nothing to commit."""
        if self._committed:
            self._committed.pop()

    def item(self, item_id: str) -> bytes:
        """Return the sound that has become an item."""
        begin, end = self._spans.pop(item_id, (None, None))
        if begin is not None:
            self._open = 0
            return self._between(begin, end)
        if self._committed:
            return self._committed.popleft()
        sound, self._open = self._since_commit(), 0
        return sound

    def _since_commit(self) -> bytes:
        return bytes(self._sound[max(0, len(self._sound) - self._open) :])

    def _between(self, begin_ms: float, end_ms: float | None) -> bytes:
        """Return the sound between two times, at whole milliseconds and so at whole samples."""
        rate = bytes_per_ms(self._format)
        begin = max(0, round(begin_ms - self._gone_ms))
        end = None if end_ms is None else max(0, round(end_ms - self._gone_ms)) * rate
        return bytes(self._sound[begin * rate : end])
