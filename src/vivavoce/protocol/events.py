"""Events: the sentences of the Realtime protocol (GA), spelled as its documents spell them.

Sound is `bytes` here; only the wire writes it as base64. A server event gets its `event_id` when it is made.
"""

from typing import Annotated, Literal
from uuid import uuid4

from msgspec import UNSET, Meta, Struct, UnsetType, field

from vivavoce.protocol.items import Item, Part
from vivavoce.protocol.responses import Response, ResponseParams
from vivavoce.protocol.session import Session, TranscriptionSession

__all__ = [
    "AssistantChanged",
    "CardShown",
    "ClientEvent",
    "ConversationItemAdded",
    "ConversationItemCreate",
    "ConversationItemDelete",
    "ConversationItemDeleted",
    "ConversationItemDone",
    "ConversationItemRetrieve",
    "ConversationItemRetrieved",
    "ConversationItemTruncate",
    "ConversationItemTruncated",
    "DtmfEventReceived",
    "DurationUsage",
    "EngineChanged",
    "ErrorDetails",
    "ErrorEvent",
    "Event",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCleared",
    "InputAudioBufferCommit",
    "InputAudioBufferCommitted",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "LogProb",
    "McpListToolsCompleted",
    "McpListToolsFailed",
    "McpListToolsInProgress",
    "OutputAudioBufferClear",
    "OutputAudioBufferCleared",
    "OutputAudioBufferStarted",
    "OutputAudioBufferStopped",
    "OwnEvent",
    "RateLimit",
    "RateLimitsUpdated",
    "ResponseCancel",
    "ResponseContentPartAdded",
    "ResponseContentPartDone",
    "ResponseCreate",
    "ResponseCreated",
    "ResponseDone",
    "ResponseFunctionCallArgumentsDelta",
    "ResponseFunctionCallArgumentsDone",
    "ResponseMcpCallArgumentsDelta",
    "ResponseMcpCallArgumentsDone",
    "ResponseMcpCallCompleted",
    "ResponseMcpCallFailed",
    "ResponseMcpCallInProgress",
    "ResponseOutputAudioDelta",
    "ResponseOutputAudioDone",
    "ResponseOutputAudioTranscriptDelta",
    "ResponseOutputAudioTranscriptDone",
    "ResponseOutputItemAdded",
    "ResponseOutputItemDone",
    "ResponseOutputTextDelta",
    "ResponseOutputTextDone",
    "ServerEvent",
    "SessionCreated",
    "SessionUpdate",
    "SessionUpdated",
    "TokenDetails",
    "TokensUsage",
    "TranscriptionCompleted",
    "TranscriptionDelta",
    "TranscriptionError",
    "TranscriptionFailed",
    "TranscriptionLanguage",
    "TranscriptionSegment",
    "TranscriptionUsage",
    "new_id",
]


def new_id(kind: str) -> str:
    """Make an id such as `item_9f…`: the protocol's prefixes, and 96 bits that nobody can guess."""
    return f"{kind}_{uuid4().hex[:24]}"


def _new_event_id() -> str:
    return new_id("event")


class Event(Struct, tag_field="type", frozen=True, kw_only=True):
    """One sentence of the protocol."""


class ClientEvent(Event, frozen=True, kw_only=True):
    """Said by a client, who may give it an `event_id` for our errors to name."""

    event_id: Annotated[str, Meta(max_length=512)] | UnsetType = UNSET


class ServerEvent(Event, frozen=True, kw_only=True):
    """Said by an engine."""

    event_id: str = field(default_factory=_new_event_id)


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


class TokenDetails(Struct, frozen=True, kw_only=True):
    text_tokens: int = 0
    audio_tokens: int = 0


