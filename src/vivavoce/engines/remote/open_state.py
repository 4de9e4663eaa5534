"""What the client has seen start and not yet end, and the events that close it after a loss. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.engines.remote.outbox import Outbox
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    AudioPart,
    ContentPart,
    FunctionCall,
    Item,
    McpCall,
    McpListTools,
    McpToolExecutionError,
    Message,
    OutputAudio,
    OutputText,
    incomplete,
)
from vivavoce.protocol.responses import InputTokens, Response, TokenDetails, Usage, connection_lost
from vivavoce.protocol.session import AnySession, InputSettings, Pcm, input_settings
from vivavoce.session.conversation import Conversation, user_message
from vivavoce.session.formats import bytes_per_ms

_NO_USAGE = Usage(
    total_tokens=0,
    input_tokens=0,
    output_tokens=0,
    input_token_details=InputTokens(),
    output_token_details=TokenDetails(),
)


@dataclass
class _Part:
    """A part of a message. `closed` are the types of the closing events that were received."""

    spoken: bool = True
    text: str = ""
    closed: set[type[e.Event]] = field(default_factory=set)


@dataclass
class _Output:
    """An item of a response; `settled` when final in the conversation, `done` when final in the response."""

    item: Item
    index: int
    parts: dict[int, _Part] = field(default_factory=dict)
    arguments: str = ""
    arguments_done: bool = False
    settled: bool = False
    done: bool = False

    @property
    def id(self) -> str:
        return self.item.id or ""

    def apply(self, event: e.OutputEvent | e.ResponseOutputItemDone) -> None:
        match event:
            case e.ResponseOutputItemDone(item=item):
                self.item, self.done = item, True
            case e.ResponseContentPartAdded(content_index=index, part=part):
                self.parts[index] = _Part(isinstance(part, AudioPart))
            case e.ResponseOutputAudioTranscriptDelta(delta=text) | e.ResponseOutputTextDelta(delta=text):
                self.parts.setdefault(event.content_index, _Part()).text += text
            case e.ResponseFunctionCallArgumentsDelta(delta=more) | e.ResponseMcpCallArgumentsDelta(delta=more):
                self.arguments += more
            case (
                e.ResponseFunctionCallArgumentsDone(arguments=arguments)
                | e.ResponseMcpCallArgumentsDone(arguments=arguments)
            ):
                self.arguments, self.arguments_done = arguments, True
            case e.PartEvent(content_index=index):
                self.parts.setdefault(index, _Part()).closed.add(type(event))


@dataclass
class _OpenResponse:
    """A response. Its MCP calls may end after it."""

    response: Response
    output: dict[int, _Output] = field(default_factory=dict)
    done: bool = False

    @property
    def is_over(self) -> bool:
        return self.done and all(out.done for out in self.output.values() if isinstance(out.item, McpCall))


@dataclass
class _Turn:
    """A turn of the user, in milliseconds of all the client's audio; `end_ms` is set when speech stops."""

    item_id: str
    start_ms: float
    end_ms: float | None = None


