"""The events of the Realtime protocol (GA), spelled as its documents spell them.

Audio is `bytes` here; the codec writes it as base64. A server event gets its `event_id` when it is made.
"""

from typing import Annotated, Literal, TypedDict, TypeVar
from uuid import uuid4

from msgspec import UNSET, Meta, Struct, UnsetType, field

from vivavoce.protocol.items import AudioPart, Item, Part, TextPart
from vivavoce.protocol.responses import Response, ResponseParams, TokenDetails, Usage
from vivavoce.protocol.session import AnySession

_E = TypeVar("_E", bound="Event")


def new_id(kind: str) -> str:
    """Return a new id such as `item_9f…`: a prefix of the protocol, and 96 random bits."""
    return f"{kind}_{uuid4().hex[:24]}"


def _new_event_id() -> str:
    return new_id("event")


class Event(Struct, tag_field="type", frozen=True, kw_only=True):
    """One message of the protocol."""


class ClientEvent(Event, frozen=True, kw_only=True):
    """Sent by a client, which may set an `event_id` that errors refer to."""

    event_id: Annotated[str, Meta(max_length=512)] | UnsetType = UNSET


class ServerEvent(Event, frozen=True, kw_only=True):
    """Sent by a server."""

    event_id: str = field(default_factory=_new_event_id)


def kinds(family: type[_E]) -> tuple[type[_E], ...]:
    """Return the events of a family, such as `ClientEvent`; bases that only share fields are none."""
    found = [kind for one in family.__subclasses__() for kind in (one, *kinds(one))]
    return tuple(kind for kind in found if kind.__struct_config__.tag != kind.__name__)


# what some events carry


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """`event_id` is that of the client's event; `param` the path of the field that was wrong."""

    type: str
    message: str
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class TranscriptionError(Struct, frozen=True, kw_only=True):
    type: str
    message: str
    code: str | UnsetType = UNSET
    param: str | UnsetType = UNSET


class DurationUsage(Struct, tag_field="type", tag="duration", frozen=True, kw_only=True):
    seconds: float


class TokensUsage(Struct, tag_field="type", tag="tokens", frozen=True, kw_only=True):
    """The details are never absent: otherwise the JavaScript Agents SDK drops the whole event."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: TokenDetails = TokenDetails()


TranscriptionUsage = DurationUsage | TokensUsage


class LogProb(Struct, frozen=True, kw_only=True):
    """The log probability of a transcript's token; `bytes` are its UTF-8."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


class TranscriptionLanguage(Struct, frozen=True, kw_only=True):
    code: str


class RateLimit(Struct, frozen=True, kw_only=True):
    name: Literal["requests", "tokens"] | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    remaining: int | UnsetType = UNSET
    reset_seconds: float | UnsetType = UNSET


# client to server


class SessionUpdate(ClientEvent, tag="session.update", frozen=True, kw_only=True):
    """Change the session: absent is unchanged, null is off, empty is cleared."""

    session: AnySession


class InputAudioBufferAppend(ClientEvent, tag="input_audio_buffer.append", frozen=True, kw_only=True):
    """A frame of audio, in the session's input format."""

    audio: bytes


class InputAudioBufferCommit(ClientEvent, tag="input_audio_buffer.commit", frozen=True, kw_only=True):
    """End the turn (manual turns)."""


class InputAudioBufferClear(ClientEvent, tag="input_audio_buffer.clear", frozen=True, kw_only=True):
    """Drop the audio that is not committed."""


class OutputAudioBufferClear(ClientEvent, tag="output_audio_buffer.clear", frozen=True, kw_only=True):
    """Drop the audio not yet played (transports that play it themselves)."""


class ConversationItemCreate(ClientEvent, tag="conversation.item.create", frozen=True, kw_only=True):
    """Put an item into the conversation: at the end, at `"root"`, or after another item."""

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class ConversationItemRetrieve(ClientEvent, tag="conversation.item.retrieve", frozen=True, kw_only=True):
    """Request an item as the server has it, with its audio."""

    item_id: str


class ConversationItemTruncate(ClientEvent, tag="conversation.item.truncate", frozen=True, kw_only=True):
    """Cut a spoken message to what was played of it: `audio_end_ms` milliseconds."""

    item_id: str
    content_index: Annotated[int, Meta(ge=0)]
    audio_end_ms: Annotated[int, Meta(ge=0)]


