"""The outbox: client events that no server has answered yet; they are sent again to the next server."""

from collections import deque
from itertools import chain

import anyio
from msgspec import Struct

from vivavoce.protocol import events as e

_QUIET_MS = 2000
"""milliseconds of audio kept while the user is silent: servers report the start of speech with a delay"""
_UNANSWERED = 64
"""events that may wait for an answer; some servers never answer some types, so this needs a limit"""
_ANSWERS: dict[type[e.Event], type[e.ClientEvent]] = {
    e.SessionUpdated: e.SessionUpdate,
    e.ConversationItemAdded: e.ConversationItemCreate,
    e.ConversationItemRetrieved: e.ConversationItemRetrieve,
    e.ConversationItemTruncated: e.ConversationItemTruncate,
    e.ConversationItemDeleted: e.ConversationItemDelete,
    e.ResponseCreated: e.ResponseCreate,
}
"""the server events that answer a client event, about the same item if they name one"""
_ANSWERED: tuple[type[e.ClientEvent], ...] = (
    *_ANSWERS.values(),
    e.InputAudioBufferCommit,
    e.InputAudioBufferClear,
)


class _Entry(Struct):
    event: e.ClientEvent
    start_ms: float
    end_ms: float

    @property
    def audio(self) -> bytes:
        return self.event.audio if isinstance(self.event, e.InputAudioBufferAppend) else b""


class Outbox:
    """A queue of client events. Events that were sent are kept until answered; audio, until it is committed.

    `put` waits while `depth` events are unsent. While there is no server, audio does not wait; then its last
    `audio_seconds` are kept.
    """

    def __init__(self, depth: int, audio_seconds: float) -> None:
        self.received_ms = 0.0
        """milliseconds of all the client's audio"""
        self.is_connected = False
        self.is_quiet = False
        """whether the server detects speech, and the user is silent"""
        self._sent: deque[_Entry] = deque()
        self._unsent: deque[_Entry] = deque()
        self._depth, self._max_ms = depth, audio_seconds * 1000
        self._news, self._room = anyio.Event(), anyio.Event()

    @property
    def start_ms(self) -> float:
        """The start of the oldest audio that is kept, in milliseconds of all the client's audio."""
        entries = chain(self._sent, self._unsent)
        return next((entry.start_ms for entry in entries if entry.audio), self.received_ms)

    @property
    def has_response_create(self) -> bool:
        """Whether the client has requested a response that has not begun."""
        return any(isinstance(one.event, e.ResponseCreate) for one in chain(self._sent, self._unsent))

    async def put(self, event: e.ClientEvent, bytes_per_ms: int) -> None:
        """Append an event, waiting for room. `bytes_per_ms` is that of the client's audio."""
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
        """Return the next event to send, waiting if there is none; it then counts as sent but unanswered."""
        while not self._unsent:
            self._news = anyio.Event()
            await self._news.wait()
        entry = self._unsent.popleft()
        if entry.audio or type(entry.event) in _ANSWERED:
            self._sent.append(entry)
        if not entry.audio:
            self._forget_unanswered()
        self._room.set()
        return entry.event

    def disconnected(self) -> None:
        """Record the loss of the server: all events are to be sent again to the next one."""
        self.is_connected = False
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        self._room.set()

    # answers of the server

    def pop_answered(self, event: e.Event) -> e.ClientEvent | None:
        """Remove and return the client event that a server event answers, or None."""
        for at, entry in enumerate(self._sent):
            if _is_answered(entry.event, event):
                del self._sent[at]
                return entry.event
        return None

    def pop_turn(self, start_ms: float, end_ms: float) -> bytes:
        """Remove the audio that was sent up to `end_ms`; return the part of it after `start_ms`."""
        turn = [one.audio for one in self._sent if one.audio and start_ms < one.end_ms <= end_ms]
        self._sent = deque(one for one in self._sent if not one.audio or one.end_ms > end_ms)
        return b"".join(turn)

    def pop_until(self, type_: type[e.InputAudioBufferCommit | e.InputAudioBufferClear]) -> bytes:
        """Remove the first sent event of this type, and all audio before it; return that audio."""
        sent = list(self._sent)
        at = next((n for n, entry in enumerate(sent) if isinstance(entry.event, type_)), None)
        if at is None:
            return b""
        self._sent = deque([*(entry for entry in sent[:at] if not entry.audio), *sent[at + 1 :]])
        return b"".join(entry.audio for entry in sent[:at])

    # limits

    def _trim(self) -> None:
        """Drop the oldest audio: beyond the limit, and while the user is silent, older than `_QUIET_MS`."""
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


def _is_answered(event: e.ClientEvent, by: e.Event) -> bool:
    if isinstance(by, e.ErrorEvent):
        return bool(by.error.event_id) and event.event_id == by.error.event_id
    return type(event) is _ANSWERS.get(type(by)) and _item_id(event) == _item_id(by)


def _item_id(event: e.Event) -> object:
    return getattr(getattr(event, "item", None), "id", None) or getattr(event, "item_id", None)
