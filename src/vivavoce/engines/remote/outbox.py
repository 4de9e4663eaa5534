"""What the client has sent and no server has answered yet; the next server receives it again. Bounded."""

from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import TypeVar

import anyio
from msgspec import Struct

from vivavoce.protocol import events as e

_QUIET_MS = 2000
"""audio that is kept while the user is silent: how late a server may report that they began to speak"""
_UNANSWERED = 64
"""events that may wait for an answer; some servers never answer some types, which is no reason to grow"""
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
    start_ms: float
    end_ms: float

    @property
    def audio(self) -> bytes:
        return self.event.audio if isinstance(self.event, e.InputAudioBufferAppend) else b""


class Outbox:
    """A queue of client events. What was sent stays until it is answered; audio, until it is committed.

    `put` waits while `depth` events are yet to be sent. Only audio does not wait while there is no server: then
    the last `audio_seconds` of it are kept.
    """

    def __init__(self, depth: int, audio_seconds: float) -> None:
        self.received_ms = 0.0
        """of all the client's audio"""
        self.is_connected = False
        self.is_quiet = False
        """whether the server detects speech, and nobody speaks"""
        self._sent: deque[_Entry] = deque()
        self._unsent: deque[_Entry] = deque()
        self._depth, self._max_ms = depth, audio_seconds * 1000
        self._news, self._room = anyio.Event(), anyio.Event()

    @property
    def start_ms(self) -> float:
        """When the oldest audio began that is kept, in milliseconds of all the client's audio."""
        entries = chain(self._sent, self._unsent)
        return next((entry.start_ms for entry in entries if entry.audio), self.received_ms)

    @property
    def has_response_create(self) -> bool:
        """Whether the client has asked for a response that has not begun."""
        return any(isinstance(one.event, e.ResponseCreate) for one in chain(self._sent, self._unsent))

    async def put(self, event: e.ClientEvent, bytes_per_ms: int) -> None:
        """Add an event, once there is room. `bytes_per_ms` are those of the client's audio."""
        audio = event.audio if isinstance(event, e.InputAudioBufferAppend) else b""
        while len(self._unsent) >= self._depth and (self.is_connected or not audio):
            self._room = anyio.Event()
            await self._room.wait()
        start, self.received_ms = self.received_ms, self.received_ms + len(audio) / bytes_per_ms
        self._unsent.append(_Entry(event, start, self.received_ms))
        if audio:
            self._trim()
        self._news.set()

    async def get(self) -> e.ClientEvent:
        """Return the next event to be sent; it is then for the server to answer."""
        while not self._unsent:
            self._news = anyio.Event()
            await self._news.wait()
        entry = self._unsent.popleft()
        if entry.audio or isinstance(entry.event, _ANSWERED):
            self._sent.append(entry)
        if not entry.audio:
            self._forget_unanswered()
        self._room.set()
        return entry.event

    def disconnected(self) -> None:
        """There is no server any more: all that is here is to be sent again to the next one."""
        self.is_connected = False
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        self._room.set()

    # what the server has answered

    def take_answered(self, event: e.Event) -> e.ClientEvent | None:
        """Remove and return the event that an event of the server answers, if it answers one."""
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

    def take_turn(self, start_ms: float, end_ms: float) -> bytes:
        """Remove the audio that was sent up to `end_ms`, and return what of it came after `start_ms`."""
        turn = [one.audio for one in self._sent if one.audio and start_ms < one.end_ms <= end_ms]
        self._sent = deque(one for one in self._sent if not one.audio or one.end_ms > end_ms)
        return b"".join(turn)

    def take_until(self, type_: type[e.InputAudioBufferCommit | e.InputAudioBufferClear]) -> bytes:
        """Remove the first event of this type that was sent, and all audio before it, which is returned."""
        sent = list(self._sent)
        at = next((n for n, entry in enumerate(sent) if isinstance(entry.event, type_)), None)
        if at is None:
            return b""
        self._sent = deque([*(entry for entry in sent[:at] if not entry.audio), *sent[at + 1 :]])
        return b"".join(entry.audio for entry in sent[:at])

    def _take(self, type_: type[_E], is_answered: Callable[[_E], bool] = lambda _: True) -> _E | None:
        for at, entry in enumerate(self._sent):
            if isinstance(entry.event, type_) and is_answered(entry.event):
                del self._sent[at]
                return entry.event
        return None

    # bounds

    def _trim(self) -> None:
        """Drop the oldest audio: what is too much, and what was sent and belongs to no turn."""
        most = _QUIET_MS if self.is_quiet and self.is_connected else self._max_ms
        entries = self._sent if self.is_connected else self._unsent
        while (at := next((n for n, entry in enumerate(entries) if entry.audio), None)) is not None:
            if self.received_ms - entries[at].start_ms <= most:
                return
            del entries[at]

    def _forget_unanswered(self) -> None:
        waiting = [at for at, entry in enumerate(self._sent) if not entry.audio]
        if len(waiting) > _UNANSWERED:
            del self._sent[waiting[0]]