class ConversationItemDelete(ClientEvent, tag="conversation.item.delete", frozen=True, kw_only=True):
    """Delete an item of the conversation."""

    item_id: str


class ResponseCreate(ClientEvent, tag="response.create", frozen=True, kw_only=True):
    """Begin a response."""

    response: ResponseParams | UnsetType | None = UNSET

    @property
    def is_out_of_band(self) -> bool:
        """Whether the response is to be out of band, outside the conversation."""
        return isinstance(self.response, ResponseParams) and self.response.conversation == "none"


class ResponseCancel(ClientEvent, tag="response.cancel", frozen=True, kw_only=True):
    """Cancel a response."""

    response_id: str | UnsetType = UNSET


# fields that several server events share


class _ItemEvent(ServerEvent, frozen=True, kw_only=True):
    item_id: str


class _PlaybackEvent(ServerEvent, frozen=True, kw_only=True):
    response_id: str


class _SessionEvent(ServerEvent, frozen=True, kw_only=True):
    session: AnySession


class _ConversationItemEvent(ServerEvent, frozen=True, kw_only=True):
    item: Item
    previous_item_id: str | None = None


class _ResponseEvent(ServerEvent, frozen=True, kw_only=True):
    response: Response


class _OutputItemEvent(ServerEvent, frozen=True, kw_only=True):
    response_id: str
    output_index: int
    item: Item


class OutputEvent(ServerEvent, frozen=True, kw_only=True):
    """About an item of a response."""

    response_id: str
    item_id: str
    output_index: int


class PartEvent(OutputEvent, frozen=True, kw_only=True):
    """About a part of a message."""

    content_index: int


class _McpCallEvent(ServerEvent, frozen=True, kw_only=True):
    item_id: str
    output_index: int


# server to client


class ErrorEvent(ServerEvent, tag="error", frozen=True, kw_only=True):
    """An error of the client or the server; most errors leave the session as it is."""

    error: ErrorDetails


class SessionCreated(_SessionEvent, tag="session.created", frozen=True, kw_only=True):
    """The first event of every conversation."""


class SessionUpdated(_SessionEvent, tag="session.updated", frozen=True, kw_only=True):
    """The full session, as it now is."""


class InputAudioBufferSpeechStarted(
    _ItemEvent, tag="input_audio_buffer.speech_started", frozen=True, kw_only=True
):
    """The caller speaks. `audio_start_ms` counts all audio of the session and includes the prefix padding."""

    audio_start_ms: int


class InputAudioBufferSpeechStopped(
    _ItemEvent, tag="input_audio_buffer.speech_stopped", frozen=True, kw_only=True
):
    """The caller's turn is over."""

    audio_end_ms: int


class InputAudioBufferCommitted(_ItemEvent, tag="input_audio_buffer.committed", frozen=True, kw_only=True):
    """The audio of a turn is now an item."""

    previous_item_id: str | None = None


class InputAudioBufferCleared(ServerEvent, tag="input_audio_buffer.cleared", frozen=True, kw_only=True):
    """The audio that was not committed is dropped."""


class InputAudioBufferTimeoutTriggered(
    _ItemEvent, tag="input_audio_buffer.timeout_triggered", frozen=True, kw_only=True
):
    """There was no speech for `idle_timeout_ms`."""

    audio_start_ms: int
    audio_end_ms: int


class ConversationItemAdded(_ConversationItemEvent, tag="conversation.item.added", frozen=True, kw_only=True):
    """An item is in the conversation. `previous_item_id` null means that it is the first."""


class ConversationItemDone(_ConversationItemEvent, tag="conversation.item.done", frozen=True, kw_only=True):
    """An item has reached its final form."""


class ConversationItemRetrieved(ServerEvent, tag="conversation.item.retrieved", frozen=True, kw_only=True):
    """The requested item, with its audio."""

    item: Item


class ConversationItemTruncated(_ItemEvent, tag="conversation.item.truncated", frozen=True, kw_only=True):
    """The item was cut after `audio_end_ms` milliseconds of its audio."""

    content_index: int
    audio_end_ms: int


class ConversationItemDeleted(_ItemEvent, tag="conversation.item.deleted", frozen=True, kw_only=True):
    """The item is gone."""


