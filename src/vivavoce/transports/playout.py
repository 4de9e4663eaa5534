"""The end of an answer's journey: sound that waits to be played, and how much of it has been."""

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e

__all__ = ["Playlist", "Playout"]

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
        return self.pull(size).ljust(size, b"\0")

    def pull(self, size: int) -> bytes:
        """Return the next bytes to play, as many as there are, at most so many."""
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
        return bytes(taken)

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


@dataclass
class _Playing:
    """An answer that is played, or will be, as far as it has come."""

    in_conversation: bool
    playout: Playout = field(default_factory=Playout)
    deleted: set[str] = field(default_factory=set)
    started: bool = False
    done: bool = False
    muted: bool = False
    """no more of its sound is taken"""
    cleared: bool = False


class Playlist:
    """Answers that are played by the server: one voice at a time, and each is told when it begins and ends.

    Nothing here waits or knows the time: who calls `pull` every 20 ms is the clock. What there is to tell
    (`output_audio_buffer.*`, and what was heard of an answer that was cut short) collects in `news`.
    """

    def __init__(self, seconds: float) -> None:
        """Let at most so many seconds of sound wait."""
        self.news: deque[e.Event] = deque()
        self._answers: dict[str, _Playing] = {}
        self._current: str | None = None
        self._most = self._room = round(seconds * 1000) * _BYTES_PER_MS

    def begin(self, response_id: str, *, in_conversation: bool) -> None:
        """An answer begins; those out of band leave no item behind that could be truncated."""
        self._answers[response_id] = _Playing(in_conversation)

    def say(self, response_id: str, item_id: str, sound: bytes) -> None:
        """Queue more sound of an answer: PCM16 at 24 kHz. Raises `ProtocolError` if too much waits already."""
        answer = self._answers.setdefault(response_id, _Playing(in_conversation=True))
        if answer.muted or not sound:
            return
        if len(sound) > self._room:
            answer.muted = True
            raise ProtocolError(
                "More of this answer's sound waits to be played than there may (limits.playout_seconds); "
                "the rest of it is dropped.",
                code="output_audio_buffer_full",
            )
        self._room -= len(sound)
        answer.playout.say(item_id, sound)

    def end(self, response_id: str, item_id: str) -> None:
        """All sound of this item is there."""
        if response_id in self._answers:
            self._answers[response_id].playout.end(item_id)

    def delete(self, item_id: str) -> None:
        """An item is gone from the conversation: it is played all the same, but cannot be truncated."""
        for answer in self._answers.values():
            answer.deleted.add(item_id)

    def done(self, response_id: str) -> None:
        """An answer has ended: once its last sound is played, it stops."""
        if response_id in self._answers:
            self._answers[response_id].done = True
            self._finish(response_id)

    def pull(self, size: int) -> bytes:
        """Return the next bytes to play, as many as there are, at most so many: none where nobody speaks."""
        taken = b""
        while len(taken) < size and (response_id := self._next()) is not None:
            answer = self._answers[response_id]
            part = answer.playout.pull(size - len(taken))
            self._room += len(part)
            taken += part
            if part and not answer.started:
                answer.started = True
                self.news.append(e.OutputAudioBufferStarted(response_id=response_id))
            self._finish(response_id)
            if response_id in self._answers:  # the rest of it is yet to come
                break
        return taken

    def clear(self) -> None:
        """Fall silent: drop what was not played, and tell of each answer how much was heard."""
        self._room = self._most
        for response_id, answer in list(self._answers.items()):
            self._clear(response_id, answer)
            self._finish(response_id)

    def _clear(self, response_id: str, answer: _Playing) -> None:
        heard = answer.playout.drop()
        if answer.started and not answer.cleared:
            answer.cleared = True
            self.news.append(e.OutputAudioBufferCleared(response_id=response_id))
        if answer.in_conversation:
            self.news.extend(
                e.ConversationItemTruncate(item_id=item, content_index=0, audio_end_ms=ms)
                for item, ms in heard.items()
                if item not in answer.deleted
            )
        answer.muted = answer.muted or answer.started or bool(heard)

    def _next(self) -> str | None:
        """Return who speaks now: who has begun is heard out before the next."""
        if self._current not in self._answers:
            speaking = (name for name, answer in self._answers.items() if answer.playout.busy)
            self._current = next(speaking, None)
        return self._current

    def _finish(self, response_id: str) -> None:
        """Forget an answer of which nothing more will be played."""
        answer = self._answers[response_id]
        if not answer.done or answer.playout.busy:
            return
        if answer.started and not answer.cleared:
            self.news.append(e.OutputAudioBufferStopped(response_id=response_id))
        del self._answers[response_id]
