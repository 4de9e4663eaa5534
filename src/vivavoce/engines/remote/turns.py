"""The caller's turns, as a server far away has told of them; what is left open of one can be closed. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from vivavoce.engines.cascade.transcripts import said
from vivavoce.engines.remote.options import Settings
from vivavoce.engines.remote.outbox import Outbox
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Message
from vivavoce.protocol.session import InputSettings, Pcm
from vivavoce.session.conversation import Conversation
from vivavoce.session.formats import bytes_per_ms

__all__ = ["Turns"]


@dataclass
class _Turn:
    """What somebody says, in milliseconds of all the caller's sound; `end_ms` once they have stopped."""

    item_id: str
    begin_ms: float
    end_ms: float | None = None


@dataclass
class Turns:
    """Follows what the caller says, and keeps the sound of turns whose words nobody knows yet.

    Of that at most `seconds` are kept, the latest.
    """

    conversation: Conversation
    journal: Outbox
    seconds: float
    sounds: dict[str, bytes] = field(default_factory=dict)
    """by item; in the session's format"""
    owed: bool = False
    """a turn was committed that the far end answers by itself, and has not yet"""
    _hears: InputSettings = field(default_factory=InputSettings)
    _speaking: _Turn | None = None
    _committed: str | None = None
    """it is not an item yet"""
    _unwritten: dict[str, None] = field(default_factory=dict)

    @property
    def bytes_per_ms(self) -> int:
        """How many bytes a millisecond of the caller's sound has."""
        return bytes_per_ms(self._hears.format or Pcm())

    @property
    def open(self) -> bool:
        """Whether the caller is speaking."""
        return self._speaking is not None and self._speaking.end_ms is None

    def hold(self, session: Settings) -> None:
        """Listen as this session does."""
        self._hears = (session.audio.input if session.audio else None) or InputSettings()
        self._be_quiet_or_not()

    def tell(self, event: e.Event) -> None:
        """Take in one event that the caller is told."""
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self.hold(session)
            case e.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=ms):
                self._speaking = _Turn(item_id, ms)
            case e.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=ms):
                begin = self._speaking.begin_ms if self._speaking else 0
                self._speaking = _Turn(item_id, begin, ms)
            case e.InputAudioBufferTimeoutTriggered(item_id=item_id, audio_start_ms=begin, audio_end_ms=ms):
                self._speaking = _Turn(item_id, begin, ms)
            case e.InputAudioBufferCommitted(item_id=item_id):
                self._commit(item_id)
            case e.InputAudioBufferCleared():
                self.journal.take_until(e.InputAudioBufferClear)
                self._speaking = None
            case e.ConversationItemAdded(item=Message(role="user") as item):
                self._add(item)
            case e.TranscriptionCompleted(item_id=item_id):
                self._unwritten.pop(item_id, None)
                self.sounds.pop(item_id, None)
            case e.TranscriptionFailed(item_id=item_id):
                self._unwritten.pop(item_id, None)
            case e.ConversationItemDeleted(item_id=item_id):
                self._unwritten.pop(item_id, None)
                self.sounds.pop(item_id, None)
            case e.ResponseCreated(response=response) if response.conversation_id:
                self.owed = False
            case _:
                return
        self._be_quiet_or_not()

    def _be_quiet_or_not(self) -> None:
        self.journal.quiet = bool(self._hears.turn_detection) and self._speaking is None

    def _commit(self, item_id: str) -> None:
        turn, self._speaking, self._committed = self._speaking, None, item_id
        if turn and turn.end_ms is not None and turn.item_id == item_id:
            sound = self.journal.take_turn(turn.begin_ms, turn.end_ms)
            detection = self._hears.turn_detection or None
            self.owed = detection is not None and detection.create_response is not False
        else:
            sound = self.journal.take_until(e.InputAudioBufferCommit)
        self.keep(item_id, sound)

    def keep(self, item_id: str, sound: bytes) -> None:
        """Keep the sound of an item whose words are not known."""
        most = round(self.seconds * 1000) * self.bytes_per_ms
        self.sounds[item_id] = sound[-most:]
        while sum(map(len, self.sounds.values())) > most:
            del self.sounds[next(iter(self.sounds))]

    def _add(self, item: Message) -> None:
        if item.id == self._committed:
            self._committed = None
            if self._hears.transcription:
                self._unwritten[item.id or ""] = None

    # when the far end is lost

    def stopped(self) -> Iterator[e.ServerEvent]:
        """Give what is yet to be told of a turn that is over: that it is committed."""
        if self._speaking and self._speaking.end_ms is not None:
            yield self._committing(self._speaking.item_id)

    def closing(self, why: str) -> Iterator[e.ServerEvent]:
        """Give what closes all that is open. What the caller is saying becomes an item that nobody understood.

        Its sound stays in the journal: whoever comes next hears it from the beginning.
        """
        if turn := self._speaking:
            self._speaking, self._committed = None, turn.item_id
            end = round(max(self.journal.heard_ms, turn.begin_ms))
            yield e.InputAudioBufferSpeechStopped(audio_end_ms=end, item_id=turn.item_id)
            yield self._committing(turn.item_id)
        if self._committed:
            item, before = said(self._committed, None), self.conversation.last_id
            self._add(item)
            yield e.ConversationItemAdded(item=item, previous_item_id=before)
            yield e.ConversationItemDone(item=item, previous_item_id=before)
        for item_id in self._unwritten:
            problem = e.TranscriptionError(type="server_error", code="connection_lost", message=why)
            yield e.TranscriptionFailed(item_id=item_id, content_index=0, error=problem)
        self._unwritten.clear()

    def _committing(self, item_id: str) -> e.InputAudioBufferCommitted:
        return e.InputAudioBufferCommitted(item_id=item_id, previous_item_id=self.conversation.last_id)