class TranscriptionDelta(
    _ItemEvent, tag="conversation.item.input_audio_transcription.delta", frozen=True, kw_only=True
):
    """A further part of the user's transcript."""

    content_index: int = 0
    delta: str = ""
    logprobs: tuple[LogProb, ...] | UnsetType | None = UNSET


class TranscriptionCompleted(
    _ItemEvent, tag="conversation.item.input_audio_transcription.completed", frozen=True, kw_only=True
):
    """The transcript of what the user said."""

    content_index: int
    transcript: str
    usage: TranscriptionUsage
    languages: tuple[TranscriptionLanguage, ...] | UnsetType | None = UNSET
    logprobs: tuple[LogProb, ...] | UnsetType | None = UNSET


class TranscriptionFailed(
    _ItemEvent, tag="conversation.item.input_audio_transcription.failed", frozen=True, kw_only=True
):
    """The user's audio could not be transcribed; the conversation goes on."""

    content_index: int
    error: TranscriptionError


class TranscriptionSegment(
    _ItemEvent, tag="conversation.item.input_audio_transcription.segment", frozen=True, kw_only=True
):
    """A segment of speech by one speaker."""

    content_index: int
    id: str
    speaker: str
    text: str
    start: float
    end: float


class ResponseCreated(_ResponseEvent, tag="response.created", frozen=True, kw_only=True):
    """A response begins."""


class ResponseDone(_ResponseEvent, tag="response.done", frozen=True, kw_only=True):
    """A response has ended, one way or another."""


class ResponseOutputItemAdded(_OutputItemEvent, tag="response.output_item.added", frozen=True, kw_only=True):
    """The response has a new item."""


class ResponseOutputItemDone(_OutputItemEvent, tag="response.output_item.done", frozen=True, kw_only=True):
    """An item of the response has reached its final form."""


class ResponseContentPartAdded(PartEvent, tag="response.content_part.added", frozen=True, kw_only=True):
    """An item of the response has a new part."""

    part: Part


class ResponseContentPartDone(PartEvent, tag="response.content_part.done", frozen=True, kw_only=True):
    """A part of the response is complete."""

    part: Part


class ResponseOutputTextDelta(PartEvent, tag="response.output_text.delta", frozen=True, kw_only=True):
    """A further part of a text."""

    delta: str


class ResponseOutputTextDone(PartEvent, tag="response.output_text.done", frozen=True, kw_only=True):
    """The whole text of a part."""

    text: str


class ResponseOutputAudioTranscriptDelta(
    PartEvent, tag="response.output_audio_transcript.delta", frozen=True, kw_only=True
):
    """The transcript of the audio that follows."""

    delta: str


class ResponseOutputAudioTranscriptDone(
    PartEvent, tag="response.output_audio_transcript.done", frozen=True, kw_only=True
):
    """The whole transcript of a part."""

    transcript: str


class ResponseOutputAudioDelta(PartEvent, tag="response.output_audio.delta", frozen=True, kw_only=True):
    """A further part of the audio, in the session's output format."""

    delta: bytes


class ResponseOutputAudioDone(PartEvent, tag="response.output_audio.done", frozen=True, kw_only=True):
    """All audio of a part has been sent."""


class ResponseFunctionCallArgumentsDelta(
    OutputEvent, tag="response.function_call_arguments.delta", frozen=True, kw_only=True
):
    """A further part of a tool call's arguments."""

    call_id: str
    delta: str


class ResponseFunctionCallArgumentsDone(
    OutputEvent, tag="response.function_call_arguments.done", frozen=True, kw_only=True
):
    """A tool is to be called."""

    call_id: str
    name: str
    arguments: str


class ResponseMcpCallArgumentsDelta(
    OutputEvent, tag="response.mcp_call_arguments.delta", frozen=True, kw_only=True
):
    """A further part of an MCP call's arguments."""

    delta: str
    obfuscation: str | UnsetType = UNSET


class ResponseMcpCallArgumentsDone(
    OutputEvent, tag="response.mcp_call_arguments.done", frozen=True, kw_only=True
):
    """All arguments of an MCP call."""

    arguments: str


class ResponseMcpCallInProgress(_McpCallEvent, tag="response.mcp_call.in_progress", frozen=True, kw_only=True):
    """An MCP tool is at work."""


