"""The audio that a client has sent, kept until the server reports to which item it belongs."""

from collections import deque

from vivavoce.protocol.session import AudioFormat, Pcm
from vivavoce.session.formats import bytes_per_ms

COMMITS = 8
"""turns that may be committed before the first of them is confirmed"""


class Microphone:
    """Keeps the latest `max_bytes` of the audio that a client has sent, and returns the part of each item.

    With turn detection, the server reports a turn's start and end in milliseconds since the session began.
    Without it, an item is what the client has committed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.restart()

    def restart(self) -> None:
        """Drop everything, for a new session: its milliseconds count from zero."""
        self._audio = bytearray()
        self._format: AudioFormat = Pcm()
        self._dropped_ms = 0.0
        self._turns: dict[str, tuple[int, int | None]] = {}
        self._committed: deque[bytes] = deque(maxlen=COMMITS)
        self._uncommitted = 0
        """bytes since the last commit"""

    @property
    def has_uncommitted(self) -> bool:
        """Whether there is audio that is not committed."""
        return self._uncommitted > 0

    def append(self, audio: bytes, format: AudioFormat) -> None:
        """Append audio that the client has sent. A change of the format drops what was kept before."""
        if type(format) is not type(self._format):
            self._drop(len(self._audio))
            self._format, self._uncommitted = format, 0
        self._audio += audio
        self._uncommitted += len(audio)
        self._drop(max(0, len(self._audio) - self._max_bytes))

    def _drop(self, size: int) -> None:
        del self._audio[:size]
        self._dropped_ms += size / bytes_per_ms(self._format)

    def speech_started(self, item_id: str, ms: int) -> None:
        """Record where the server detected the start of a turn."""
        self._turns = {item_id: (ms, None)}

    def speech_stopped(self, item_id: str, ms: int) -> None:
        """Record where the server detected the end of a turn."""
        start, _ = self._turns.get(item_id, (ms, None))
        self._turns[item_id] = (start, ms)

    def commit(self) -> None:
        """Record that the client has committed the audio since the last commit."""
        self._committed.append(self._since_commit())
        self._uncommitted = 0

    def clear(self) -> None:
        """Record that the client has cleared the uncommitted audio."""
        self._uncommitted = 0

    def commit_rejected(self) -> None:
        """Record that the server rejected the last commit, because its buffer was empty."""
        if self._committed:
            self._committed.pop()

    def pop_item(self, item_id: str) -> bytes:
        """Return the audio of a committed item, and remove it from the pending turns or commits."""
        start, end = self._turns.pop(item_id, (None, None))
        if start is not None:
            self._uncommitted = 0
            return self._between(start, end)
        if self._committed:
            return self._committed.popleft()
        audio, self._uncommitted = self._since_commit(), 0
        return audio

    def _since_commit(self) -> bytes:
        return bytes(self._audio[max(0, len(self._audio) - self._uncommitted) :])

    def _between(self, start_ms: float, end_ms: float | None) -> bytes:
        """Return the audio between two times, at whole milliseconds and therefore at whole samples."""
        rate = bytes_per_ms(self._format)
        start = max(0, round(start_ms - self._dropped_ms))
        end = None if end_ms is None else max(0, round(end_ms - self._dropped_ms)) * rate
        return bytes(self._audio[start * rate : end])
