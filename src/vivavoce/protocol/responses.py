"""Responses and their usage (Realtime GA, `response`)."""

from collections.abc import Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from vivavoce.protocol.items import Item, ItemReference, Purpose, purpose_of
from vivavoce.protocol.session import AnswerSettings, AudioFormat, VoiceId

VERBATIM = "vivavoce.verbatim"
"""The key in a response's `metadata` of a text to be spoken verbatim; the cascade uses no model for it."""
PURPOSE = "vivavoce.purpose"
"""The key in a response's `metadata` of the purpose of its words, if they are no answer: `filler`."""
METADATA_CHARS = 512
"""characters of one value of `metadata`"""

ResponseStatus = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]


class WantedOutput(Struct, frozen=True, kw_only=True):
    format: AudioFormat | UnsetType = UNSET
    voice: str | VoiceId | UnsetType = UNSET


class WantedAudio(Struct, frozen=True, kw_only=True):
    output: WantedOutput | UnsetType = UNSET


class ResponseParams(AnswerSettings, frozen=True, kw_only=True):
    """The parameters of a `response.create`, which override the session's."""

    conversation: Literal["auto", "none"] | UnsetType = UNSET
    input: tuple[Item | ItemReference, ...] | UnsetType = UNSET
    audio: WantedAudio | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


class Cancelled(Struct, tag_field="type", tag="cancelled", frozen=True, kw_only=True):
    reason: Literal["turn_detected", "client_cancelled"]


class Incomplete(Struct, tag_field="type", tag="incomplete", frozen=True, kw_only=True):
    reason: Literal["max_output_tokens", "content_filter"]


class FailedError(Struct, frozen=True, kw_only=True):
    type: str
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Failed(Struct, tag_field="type", tag="failed", frozen=True, kw_only=True):
    error: FailedError


StatusDetails = Cancelled | Incomplete | Failed


class CachedTokens(Struct, frozen=True, kw_only=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


class InputTokens(Struct, frozen=True, kw_only=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: CachedTokens = CachedTokens()


class TokenDetails(Struct, frozen=True, kw_only=True):
    text_tokens: int = 0
    audio_tokens: int = 0


class Usage(Struct, frozen=True, kw_only=True):
    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: InputTokens
    output_token_details: TokenDetails


class ResponseOutput(Struct, frozen=True, kw_only=True):
    """`voice` is only a name here: OpenAI's clients drop the whole event otherwise."""

    format: AudioFormat | UnsetType = UNSET
    voice: str | UnsetType = UNSET


class ResponseAudio(Struct, frozen=True, kw_only=True):
    output: ResponseOutput | UnsetType = UNSET


class Response(Struct, frozen=True, kw_only=True):
    """`conversation_id` is null for an out-of-band response."""

    id: str
    status: ResponseStatus
    output: tuple[Item, ...]
    conversation_id: str | None
    object: Literal["realtime.response"] = "realtime.response"
    status_details: StatusDetails | None = None
    output_modalities: tuple[Literal["text", "audio"], ...] | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | UnsetType = UNSET
    audio: ResponseAudio | UnsetType = UNSET
    usage: Usage | None = None
    metadata: dict[str, str] | None = None


def verbatim(text: str, purpose: Purpose | None = None) -> ResponseParams:
    """Return the parameters of a response that speaks exactly this text (at most `METADATA_CHARS`).

    A server that does not know `VERBATIM` is asked for it by instructions. No model is shown words with a
    `purpose` as an answer of its own.
    """
    text = text[:METADATA_CHARS]
    return ResponseParams(
        instructions=f"Say exactly these words, and nothing else: {text}",
        tool_choice="none",
        metadata={VERBATIM: text, PURPOSE: purpose} if purpose else {VERBATIM: text},
    )


def connection_lost(response: Response, message: str) -> Response:
    """Return a response as failed because its server was lost; `message` is readable text."""
    error = FailedError(type="server_error", code="connection_lost", message=message)
    return replace(response, status="failed", status_details=Failed(error=error))


def response_purpose(metadata: Mapping[str, str] | UnsetType | None) -> Purpose | None:
    """Return the purpose of a response's words by its metadata; None for answers."""
    return purpose_of((metadata or {}).get(PURPOSE))
