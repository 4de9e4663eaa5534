"""The end of an answer's journey: sound that waits to be played, and how much of it has been."""

from collections import deque
from threading import Lock

__all__ = ["Playout"]

_BYTES_PER_MS = 48


class Playout:
    """Mono PCM16 at 24 kHz, queued by one thread and played by another, item by item.

    Nothing here waits: the lock is held for the time of a copy.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._played: dict[str, int] = {}
        self._ended: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether anything is to be played yet."""
        return bool(self._queue)

    def say(self, item: str, sound: bytes) -> None:
        """Queue more sound of an item."""
        with self._lock:
            self._played.setdefault(item, 0)
            self._queue.append((item, sound))

    def end(self, item: str) -> None:
        """All sound of this item has been queued: once played, it can no longer be cut."""
        with self._lock:
            self._ended.add(item)
            self._forget()

    def take(self, size: int) -> bytes:
        """Return the next bytes to play, with silence where there is nothing to say."""
        taken = bytearray()
        with self._lock:
            while self._queue and len(taken) < size:
                item, sound = self._queue.popleft()
                part, rest = sound[: size - len(taken)], sound[size - len(taken) :]
                taken += part
                self._played[item] += len(part)
                if rest:
                    self._queue.appendleft((item, rest))
            self._forget()
        return bytes(taken.ljust(size, b"\0"))

    def drop(self, lag_ms: float = 0) -> dict[str, int]:
        """Play no more; return of each unfinished item how many milliseconds were heard.

        `lag_ms` is the time from `take` to the ear.
        """
        with self._lock:
            heard = {item: max(0, int(size / _BYTES_PER_MS - lag_ms)) for item, size in self._played.items()}
            self._queue.clear()
            self._played.clear()
            self._ended.clear()
        return heard

    def _forget(self) -> None:
        """Drop the account of what has been played to its end."""
        waiting = {item for item, _ in self._queue}
        for item in self._ended - waiting:
            self._ended.discard(item)
            self._played.pop(item, None)
