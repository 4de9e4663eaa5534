"""The conversation as a client sees it: items, audio, and the notifications that each event causes."""

from collections.abc import Iterator
from typing import TypeVar

from msgspec.structs import replace

from vivavoce.client.items import ConversationItem
from vivavoce.client.microphone import Microphone
from vivavoce.client.notifications import Delta, Interrupted, Notification, Update
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Item, Message, OutputAudio
from vivavoce.protocol.responses import Response, connection_lost
from vivavoce.protocol.session import AnySession, AudioFormat, Pcm, input_settings, output_settings
from vivavoce.session.conversation import Conversation
from vivavoce.session.formats import bytes_per_ms
from vivavoce.session.item_audio import ItemAudio

T = TypeVar("T")

UNCONFIRMED = 64
"""unconfirmed items, and requests for a response, that are sent again after a reconnection"""
COMMIT_EMPTY = "input_audio_buffer_commit_empty"


class ConversationView:
    """The state of a conversation, without I/O: fed with every event, returns the notifications."""

    def __init__(self, kept_seconds: float) -> None:
        self.conversation = Conversation()
        self.session: AnySession | None = None
        """as the server reported it last"""
        self.audio = ItemAudio(kept_seconds, keep_beginning=True)
        self.microphone = Microphone(round(kept_seconds * 1000) * bytes_per_ms(Pcm()))
        self._created: dict[str, e.ConversationItemCreate] = {}
        self._requested: dict[str, e.ResponseCreate] = {}
        self._responses: dict[str, Response] = {}
        """the responses in progress in the conversation, by id"""
        self._completed: set[str] = set()
        self._truncated: set[str] = set()

    # state

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """All items, in order."""
        return tuple(self._shown(item) for item in self.conversation.items)

    def find(self, item_id: str) -> ConversationItem | None:
        """Return the item with this id, or None."""
        item = self.conversation.find(item_id)
        return self._shown(item) if item else None

    def _shown(self, item: Item) -> ConversationItem:
        return ConversationItem(item, self.audio, self.conversation.purpose(item))

    @property
    def is_answering(self) -> bool:
        """Whether a response is in progress."""
        return bool(self._responses)

    @property
    def unconfirmed(self) -> tuple[e.ClientEvent, ...]:
        """The created items and requests for a response that the server has not confirmed."""
        return (*self._created.values(), *self._requested.values())

    @property
    def is_manual(self) -> bool:
        """Whether the client commits its turns itself, without turn detection."""
        return input_settings(self.session).turn_detection is None

    @property
    def input_format(self) -> AudioFormat:
        """The format of the client's audio."""
        return input_settings(self.session).format or Pcm()

    @property
    def output_format(self) -> AudioFormat:
        """The format of the responses' audio."""
        return output_settings(self.session).format or Pcm()

    # what the client sends

    def on_sent(self, event: e.ClientEvent) -> None:
        """Process an event that the client has sent."""
        match event:
            case e.InputAudioBufferAppend(audio=audio):
                self.microphone.append(audio, self.input_format)
            case e.InputAudioBufferCommit():
                self.microphone.commit()
            case e.InputAudioBufferClear():
                self.microphone.clear()
            case e.ConversationItemCreate(item=item) if (item.id or "") not in self.conversation:
                _remember(self._created, item.id or "", event)
                for part in item.content if isinstance(item, Message) else ():
                    if isinstance(part, InputAudio) and part.audio:
                        self._append_audio(item.id or "", part.audio, self.input_format)
            case e.ResponseCreate(event_id=str() as event_id):
                _remember(self._requested, event_id, event)
            case _:
                pass

    def _append_audio(self, item_id: str, audio: bytes, format: AudioFormat) -> None:
        if item_id not in self.audio:
            self.audio.open(item_id, format)
        self.audio.append(item_id, audio)

    def truncate(self, item_id: str, samples: int) -> e.ConversationItemTruncate:
        """Drop further audio of a spoken answer; return the event that truncates it after `samples` samples.

        Raises `ProtocolError` if there is no such answer.
        """
        item, spoken_ms = self.conversation.find(item_id), self.conversation.spoken_ms(item_id)
        if not isinstance(item, Message) or spoken_ms is None:
            problem = f"{item_id!r} is not a spoken answer of this conversation."
            raise ProtocolError(problem, code="item_truncate_invalid_item_id", param="item_id")
        self._truncated.add(item_id)
        rate = bytes_per_ms(self.output_format)
        per_ms = rate // 2 if isinstance(self.output_format, Pcm) else rate
        ms = max(0, min(samples // per_ms, int(spoken_ms)))
        index = next((n for n, part in enumerate(item.content) if isinstance(part, OutputAudio)), 0)
        return e.ConversationItemTruncate(item_id=item_id, content_index=index, audio_end_ms=ms)

    # what the server sends

    def on_received(self, event: e.Event) -> list[Notification]:
        """Process an event of the server; return the notifications for it, in order."""
        known = self._known(event)
        self.conversation.apply(event)
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self.session = session
            case e.ErrorEvent(error=error):
                self._requested.pop(error.event_id or "", None)
                if error.code == COMMIT_EMPTY:
                    self.microphone.commit_rejected()
            case e.ResponseCreated(response=response):
                # the event does not name the request; requests are answered in the order of sending
                self._requested.pop(next(iter(self._requested), ""), None)
                if response.conversation_id is not None:
                    self._responses[response.id] = response
            case e.ResponseDone(response=response):
                self._responses.pop(response.id, None)
            case e.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=ms):
                self.microphone.speech_started(item_id, ms)
                return [Interrupted(self._last_spoken())]
            case e.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=ms):
                self.microphone.speech_stopped(item_id, ms)
            case e.InputAudioBufferCommitted(item_id=item_id):
                self._append_audio(item_id, self.microphone.pop_item(item_id), self.input_format)
            case e.ConversationItemAdded(item=item):
                self._created.pop(item.id or "", None)
                return list(self._added(item)) if known is None else []
            case e.ConversationItemDone(item=item) | e.ResponseOutputItemDone(item=item):
                return list(self._done(item))
            case e.ConversationItemDeleted(item_id=item_id) if known is not None:
                self.audio.delete(item_id)
                self._completed.discard(item_id)
                self._truncated.discard(item_id)
                return [Update("conversation.updated", known)]
            case _:
                return list(self._changed(event))
        return []

    def failed_responses(self) -> list[e.ResponseDone]:
        """Return a failed `response.done` for each response that the lost connection interrupted."""
        lost = (connection_lost(one, "The connection is lost.") for one in self._responses.values())
        return [e.ResponseDone(response=response) for response in lost]

    def on_disconnected(self) -> list[Notification]:
        """Mark items in progress as incomplete, since they will not be finished; return the notifications."""
        self._responses.clear()
        self.microphone.restart()
        left = [one.item for one in self.items if one.status == "in_progress"]
        return [notification for item in left for notification in self._done(_incomplete(item))]

    def _known(self, event: e.Event) -> ConversationItem | None:
        match event:
            case e.ConversationItemAdded(item=item):
                return self.find(item.id or "")
            case e.ConversationItemDeleted(item_id=item_id):
                return self.find(item_id)
            case _:
                return None

    def _added(self, item: Item) -> Iterator[Notification]:
        if added := self.find(item.id or ""):
            yield Update("conversation.updated", added)
            yield Update("conversation.item.appended", added)

    def _done(self, item: Item) -> Iterator[Notification]:
        """Report that an item is done, once: servers send one of two events for that, or both."""
        item_id = item.id or ""
        if item_id in self._completed or item_id not in self.conversation:
            return
        self._completed.add(item_id)
        self.conversation.apply(e.ConversationItemDone(item=item))
        if done := self.find(item_id):
            yield Update("conversation.updated", done)
            if done.status == "completed":
                yield Update("conversation.item.completed", done)

    def _changed(self, event: e.Event) -> Iterator[Notification]:
        item_id, delta = self._delta(event)
        if changed := self.find(item_id):
            yield Update("conversation.updated", changed, delta)

    def _delta(self, event: e.Event) -> tuple[str, Delta | None]:
        """Return the id of the item that an event changes, and what it adds."""
        match event:
            case e.ResponseOutputAudioDelta(item_id=item_id, delta=audio) if item_id not in self._truncated:
                if item_id in self.conversation:
                    self._append_audio(item_id, audio, self.output_format)
                return item_id, Delta(audio=audio)
            case e.ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=text):
                return item_id, Delta(transcript=text)
            case e.ResponseOutputTextDelta(item_id=item_id, delta=text):
                return item_id, Delta(text=text)
            case e.TranscriptionCompleted(item_id=item_id, transcript=text):
                return item_id, Delta(transcript=text)
            case (
                e.ResponseFunctionCallArgumentsDelta(item_id=item_id, delta=more)
                | e.ResponseMcpCallArgumentsDelta(item_id=item_id, delta=more)
            ):
                return item_id, Delta(arguments=more)
            case e.ConversationItemTruncated(item_id=item_id, audio_end_ms=ms):
                self._truncated.add(item_id)
                self.audio.truncate(item_id, ms)
                return item_id, None
            case _:
                return "", None

    def _last_spoken(self) -> ConversationItem | None:
        spoken = (one for one in reversed(self.items) if self.conversation.spoken_ms(one.id) is not None)
        return next(spoken, None)


def _remember(unconfirmed: dict[str, T], key: str, event: T) -> None:
    unconfirmed[key] = event
    if len(unconfirmed) > UNCONFIRMED:
        del unconfirmed[next(iter(unconfirmed))]


def _incomplete(item: Item) -> Item:
    return replace(item, status="incomplete") if hasattr(item, "status") else item