class ResponseMcpCallCompleted(_McpCallEvent, tag="response.mcp_call.completed", frozen=True, kw_only=True):
    """An MCP tool has answered."""


class ResponseMcpCallFailed(_McpCallEvent, tag="response.mcp_call.failed", frozen=True, kw_only=True):
    """An MCP tool has failed."""


class McpListToolsInProgress(_ItemEvent, tag="mcp_list_tools.in_progress", frozen=True, kw_only=True):
    """An MCP server is asked for its tools."""


class McpListToolsCompleted(_ItemEvent, tag="mcp_list_tools.completed", frozen=True, kw_only=True):
    """An MCP server has listed its tools."""


class McpListToolsFailed(_ItemEvent, tag="mcp_list_tools.failed", frozen=True, kw_only=True):
    """An MCP server could not list its tools."""


class OutputAudioBufferStarted(_PlaybackEvent, tag="output_audio_buffer.started", frozen=True, kw_only=True):
    """The first audio of a response is played (transports that play it themselves)."""


class OutputAudioBufferStopped(_PlaybackEvent, tag="output_audio_buffer.stopped", frozen=True, kw_only=True):
    """The last audio of a response was played."""


class OutputAudioBufferCleared(_PlaybackEvent, tag="output_audio_buffer.cleared", frozen=True, kw_only=True):
    """The audio not yet played was dropped."""


class RateLimitsUpdated(ServerEvent, tag="rate_limits.updated", frozen=True, kw_only=True):
    """What is left of the limits."""

    rate_limits: tuple[RateLimit, ...]


class DtmfEventReceived(Event, tag="input_audio_buffer.dtmf_event_received", frozen=True, kw_only=True):
    """A telephone key was pressed, at a Unix time. The one server event without an `event_id`."""

    event: str
    received_at: int


# extensions, which only vivavoce sends


class OwnEvent(Event, frozen=True, kw_only=True):
    """Sent by a vivavoce server to clients that ask for such events; others do not know them."""

    event_id: str = field(default_factory=_new_event_id)


class CardShown(OwnEvent, tag="vivavoce.card", frozen=True, kw_only=True):
    """A tool shows a card. `html` is sanitized, and can be inserted into a page."""

    call_id: str
    title: str
    html: str


class AssistantChanged(OwnEvent, tag="vivavoce.assistant", frozen=True, kw_only=True):
    """Another assistant has taken over."""

    name: str


class InterruptionJudged(OwnEvent, tag="vivavoce.interruption", frozen=True, kw_only=True):
    """Sound during a response may be an interruption, and its audio pauses; or it was none, and it continues.

    If it was one, `input_audio_buffer.speech_started` follows instead.
    """

    judgement: Literal["suspected", "dismissed"]


class EngineChanged(OwnEvent, tag="vivavoce.engine", frozen=True, kw_only=True):
    """The engine that answers from now on, and why; `lost` means none, until it is reconnected."""

    engine: Literal["remote", "cascade", "lost"]
    reason: str


class ConversationContinued(OwnEvent, tag="vivavoce.continued", frozen=True, kw_only=True):
    """The conversation continues an earlier one, whose last `items` items are added next."""

    conversation_id: str
    items: int


class ConversationSummarized(OwnEvent, tag="vivavoce.summary", frozen=True, kw_only=True):
    """The chat model has summarized what was said up to an item, as its context will have no room for it."""

    item_id: str
    text: str
    usage: Usage | None = None


class OutputPlace(TypedDict):
    """The item and response that an event is about."""

    response_id: str
    item_id: str
    output_index: int


class PartPlace(OutputPlace):
    """The part of a message that an event is about."""

    content_index: int


def part_closers(place: PartPlace, text: str, *, spoken: bool) -> tuple[ServerEvent, ...]:
    """Return the events that close a part of a message; `text` is its text, or its transcript if `spoken`."""
    if not spoken:
        return (
            ResponseOutputTextDone(**place, text=text),
            ResponseContentPartDone(**place, part=TextPart(text=text)),
        )
    return (
        ResponseOutputAudioDone(**place),
        ResponseOutputAudioTranscriptDone(**place, transcript=text),
        ResponseContentPartDone(**place, part=AudioPart(transcript=text)),
    )
