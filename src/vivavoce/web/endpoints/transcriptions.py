"""Transcription of recordings by HTTP, compatible with OpenAI's `/v1/audio/transcriptions`."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from functools import partial
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.speech import Segment
from vivavoce.errors import LANGUAGE_NOT_SUPPORTED, ProviderError, UnknownLanguageError
from vivavoce.protocol.validation import invalid
from vivavoce.runtime import Runtime
from vivavoce.text.languages import language_code
from vivavoce.web.endpoints.transcript_formats import Granularity, ResponseFormat, transcript_response
from vivavoce.web.errors import HttpError, error_body, invalid_request
from vivavoce.web.recordings import Recordings, no_speech
from vivavoce.web.requests import (
    Admission,
    body_too_large,
    convert_fields,
    fields_of,
    limited_body,
    require_media_type,
    respond_while_connected,
    send_chunk,
    send_event,
    start_response,
)

FORM_BYTES = 64 * 1024
"""bytes of a form besides its recording"""
_REFUSED = {
    "include": "the transcribers here report no probabilities.",
    "known_speaker_names": "the transcribers here do not tell speakers apart.",
    "known_speaker_references": "the transcribers here do not tell speakers apart.",
}
"""fields of OpenAI's that no transcriber supports"""


class TranscriptionRequest(Struct, frozen=True, kw_only=True):
    """The form of `POST /v1/audio/transcriptions` besides its file. `model` is ignored; others are refused."""

    model: str = ""
    language: str = ""
    languages: tuple[str, ...] = ()
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    response_format: ResponseFormat = "json"
    timestamp_granularities: tuple[Granularity, ...] = ()
    temperature: Annotated[float, Meta(ge=0, le=1)] = 0
    chunking_strategy: Literal["auto"] = "auto"
    stream: bool = False

    @property
    def one_language(self) -> str | None:
        """The language, if it is known."""
        one = self.language or (self.languages[0] if len(self.languages) == 1 else "")
        return language_code(one) or None

    @property
    def hints(self) -> str | None:
        """The transcriber's prompt: the client's prompt and keywords."""
        return " ".join([self.prompt, ", ".join(self.keywords)]).strip() or None

    @property
    def options(self) -> dict[str, object]:
        """Further arguments for the transcriber."""
        options: dict[str, object] = {"temperature": self.temperature} if self.temperature else {}
        return options | ({"words": True} if "word" in self.timestamp_granularities else {})


class TranscriptionsEndpoint:
    """An ASGI application. A request counts as running until its transcript has been sent."""

    def __init__(self, runtime: Runtime, admission: Admission) -> None:
        self.runtime, self.limits, self._admission = runtime, runtime.config.limits, admission
        self._recordings = Recordings(self.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Transcribe one recording; stop when the client disconnects."""
        http = Request(scope, receive)
        with self._admission.admit():
            require_media_type(http, "multipart/form-data")
            max_bytes = self.limits.upload_bytes + FORM_BYTES
            async with (
                limited_body(http, self.limits, max_bytes, "upload_bytes") as body,
                body.form(max_files=1) as form,
            ):
                request = read_transcription_request(form)
                queue = self.runtime.speech.providers.transcriber_queue
                queue.check_languages([request.language], "language")
                queue.check_languages(request.languages, "languages")
                _check_options(request, queue.supported_options)
                recording = await self._read_file(form)
            respond = partial(self._respond, recording, request, scope, receive)
            await respond_while_connected(receive, send, self.limits, respond)

    async def _respond(
        self, recording: bytes, request: TranscriptionRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        audio = await self._recordings.decode(recording, "file")
        transcript = self.runtime.speech.transcribe(
            audio, language=request.one_language, prompt=request.hints, options=request.options
        )
        async with aclosing(transcript) as segments:
            first = await anext(segments, None)  # a failure before it can still be answered with an HTTP status
            if first is None:
                raise no_speech("file")
            if request.stream:
                await _stream(first, segments, send)
                return
            seconds = round(len(audio) / 2 / INPUT_RATE, 3)
            whole = [first, *[segment async for segment in segments]]
        granularities = request.timestamp_granularities or ("segment",)
        response = transcript_response(
            whole, seconds, request.response_format, granularities, request.temperature
        )
        await response(scope, receive, send)

    async def _read_file(self, form: FormData) -> bytes:
        file, max_bytes = form.get("file"), self.limits.upload_bytes
        if not isinstance(file, UploadFile):
            raise invalid_request("file", "The form has no recording in its field 'file'.")
        if file.size is not None and file.size > max_bytes:
            raise body_too_large(max_bytes, "upload_bytes")
        return await file.read()


async def refuse_translation(_: Request) -> Response:
    """Answer OpenAI's `/v1/audio/translations`, which its clients can call."""
    message = "This server does not translate recordings; POST /v1/audio/transcriptions transcribes them."
    raise HttpError(400, message, code="not_supported")


async def _stream(first: Segment, segments: AsyncGenerator[Segment, None], send: Send) -> None:
    await start_response(send, "text/event-stream; charset=utf-8")
    text = first.transcript.text
    try:
        await send_event(send, {"type": "transcript.text.delta", "delta": text})
        async for segment in segments:
            delta = f" {segment.transcript.text}"
            text += delta
            await send_event(send, {"type": "transcript.text.delta", "delta": delta})
        await send_event(send, {"type": "transcript.text.done", "text": text})
    except UnknownLanguageError as error:
        await send_event(send, error_body(400, error.message, LANGUAGE_NOT_SUPPORTED))
    except ProviderError as error:
        await send_event(send, error_body(502, str(error), "provider_error"))
    await send_chunk(send, b"", more=False)


# the form


def read_transcription_request(form: FormData) -> TranscriptionRequest:
    """Read the fields of a form; empty ones count as absent. Raises `ProtocolError` with its `param`."""
    texts: dict[str, list[str]] = {}
    for key, value in form.multi_items():
        name, _, inner = key.partition(
            "["
        )  # lists are sent as `include[]`, objects as `chunking_strategy[type]`
        if name == "file" or not isinstance(value, str) or not value.strip():
            continue
        if name in _REFUSED:
            raise invalid(name, _REFUSED[name])
        if name in fields_of(TranscriptionRequest) and inner not in ("", "]"):
            raise invalid(name, f"there is no '{inner.rstrip(']')}' in it here.")
        texts.setdefault(name, []).append(value)
    return convert_fields(texts, TranscriptionRequest)


def _check_options(request: TranscriptionRequest, supported: Collection[str]) -> None:
    """Raise `ProtocolError` for what would be ignored."""
    missing = "the transcriber of this server ([transcriber] of its settings) does not support it."
    if request.prompt and "prompt" not in supported:
        raise invalid("prompt", missing)
    if request.keywords and "prompt" not in supported:
        raise invalid("keywords", missing)
    if request.temperature and "temperature" not in supported:
        raise invalid("temperature", f"{missing} 0 is what it does.")
    if request.timestamp_granularities and request.response_format != "verbose_json":
        raise invalid("timestamp_granularities", "it needs response_format 'verbose_json'.")
    if "word" in request.timestamp_granularities and "words" not in supported:
        raise invalid("timestamp_granularities", f"the times of words: {missing}")
    if request.stream and request.response_format not in ("json", "text"):
        raise invalid("response_format", "a stream is 'json' or 'text'.")
