"""What the endpoints for recorded questions share: the form, the format of the answer, and texts in headers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

from msgspec import Meta, Struct
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from vivavoce.audio.encode import CONTENT_TYPES
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.limits import Limits
from vivavoce.session.call import Storing
from vivavoce.web.errors import HttpError, invalid_request
from vivavoce.web.recordings import Recordings
from vivavoce.web.requests import body_too_large, convert_fields, limited_body, require_media_type

FIELD = "audio"
FORM_BYTES = 16 * 1024
"""bytes of a form besides its recording"""
HEADER_BYTES = 3000
"""bytes of a text in a header, encoded; servers and proxies refuse more than 8 KB of headers in all"""
SHORTEST_SECONDS = 0.1
"""of a recording: the protocol refuses less"""

AnswerFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
DEFAULT_FORMAT: AnswerFormat = "mp3"
EXTENSIONS: Mapping[str, str] = {**{name: name for name in CONTENT_TYPES}, "opus": "ogg"}
"""of file names, by format"""
_FORMATS: Mapping[str, AnswerFormat] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/ogg": "opus",
    "audio/opus": "opus",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/pcm": "pcm",
    "audio/*": DEFAULT_FORMAT,
    "*/*": DEFAULT_FORMAT,
}
"""by media type, as clients spell them"""
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class AnswerQuery(Struct, frozen=True, kw_only=True):
    """How an answer is sent."""

    format: Annotated[AnswerFormat | None, Meta(description="its format; else `Accept` counts, else MP3")] = (
        None
    )
    store: Annotated[Storing, Meta(description="what may be stored of a conversation that begins")] = "all"


class AudioSocketQuery(AnswerQuery, frozen=True, kw_only=True):
    """How answers are sent, and the conversation that they are part of."""

    progress: Annotated[bool, Meta(description="whether words are told while they come, as JSON")] = False
    conversation: Annotated[str, Meta(description="an earlier conversation that goes on")] = ""


class VoiceChatQuery(AnswerQuery, frozen=True, kw_only=True):
    """How an answer is sent, and the conversation that it is part of."""

    text: Annotated[
        Literal["begun", "complete"],
        Meta(description="whether the response waits for the whole text, for `X-AI-Response`"),
    ] = "begun"
    conversation: Annotated[
        str, Meta(description="the conversation that goes on; `new` begins one in spite of a cookie")
    ] = ""


Q = TypeVar("Q")


async def read_form(request: Request, limits: Limits, kind: type[Q]) -> tuple[bytes, Q]:
    """Return the recording in the field `audio` of a form, and the others, which may also be in the query.

    Raises `ProtocolError`.
    """
    require_media_type(request, "multipart/form-data")
    max_bytes = limits.upload_bytes + FORM_BYTES
    async with (
        limited_body(request, limits, max_bytes, "upload_bytes") as body,
        body.form(max_files=1, max_fields=16) as form,
    ):
        recording = await _recording(form, limits)
        fields: dict[str, Sequence[str]] = {
            name: [value] for name, value in form.items() if isinstance(value, str)
        }
    fields |= {name: [value] for name, value in request.query_params.items()}
    return recording, convert_fields(fields, kind)


async def _recording(form: FormData, limits: Limits) -> bytes:
    file = form.get(FIELD)
    if not isinstance(file, UploadFile):
        message = "The form has no recording in its field 'audio'; with curl: -F audio=@question.webm."
        raise invalid_request(FIELD, message, code="missing_recording")
    check_size(file.size or 0, limits)
    return await file.read()


def check_size(size: int, limits: Limits) -> None:
    """Raise `HttpError` for a recording that has too many bytes."""
    if size > limits.upload_bytes:
        raise body_too_large(limits.upload_bytes, "upload_bytes")


def turn_recordings(limits: Limits) -> Recordings:
    """Return a decoder for recordings that are turns of a conversation."""
    return Recordings(limits, rate=OUTPUT_RATE, is_turn=True, not_audio=415, no_sound=422)


async def decode_turn(recordings: Recordings, recording: bytes) -> bytes:
    """Return a recording as PCM at `OUTPUT_RATE`. Raises `HttpError`."""
    pcm = await recordings.decode(recording, FIELD)
    if len(pcm) < 2 * SHORTEST_SECONDS * OUTPUT_RATE:
        message = f"This recording is shorter than {SHORTEST_SECONDS:g} seconds; speak, then stop."
        raise HttpError(422, message, code="recording_too_short", param=FIELD)
    return pcm


def accepted_format(accept: str) -> AnswerFormat:
    """Return the format that a client accepts best, by its `Accept`. Raises `HttpError` if it accepts none."""
    by_quality = sorted(map(_media_range, accept.split(",")), key=lambda one: -one[1])
    kinds = [kind for kind, quality in by_quality if kind and quality > 0]
    if not kinds:
        return DEFAULT_FORMAT
    for kind in kinds:
        if kind in _FORMATS:
            return _FORMATS[kind]
    message = f"Accept has none of the media types of answers: {', '.join(sorted(CONTENT_TYPES.values()))}."
    raise HttpError(406, message, code="not_acceptable", param="Accept")


def _media_range(text: str) -> tuple[str, float]:
    """Return a media type of an `Accept` and its quality."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return kind, float(quality)
    except ValueError:
        return kind, 0.0


def header_text(text: str) -> str:
    """Return a text for a header: what is not ASCII is percent-encoded, so `decodeURIComponent` reads it.

    A text of more than `HEADER_BYTES` is cut off, and ends with "…".
    """
    encoded = [quote(character, safe=_PLAIN, errors="replace") for character in " ".join(text.split())]
    size, ellipsis = 0, quote("…")
    for at, character in enumerate(encoded):
        size += len(character)
        if size > HEADER_BYTES - len(ellipsis):
            return "".join(encoded[:at]) + ellipsis
    return "".join(encoded)
