"""The conversation as a client sees it: our `Conversation`, its sound, and what has changed with each event."""

from collections.abc import Iterator
from typing import TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.client.conversation_item import Entry
from vivavoce.client.microphone import Microphone
from vivavoce.client.notifications import Delta, Interrupted, Notice, Update
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Item, Message, OutputAudio
from vivavoce.protocol.responses import Failed, FailedError, Response
from vivavoce.protocol.session import AudioFormat, InputSettings, Pcm, Session, TranscriptionSession
from vivavoce.session.conversation import Conversation
from vivavoce.session.formats import bytes_per_ms
from vivavoce.session.item_audio import ItemAudio

__all__ = ["ConversationView"]

T = TypeVar("T")

UNCONFIRMED = 64
"""so many items, and wishes for an answer, that the server has not confirmed are said again on a new line"""
EMPTY = "input_audio_buffer_commit_empty"


class ConversationView:
    """What is known of a conversation. Pure: it is told every event, and tells what that means."""

    def __init__(self, kept_seconds: float) -> None:
        self.conversation = Conversation()
        self.session: Session | TranscriptionSession | None = None
        """as the server has told it last"""
        self.sounds = ItemAudio(kept_seconds, keep_beginning=True)
        self.microphone = Microphone(round(kept_seconds * 1000) * bytes_per_ms(Pcm()))
        self._created: dict[str, e.ConversationItemCreate] = {}
        self._answers: dict[str, Response] = {}
        self._asked: dict[str, e.ResponseCreate] = {}
        self._completed: set[str] = set()
        self._hushed: set[str] = set()

    # what is there

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything said, in order."""
        return tuple(Entry(item, self.sounds) for item in self.conversation.items)

    def find(self, item_id: str) -> Entry | None:
        """Return an item, if there is one by this id."""
        item = self.conversation.find(item_id)
        return Entry(item, self.sounds) if item else None

    @property
    def is_answering(self) -> bool:
        """Whether an answer is under way."""
        return bool(self._answers)

    @property
    def unconfirmed(self) -> tuple[e.ClientEvent, ...]:
        """What the client has created or asked for, and the server has said nothing of."""
        return (*self._created.values(), *self._asked.values())

    @property
    def is_manual(self) -> bool:
        """Whether the client says when a turn is over."""
        return self._input.turn_detection is None

    @property
    def input_format(self) -> AudioFormat:
        """How the client's sound is written."""
        return self._input.format or Pcm()

    @property
    def output_format(self) -> AudioFormat:
        """How the answers' sound is written."""
        audio = self.session.audio if isinstance(self.session, Session) else UNSET
        return (audio.output.format or Pcm()) if audio and audio.output else Pcm()

    @property
    def _input(self) -> InputSettings:
        audio = self.session.audio if self.session else UNSET
        return (audio.input or InputSettings()) if audio else InputSettings()

    # what the client says

    def say(self, event: e.ClientEvent) -> None:
        """Note what the client has said."""
        match event:
            case e.InputAudioBufferAppend(audio=sound):
                self.microphone.hear(sound, self.input_format)
            case e.InputAudioBufferCommit():
                self.microphone.commit()
            case e.InputAudioBufferClear():
                self.microphone.clear()
            case e.ConversationItemCreate():
                self._create(event)
            case e.ResponseCreate(event_id=str() as event_id):
                _remember(self._asked, event_id, event)
            case _:
                pass

    def _create(self, event: e.ConversationItemCreate) -> None:
        item, item_id = event.item, event.item.id or ""
        if item_id in self.conversation:
            return
        _remember(self._created, item_id, event)
        for part in item.content if isinstance(item, Message) else ():
            if isinstance(part, InputAudio) and part.audio:
                self._keep(item_id, part.audio, self.input_format)

    def _keep(self, item_id: str, audio: bytes, format: AudioFormat) -> None:
        if item_id not in self.sounds:
            self.sounds.open(item_id, format)
        self.sounds.append(item_id, audio)

    def hush(self, item_id: str, samples: int) -> e.ConversationItemTruncate:
        """Forget what comes of a spoken answer after so many samples; return what to tell the server.

        Raises `ProtocolError` if there is no such answer.
        """
        item, spoken_ms = self.conversation.find(item_id), self.conversation.spoken_ms(item_id)
        if not isinstance(item, Message) or spoken_ms is None:
            raise ProtocolError(
                f"{item_id!r} is no spoken answer of this conversation; give the id of one.",
                code="item_truncate_invalid_item_id",
                param="item_id",
            )
        self._hushed.add(item_id)
        rate = bytes_per_ms(self.output_format)
        per_ms = rate // 2 if isinstance(self.output_format, Pcm) else rate
        ms = max(0, min(samples // per_ms, int(spoken_ms)))
        index = next((n for n, part in enumerate(item.content) if isinstance(part, OutputAudio)), 0)
        return e.ConversationItemTruncate(item_id=item_id, content_index=index, audio_end_ms=ms)

    # what the server says

    def hear(self, event: e.Event) -> list[Notice]:
        """Take in what the server says; return what it means, in order."""
        known = self._known(event)
        self.conversation.apply(event)
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self.session = session
            case e.ErrorEvent(error=error):
                self._asked.pop(error.event_id or "", None)
                if error.code == EMPTY:
                    self.microphone.refused()
            case e.ResponseCreated(response=response):
                self._begin(response)
            case e.ResponseDone(response=response):
                self._answers.pop(response.id, None)
            case e.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=ms):
                self.microphone.started(item_id, ms)
                return [Interrupted(self._last_spoken())]
            case e.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=ms):
                self.microphone.stopped(item_id, ms)
            case e.InputAudioBufferCommitted(item_id=item_id):
                self._keep(item_id, self.microphone.item(item_id), self.input_format)
            case e.ConversationItemAdded(item=item):
                self._created.pop(item.id or "", None)
                return list(self._added(item)) if known is None else []
            case e.ConversationItemDone(item=item) | e.ResponseOutputItemDone(item=item):
                return list(self._done(item))
            case e.ConversationItemDeleted(item_id=item_id) if known is not None:
                self._forget(item_id)
                return [Update("conversation.updated", known)]
            case _:
                return list(self._changed(event))
        return []

    def lost(self) -> list[e.ResponseDone]:
        """Return what a server would have said before it left, had it been able to: that its answers failed."""
        error = FailedError(type="server_error", code="connection_lost", message="The connection is lost.")
        failed = Failed(error=error)
        answers = (replace(one, status="failed", status_details=failed) for one in self._answers.values())
        return [e.ResponseDone(response=one) for one in answers]

    def break_off(self) -> list[Notice]:
        """The connection is lost: what was in progress will not be finished. Tell what that changes."""
        self._answers.clear()
        self.microphone.restart()
        left = (entry.item for entry in self.entries if entry.status == "in_progress")
        return [notice for item in left for notice in self._done(_incomplete(item))]

    def _begin(self, response: Response) -> None:
        self._asked.pop(next(iter(self._asked), ""), None)
        if response.conversation_id is not None:
            self._answers[response.id] = response

    def _known(self, event: e.Event) -> Entry | None:
        match event:
            case e.ConversationItemAdded(item=item):
                return self.find(item.id or "")
            case e.ConversationItemDeleted(item_id=item_id):
                return self.find(item_id)
            case _:
                return None

    def _forget(self, item_id: str) -> None:
        self.sounds.delete(item_id)
        self._completed.discard(item_id)
        self._hushed.discard(item_id)

    def _added(self, item: Item) -> Iterator[Notice]:
        entry = self.find(item.id or "")
        if entry is not None:
            yield Update("conversation.updated", entry)
            yield Update("conversation.item.appended", entry)

    def _done(self, item: Item) -> Iterator[Notice]:
        """Tell that an item has its final form, once, though servers say so twice or in one way only."""
        item_id = item.id or ""
        if item_id in self._completed or item_id not in self.conversation:
            return
        self._completed.add(item_id)
        self.conversation.apply(e.ConversationItemDone(item=item))
        entry = self.find(item_id)
        if entry is not None:
            yield Update("conversation.updated", entry)
            if entry.status == "completed":
                yield Update("conversation.item.completed", entry)

    def _changed(self, event: e.Event) -> Iterator[Notice]:
        item_id, delta = self._delta(event)
        entry = self.find(item_id)
        if entry is not None:
            yield Update("conversation.updated", entry, delta)

    def _delta(self, event: e.Event) -> tuple[str, Delta | None]:
        """Return the id of the item that an event changes, and what it adds."""
        match event:
            case e.ResponseOutputAudioDelta(item_id=item_id, delta=sound) if item_id not in self._hushed:
                if item_id in self.conversation:
                    self._keep(item_id, sound, self.output_format)
                return item_id, Delta(audio=sound)
            case e.ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=words):
                return item_id, Delta(transcript=words)
            case e.ResponseOutputTextDelta(item_id=item_id, delta=words):
                return item_id, Delta(text=words)
            case e.TranscriptionCompleted(item_id=item_id, transcript=words):
                return item_id, Delta(transcript=words)
            case (
                e.ResponseFunctionCallArgumentsDelta(item_id=item_id, delta=more)
                | e.ResponseMcpCallArgumentsDelta(item_id=item_id, delta=more)
            ):
                return item_id, Delta(arguments=more)
            case e.ConversationItemTruncated(item_id=item_id, audio_end_ms=ms):
                self._hushed.add(item_id)
                self.sounds.truncate(item_id, ms)
                return item_id, None
            case _:
                return "", None

    def _last_spoken(self) -> Entry | None:
        spoken = (one for one in reversed(self.entries) if self.conversation.spoken_ms(one.id) is not None)
        return next(spoken, None)


def _remember(unconfirmed: dict[str, T], name: str, what: T) -> None:
    unconfirmed[name] = what
    if len(unconfirmed) > UNCONFIRMED:
        del unconfirmed[next(iter(unconfirmed))]


def _incomplete(item: Item) -> Item:
    return replace(item, status="incomplete") if hasattr(item, "status") else item