class TokensUsage(Struct, tag_field="type", tag="tokens", frozen=True, kw_only=True):
    """The details are always there: the JavaScript Agents SDK does without the whole event otherwise."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: TokenDetails = TokenDetails()


TranscriptionUsage = DurationUsage | TokensUsage


class LogProb(Struct, frozen=True, kw_only=True):
    """How sure the transcriber was of a token; `bytes` are its UTF-8."""

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
    """Change how the conversation is held: absent is unchanged, null is off, empty is cleared."""

    session: Session | TranscriptionSession


class InputAudioBufferAppend(ClientEvent, tag="input_audio_buffer.append", frozen=True, kw_only=True):
    """A frame of sound, in the session's input format."""

    audio: bytes


class InputAudioBufferCommit(ClientEvent, tag="input_audio_buffer.commit", frozen=True, kw_only=True):
    """The caller has finished (manual turns)."""


class InputAudioBufferClear(ClientEvent, tag="input_audio_buffer.clear", frozen=True, kw_only=True):
    """Forget the sound not yet committed."""


class OutputAudioBufferClear(ClientEvent, tag="output_audio_buffer.clear", frozen=True, kw_only=True):
    """Drop the sound not yet played (transports that play it themselves)."""


class ConversationItemCreate(ClientEvent, tag="conversation.item.create", frozen=True, kw_only=True):
    """Put an item into the conversation: at the end, at `"root"`, or after another item."""

    item: Item
    previous_item_id: str | UnsetType | None = UNSET


class ConversationItemRetrieve(ClientEvent, tag="conversation.item.retrieve", frozen=True, kw_only=True):
    """Ask for an item as the server holds it, with its sound."""

    item_id: str


class ConversationItemTruncate(ClientEvent, tag="conversation.item.truncate", frozen=True, kw_only=True):
    """Only so much of an answer was heard: `audio_end_ms` milliseconds of it."""

    item_id: str
    content_index: Annotated[int, Meta(ge=0)]
    audio_end_ms: Annotated[int, Meta(ge=0)]


class ConversationItemDelete(ClientEvent, tag="conversation.item.delete", frozen=True, kw_only=True):
    """Take an item out of the conversation."""

    item_id: str


class ResponseCreate(ClientEvent, tag="response.create", frozen=True, kw_only=True):
    """Answer now."""

    response: ResponseParams | UnsetType | None = UNSET

    @property
    def is_aside(self) -> bool:
        """Whether the answer is to be out of band, beside the conversation."""
        return isinstance(self.response, ResponseParams) and self.response.conversation == "none"


class ResponseCancel(ClientEvent, tag="response.cancel", frozen=True, kw_only=True):
    """Stop answering."""

    response_id: str | UnsetType = UNSET


# server to client


class ErrorEvent(ServerEvent, tag="error", frozen=True, kw_only=True):
    """Something of the client's or ours went wrong; most errors leave the session as it is."""

    error: ErrorDetails


class SessionCreated(ServerEvent, tag="session.created", frozen=True, kw_only=True):
    """The first event of every conversation."""

    session: Session | TranscriptionSession


class SessionUpdated(ServerEvent, tag="session.updated", frozen=True, kw_only=True):
    """The full session, as it now is."""

    session: Session | TranscriptionSession


class InputAudioBufferSpeechStarted(
    ServerEvent, tag="input_audio_buffer.speech_started", frozen=True, kw_only=True
):
    """The caller speaks. `audio_start_ms` counts all sound of the session and includes the prefix padding."""

    audio_start_ms: int
    item_id: str


class InputAudioBufferSpeechStopped(
    ServerEvent, tag="input_audio_buffer.speech_stopped", frozen=True, kw_only=True
):
    """The caller's turn is over."""

    audio_end_ms: int
    item_id: str


class InputAudioBufferCommitted(ServerEvent, tag="input_audio_buffer.committed", frozen=True, kw_only=True):
    """What was said is now an item."""

    item_id: str
    previous_item_id: str | None = None


class InputAudioBufferCleared(ServerEvent, tag="input_audio_buffer.cleared", frozen=True, kw_only=True):
    """The sound not committed is forgotten."""