@dataclass
class OpenState:
    """A fold over the events that the client receives: the items, responses and turns that are still open.

    It also keeps the audio of turns without a transcript, the latest `audio_seconds` of it, and images of at
    most `image_bytes`.
    """

    outbox: Outbox
    audio_seconds: float
    image_bytes: int
    conversation: Conversation = field(default_factory=Conversation)
    audio: dict[str, bytes] = field(default_factory=dict)
    """by item, in the session's format"""
    response_due: bool = False
    """whether the server is to respond by itself to a committed turn, and has not yet"""
    _responses: dict[str, _OpenResponse] = field(default_factory=dict)
    _items: dict[str, Item] = field(default_factory=dict)
    """items outside responses that were added and are not done"""
    _listing: set[str] = field(default_factory=set)
    """`mcp_list_tools` items whose listing is in progress"""
    _input: InputSettings = field(default_factory=InputSettings)
    _turn: _Turn | None = None
    _committed: str | None = None
    """a committed turn whose item was not added yet"""
    _untranscribed: dict[str, None] = field(default_factory=dict)

    @property
    def bytes_per_ms(self) -> int:
        """Bytes per millisecond of the client's audio."""
        return bytes_per_ms(self._input.format or Pcm())

    @property
    def is_user_speaking(self) -> bool:
        """Whether the server has detected speech that has not stopped."""
        return self._turn is not None and self._turn.end_ms is None

    @property
    def has_open_response(self) -> bool:
        """Whether any response is in progress."""
        return any(not one.done for one in self._responses.values())

    @property
    def is_answering(self) -> bool:
        """Whether a response is in progress in the conversation."""
        return any(not one.done and one.response.conversation_id for one in self._responses.values())

    # events that the client receives

    def configure(self, session: AnySession) -> None:
        """Apply the input settings of a session."""
        self._input = input_settings(session)
        self._set_quiet()

    def apply(self, event: e.Event) -> None:
        """Process an event that the client receives."""
        self._apply(event)
        self._apply_input(event)

    def _apply(self, event: e.Event) -> None:
        match event:
            case e.ConversationItemAdded(item=item) | e.ConversationItemDone(item=item) if item.id is UNSET:
                return  # some servers send such items, and nothing can refer to them
            case e.ConversationItemAdded(item=item):
                if not self._outputs(item.id):
                    self._items[item.id or ""] = item
            case e.ConversationItemDone(item=item):
                self._items.pop(item.id or "", None)
                for settled in self._outputs(item.id):
                    settled.item, settled.settled = item, True
            case e.ConversationItemDeleted(item_id=item_id):
                self._items.pop(item_id, None)
            case e.McpListToolsInProgress(item_id=item_id):
                self._listing.add(item_id)
            case e.McpListToolsCompleted(item_id=item_id) | e.McpListToolsFailed(item_id=item_id):
                self._listing.discard(item_id)
            case e.ResponseCreated(response=response):
                self._responses[response.id] = _OpenResponse(response)
            case e.ResponseDone(response=response) if response.id in self._responses:
                self._responses[response.id].done = True
                self._forget_if_over(response.id)
            case e.ResponseOutputItemAdded(response_id=response_id, output_index=index, item=item):
                if response_id in self._responses:
                    self._responses[response_id].output[index] = _Output(item, index)
            case e.OutputEvent() | e.ResponseOutputItemDone() if event.response_id in self._responses:
                if output := self._responses[event.response_id].output.get(event.output_index):
                    output.apply(event)
                    self._forget_if_over(event.response_id)
        self.conversation.apply(event)
        if isinstance(event, e.ConversationItemAdded):
            self.conversation.drop_images(self.image_bytes)

    def _outputs(self, item_id: object) -> list[_Output]:
        return [out for one in self._responses.values() for out in one.output.values() if out.id == item_id]

    def _forget_if_over(self, response_id: str) -> None:
        if self._responses[response_id].is_over:
            del self._responses[response_id]

    def _apply_input(self, event: e.Event) -> None:
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self.configure(session)
            case e.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=ms):
                self._turn = _Turn(item_id, ms)
            case e.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=ms):
                self._turn = _Turn(item_id, self._turn.start_ms if self._turn else 0, ms)
            case e.InputAudioBufferTimeoutTriggered(item_id=item_id, audio_start_ms=start, audio_end_ms=ms):
                self._turn = _Turn(item_id, start, ms)
            case e.InputAudioBufferCommitted(item_id=item_id):
                self._commit(item_id)
            case e.InputAudioBufferCleared():
                self.outbox.pop_until(e.InputAudioBufferClear)
                self._turn = None
            case e.ConversationItemAdded(item=Message(role="user") as item):
                self._add_turn(item.id or "")
            case e.TranscriptionFailed(item_id=item_id):
                self._untranscribed.pop(item_id, None)
            case e.TranscriptionCompleted(item_id=item_id) | e.ConversationItemDeleted(item_id=item_id):
                self._untranscribed.pop(item_id, None)
                self.audio.pop(item_id, None)
            case e.ResponseCreated(response=response) if response.conversation_id:
                self.response_due = False
            case _:
                return
        self._set_quiet()

    def _set_quiet(self) -> None:
        self.outbox.is_quiet = bool(self._input.turn_detection) and self._turn is None

    def _commit(self, item_id: str) -> None:
        turn, self._turn, self._committed = self._turn, None, item_id
        if turn and turn.end_ms is not None and turn.item_id == item_id:
            audio = self.outbox.pop_turn(turn.start_ms, turn.end_ms)
            detection = self._input.turn_detection or None
            self.response_due = detection is not None and detection.create_response is not False
        else:
            audio = self.outbox.pop_until(e.InputAudioBufferCommit)
        self.keep_audio(item_id, audio)

    def keep_audio(self, item_id: str, audio: bytes) -> None:
        """Keep the audio of an item that has no transcript."""
        most = round(self.audio_seconds * 1000) * self.bytes_per_ms
        self.audio[item_id] = audio[-most:]
        while sum(map(len, self.audio.values())) > most:
            del self.audio[next(iter(self.audio))]

    def _add_turn(self, item_id: str) -> None:
        if item_id == self._committed:
            self._committed = None
            if self._input.transcription:
                self._untranscribed[item_id] = None

    # when the server is lost

    def close(self, reason: str) -> Iterator[e.ServerEvent]:
        """Close all that is open; yield the events that inform the client. `reason` is readable text.

        Responses fail, with the output received so far. A turn in progress becomes an item without a
        transcript; its audio stays in the outbox, so that the next server receives the turn from its beginning.
        """
        if self._turn and self._turn.end_ms is not None:
            committed = self._committed_event(self._turn.item_id)
            self.apply(committed)
            yield committed
        for event in chain(self._close_responses(reason), self._close_items(), self._close_input(reason)):
            self._apply(event)
            yield event

    def _close_responses(self, reason: str) -> Iterator[e.ServerEvent]:
        for one in list(self._responses.values()):
            if not one.done:
                for output in one.output.values():
                    if not output.done:
                        yield from self._close_output(one.response, output)
                items = tuple(output.item for output in one.output.values())
                lost = connection_lost(one.response, reason)
                yield e.ResponseDone(response=replace(lost, output=items, usage=_NO_USAGE))
            for output in one.output.values():
                if isinstance(output.item, McpCall) and not output.done:
                    yield e.ResponseMcpCallFailed(item_id=output.id, output_index=output.index)
                    output.item = replace(output.item, error=McpToolExecutionError(message=reason))
                    yield from self._finish_output(one.response, output)

    def _close_output(self, response: Response, output: _Output) -> Iterator[e.ServerEvent]:
        if response.conversation_id and output.id not in self.conversation:
            yield e.ConversationItemAdded(item=output.item, previous_item_id=self.conversation.last_id)
        place: e.OutputPlace = {"response_id": response.id, "item_id": output.id, "output_index": output.index}
        match output.item:
            case _ if output.settled:
                pass
            case Message() as message:
                for index, part in output.parts.items():
                    closers = e.part_closers({**place, "content_index": index}, part.text, spoken=part.spoken)
                    yield from (event for event in closers if type(event) not in part.closed)
                content = tuple(self._content(output.id, part) for part in output.parts.values())
                output.item = replace(message, status="incomplete", content=content)
            case FunctionCall(call_id=call_id, name=name) as call:
                # "Also emitted when a Response is interrupted, incomplete, or cancelled."
                if not output.arguments_done:
                    yield e.ResponseFunctionCallArgumentsDone(
                        **place, call_id=call_id or "", name=name, arguments=output.arguments
                    )
                output.item = replace(call, status="incomplete", arguments=output.arguments)
            case McpCall() as call:
                if not output.arguments_done:
                    yield e.ResponseMcpCallArgumentsDone(**place, arguments=output.arguments)
                output.item = replace(call, arguments=output.arguments)
                return  # it fails after the response
        yield from self._finish_output(response, output)

    def _content(self, item_id: str, part: _Part) -> ContentPart:
        if not part.spoken:
            return OutputText(text=part.text)
        is_known = item_id in self.conversation
        return OutputAudio(transcript=self.conversation.heard_text(item_id) if is_known else part.text)

    def _finish_output(self, response: Response, output: _Output) -> Iterator[e.ServerEvent]:
        """Send the final form of an item: in the conversation, if it was added there, and in the response."""
        if output.id in self.conversation and not output.settled:
            yield e.ConversationItemDone(item=output.item, previous_item_id=self.conversation.before(output.id))
        yield e.ResponseOutputItemDone(response_id=response.id, output_index=output.index, item=output.item)

    def _close_items(self) -> Iterator[e.ServerEvent]:
        for item_id, item in tuple(self._items.items()):
            if isinstance(item, McpListTools):
                if item_id not in self._listing:
                    yield e.McpListToolsInProgress(item_id=item_id)
                yield e.McpListToolsFailed(item_id=item_id)
            if item_id in self.conversation:
                before = self.conversation.before(item_id)
                yield e.ConversationItemDone(item=incomplete(item), previous_item_id=before)
        self._items.clear()

    def _close_input(self, reason: str) -> Iterator[e.ServerEvent]:
        if turn := self._turn:
            self._turn, self._committed = None, turn.item_id
            end = round(max(self.outbox.received_ms, turn.start_ms))
            yield e.InputAudioBufferSpeechStopped(audio_end_ms=end, item_id=turn.item_id)
            yield self._committed_event(turn.item_id)
        if self._committed:
            item, before = user_message(self._committed, None), self.conversation.last_id
            self._add_turn(self._committed)
            yield e.ConversationItemAdded(item=item, previous_item_id=before)
            yield e.ConversationItemDone(item=item, previous_item_id=before)
        for item_id in self._untranscribed:
            error = e.TranscriptionError(type="server_error", code="connection_lost", message=reason)
            yield e.TranscriptionFailed(item_id=item_id, content_index=0, error=error)
        self._untranscribed.clear()

    def _committed_event(self, item_id: str) -> e.InputAudioBufferCommitted:
        return e.InputAudioBufferCommitted(item_id=item_id, previous_item_id=self.conversation.last_id)
