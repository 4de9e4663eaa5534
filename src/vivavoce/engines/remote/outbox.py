"""What the caller has said and nobody has answered yet: whoever answers next is told it again. Bounded."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import anyio
from msgspec import Struct

from vivavoce.protocol import events as e

__all__ = ["Outbox"]

_QUIET_MS = 2000
"""While nobody speaks, so much sound stays: how late one may learn that somebody began to."""
_ASKED = 64
"""so many events that were told stay unanswered; servers that never answer some kinds are no reason to grow"""
_E = TypeVar("_E", bound=e.ClientEvent)
_ANSWERED = (
    e.SessionUpdate,
    e.InputAudioBufferCommit,
    e.InputAudioBufferClear,
    e.ConversationItemCreate,
    e.ConversationItemRetrieve,
    e.ConversationItemTruncate,
    e.ConversationItemDelete,
    e.ResponseCreate,
)


class _Entry(Struct):
    event: e.ClientEvent
    begin_ms: float
    end_ms: float

    @property
    def sound(self) -> bytes:
        return self.event.audio if isinstance(self.event, e.InputAudioBufferAppend) else b""


class Outbox:
    """Events wait here to be told, in order, and stay until they are answered; sound, until it is committed.

    Who notes an event waits while `depth` of them are yet to be told. Only sound does not wait while nobody is
    there to be told: then the last `seconds` of it are kept.
    """

    def __init__(self, depth: int, seconds: float) -> None:
        self.heard_ms = 0.0
        self.lost = True
        """nobody is there to be told anything"""
        self.quiet = False
        """the far end says when somebody speaks, and nobody does"""
        self._entries: deque[_Entry] = deque()
        self._told, self._depth, self._most_ms = 0, depth, seconds * 1000
        self._news, self._room = anyio.Event(), anyio.Event()

    @property
    def begins_ms(self) -> float:
        """When the oldest sound began that is kept, in milliseconds of all the caller's sound."""
        return next((entry.begin_ms for entry in self._entries if entry.sound), self.heard_ms)

    @property
    def answer_wanted(self) -> bool:
        """Whether the caller has asked for an answer that has not begun."""
        return any(isinstance(entry.event, e.ResponseCreate) for entry in self._entries)

    async def note(self, event: e.ClientEvent, bytes_per_ms: int) -> None:
        """Put down what the caller says, once there is room. `bytes_per_ms` are those of their sound."""
        sound = event.audio if isinstance(event, e.InputAudioBufferAppend) else b""
        while len(self._entries) - self._told >= self._depth and not (sound and self.lost):
            self._room = anyio.Event()
            await self._room.wait()
        begin, self.heard_ms = self.heard_ms, self.heard_ms + len(sound) / bytes_per_ms
        self._entries.append(_Entry(event, begin, self.heard_ms))
        if sound:
            self._trim()
        self._news.set()

    async def next(self) -> e.ClientEvent:
        """Return the next event to be told; it is then the far end's to answer."""
        while self._told == len(self._entries):
            self._news = anyio.Event()
            await self._news.wait()
        entry = self._entries[self._told]
        if entry.sound or isinstance(entry.event, _ANSWERED):
            self._told += 1
        else:
            del self._entries[self._told]
        if not entry.sound:
            self._forget_unanswered()
        self._room.set()
        return entry.event

    def found(self) -> None:
        """Somebody is there again, who is to be told everything that is here."""
        self.lost, self._told = False, 0

    def lose(self) -> None:
        """Nobody is there any more; all that is here is yet to be told."""
        self.lost, self._told = True, 0
        self._room.set()

    # what the far end has answered

    def settle(self, event: e.Event) -> e.ClientEvent | None:
        """Take out what an event of the far end answers, and return it."""
        match event:
            case e.SessionUpdated():
                return self._take(e.SessionUpdate)
            case e.ResponseCreated():
                return self._take(e.ResponseCreate)
            case e.ConversationItemAdded(item=item):
                return self._take(e.ConversationItemCreate, lambda one: one.item.id == item.id)
            case e.ConversationItemRetrieved(item=item):
                return self._take(e.ConversationItemRetrieve, lambda one: one.item_id == item.id)
            case e.ConversationItemTruncated(item_id=item_id):
                return self._take(e.ConversationItemTruncate, lambda one: one.item_id == item_id)
            case e.ConversationItemDeleted(item_id=item_id):
                return self._take(e.ConversationItemDelete, lambda one: one.item_id == item_id)
            case e.ErrorEvent(error=error) if error.event_id:
                return self._take(e.ClientEvent, lambda one: one.event_id == error.event_id)
            case _:
                return None

    def take_turn(self, begin_ms: float, end_ms: float) -> bytes:
        """Take out the sound up to `end_ms`, and return what came of it after `begin_ms`."""
        kept = [entry for entry in self._told_entries() if not entry.sound or entry.end_ms > end_ms]
        turn = [one for one in self._told_entries() if one.sound and begin_ms < one.end_ms <= end_ms]
        self._keep(kept)
        return b"".join(entry.sound for entry in turn)

    def take_until(self, kind: type[e.InputAudioBufferCommit | e.InputAudioBufferClear]) -> bytes:
        """Take out the first event of this kind and all sound before it, which is returned."""
        told = list(self._told_entries())
        at = next((n for n, entry in enumerate(told) if isinstance(entry.event, kind)), None)
        if at is None:
            return b""
        self._keep([*(entry for entry in told[:at] if not entry.sound), *told[at + 1 :]])
        return b"".join(entry.sound for entry in told[:at])

    def _told_entries(self) -> Iterator[_Entry]:
        return (self._entries[at] for at in range(self._told))

    def _keep(self, told: list[_Entry]) -> None:
        untold = [self._entries[at] for at in range(self._told, len(self._entries))]
        self._entries, self._told = deque([*told, *untold]), len(told)

    def _take(self, kind: type[_E], answered: Callable[[_E], bool] = lambda _: True) -> _E | None:
        for at, entry in enumerate(self._told_entries()):
            if isinstance(entry.event, kind) and answered(entry.event):
                self._drop(at)
                return entry.event
        return None

    def _drop(self, at: int) -> None:
        del self._entries[at]
        if at < self._told:
            self._told -= 1

    # bounds

    def _trim(self) -> None:
        """Drop the oldest sound: what is too much, and what was told and is nobody's turn."""
        most = _QUIET_MS if self.quiet and not self.lost else self._most_ms
        while (at := self._oldest_sound()) is not None and (at < self._told or self.lost):
            if self.heard_ms - self._entries[at].begin_ms <= most:
                return
            self._drop(at)

    def _oldest_sound(self) -> int | None:
        return next((at for at, entry in enumerate(self._entries) if entry.sound), None)

    def _forget_unanswered(self) -> None:
        asked = [at for at, entry in enumerate(self._told_entries()) if not entry.sound]
        if len(asked) > _ASKED:
            self._drop(asked[0])