class InputAudioBufferTimeoutTriggered(
    ServerEvent, tag="input_audio_buffer.timeout_triggered", frozen=True, kw_only=True
):
    """Nobody spoke for `idle_timeout_ms`."""

    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class ConversationItemAdded(ServerEvent, tag="conversation.item.added", frozen=True, kw_only=True):
    """An item is in the conversation. `previous_item_id` null means that it is the first."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemDone(ServerEvent, tag="conversation.item.done", frozen=True, kw_only=True):
    """An item has reached its final form."""

    item: Item
    previous_item_id: str | None = None


class ConversationItemRetrieved(ServerEvent, tag="conversation.item.retrieved", frozen=True, kw_only=True):
    """The item asked for, with its sound."""

    item: Item


class ConversationItemTruncated(ServerEvent, tag="conversation.item.truncated", frozen=True, kw_only=True):
    """The item now holds what was heard."""

    item_id: str
    content_index: int
    audio_end_ms: int


class ConversationItemDeleted(ServerEvent, tag="conversation.item.deleted", frozen=True, kw_only=True):
    """The item is gone."""

    item_id: str


class TranscriptionDelta(
    ServerEvent, tag="conversation.item.input_audio_transcription.delta", frozen=True, kw_only=True
):
    """Some more of what the caller said."""

    item_id: str
    content_index: int = 0
    delta: str = ""
    logprobs: tuple[LogProb, ...] | UnsetType | None = UNSET


class TranscriptionCompleted(
    ServerEvent, tag="conversation.item.input_audio_transcription.completed", frozen=True, kw_only=True
):
    """What the caller said."""

    item_id: str
    content_index: int
    transcript: str
    usage: TranscriptionUsage
    languages: tuple[TranscriptionLanguage, ...] | UnsetType | None = UNSET
    logprobs: tuple[LogProb, ...] | UnsetType | None = UNSET


class TranscriptionFailed(
    ServerEvent, tag="conversation.item.input_audio_transcription.failed", frozen=True, kw_only=True
):
    """What the caller said could not be written down; the conversation goes on."""

    item_id: str
    content_index: int
    error: TranscriptionError


class TranscriptionSegment(
    ServerEvent, tag="conversation.item.input_audio_transcription.segment", frozen=True, kw_only=True
):
    """A stretch of speech by one speaker."""

    item_id: str
    content_index: int
    id: str
    speaker: str
    text: str
    start: float
    end: float


class ResponseCreated(ServerEvent, tag="response.created", frozen=True, kw_only=True):
    """An answer begins."""

    response: Response


class ResponseDone(ServerEvent, tag="response.done", frozen=True, kw_only=True):
    """An answer has ended, one way or another."""

    response: Response


class ResponseOutputItemAdded(ServerEvent, tag="response.output_item.added", frozen=True, kw_only=True):
    """The answer has a new item."""

    response_id: str
    output_index: int
    item: Item


class ResponseOutputItemDone(ServerEvent, tag="response.output_item.done", frozen=True, kw_only=True):
    """An item of the answer has reached its final form."""

    response_id: str
    output_index: int
    item: Item


class ResponseContentPartAdded(ServerEvent, tag="response.content_part.added", frozen=True, kw_only=True):
    """An item of the answer has a new part."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    part: Part


class ResponseContentPartDone(ServerEvent, tag="response.content_part.done", frozen=True, kw_only=True):
    """A part of the answer is complete."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    part: Part


class ResponseOutputTextDelta(ServerEvent, tag="response.output_text.delta", frozen=True, kw_only=True):
    """Some more written words."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class ResponseOutputTextDone(ServerEvent, tag="response.output_text.done", frozen=True, kw_only=True):
    """All written words of a part."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    text: str


class ResponseOutputAudioTranscriptDelta(
    ServerEvent, tag="response.output_audio_transcript.delta", frozen=True, kw_only=True
):
    """The words of the sound that follows."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class ResponseOutputAudioTranscriptDone(
    ServerEvent, tag="response.output_audio_transcript.done", frozen=True, kw_only=True
):
    """All spoken words of a part."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    transcript: str


class ResponseOutputAudioDelta(ServerEvent, tag="response.output_audio.delta", frozen=True, kw_only=True):
    """Some more sound, in the session's output format."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: bytes


class ResponseOutputAudioDone(ServerEvent, tag="response.output_audio.done", frozen=True, kw_only=True):
    """All sound of a part has been sent."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


class ResponseFunctionCallArgumentsDelta(
    ServerEvent, tag="response.function_call_arguments.delta", frozen=True, kw_only=True
):
    """Some more of a tool call's arguments."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


class ResponseFunctionCallArgumentsDone(
    ServerEvent, tag="response.function_call_arguments.done", frozen=True, kw_only=True
):
    """A tool is to be called."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


class ResponseMcpCallArgumentsDelta(
    ServerEvent, tag="response.mcp_call_arguments.delta", frozen=True, kw_only=True
):
    """Some more of an MCP call's arguments."""

    response_id: str
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class ResponseMcpCallArgumentsDone(
    ServerEvent, tag="response.mcp_call_arguments.done", frozen=True, kw_only=True
):
    """All arguments of an MCP call."""

    response_id: str
    item_id: str
    output_index: int
    arguments: str


class ResponseMcpCallInProgress(ServerEvent, tag="response.mcp_call.in_progress", frozen=True, kw_only=True):
    """An MCP tool is at work."""

    item_id: str
    output_index: int


class ResponseMcpCallCompleted(ServerEvent, tag="response.mcp_call.completed", frozen=True, kw_only=True):
    """An MCP tool has answered."""

    item_id: str
    output_index: int


class ResponseMcpCallFailed(ServerEvent, tag="response.mcp_call.failed", frozen=True, kw_only=True):
    """An MCP tool has failed."""

    item_id: str
    output_index: int


class McpListToolsInProgress(ServerEvent, tag="mcp_list_tools.in_progress", frozen=True, kw_only=True):
    """An MCP server is asked for its tools."""

    item_id: str


class McpListToolsCompleted(ServerEvent, tag="mcp_list_tools.completed", frozen=True, kw_only=True):
    """An MCP server has listed its tools."""

    item_id: str


class McpListToolsFailed(ServerEvent, tag="mcp_list_tools.failed", frozen=True, kw_only=True):
    """An MCP server could not list its tools."""

    item_id: str


class OutputAudioBufferStarted(ServerEvent, tag="output_audio_buffer.started", frozen=True, kw_only=True):
    """The answer's first sound is played (transports that play it themselves)."""

    response_id: str


class OutputAudioBufferStopped(ServerEvent, tag="output_audio_buffer.stopped", frozen=True, kw_only=True):
    """The answer's last sound was played."""

    response_id: str


class OutputAudioBufferCleared(ServerEvent, tag="output_audio_buffer.cleared", frozen=True, kw_only=True):
    """The sound not yet played was dropped."""

    response_id: str


class RateLimitsUpdated(ServerEvent, tag="rate_limits.updated", frozen=True, kw_only=True):
    """What is left of the limits."""

    rate_limits: tuple[RateLimit, ...]


class DtmfEventReceived(Event, tag="input_audio_buffer.dtmf_event_received", frozen=True, kw_only=True):
    """A telephone key was pressed, at a Unix time. The one server event without an `event_id`."""

    event: str
    received_at: int


# what only we say


class OwnEvent(Event, frozen=True, kw_only=True):
    """Said by a server of ours, to those who know: no other client would understand it."""

    event_id: str = field(default_factory=_new_event_id)


class CardShown(OwnEvent, tag="vivavoce.card", frozen=True, kw_only=True):
    """A tool has something to show while the voice speaks. `html` is safe to put into a page as it is."""

    call_id: str
    title: str
    html: str


class AssistantChanged(OwnEvent, tag="vivavoce.assistant", frozen=True, kw_only=True):
    """Another assistant has taken over."""

    name: str


class EngineChanged(OwnEvent, tag="vivavoce.engine", frozen=True, kw_only=True):
    """Who answers from now on, and why; `lost` is nobody, until the connection is made again."""

    engine: Literal["remote", "cascade", "lost"]
    reason: str
