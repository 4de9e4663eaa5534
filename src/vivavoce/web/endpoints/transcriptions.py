"""Transcription of recordings by HTTP, compatible with OpenAI's `/v1/audio/transcriptions`."""

from functools import partial

import anyio.to_thread
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.rates import INPUT_RATE
from vivavoce.providers.base import Transcript
from vivavoce.runtime import Runtime
from vivavoce.web.errors import HttpError, invalid_request, needs_pyav
from vivavoce.web.requests import (
    Admission,
    body_too_large,
    limited_body,
    require_media_type,
    respond_while_connected,
)

FORM_BYTES = 64 * 1024
"""bytes of a form besides its recording"""
FORMATS = ("json", "text", "verbose_json")


class TranscriptionsEndpoint:
    """An ASGI application. A request counts as running until its transcript has been sent."""

    def __init__(self, runtime: Runtime, admission: Admission) -> None:
        self.runtime, self.limits, self._admission = runtime, runtime.config.limits, admission
        self._threads = anyio.CapacityLimiter(2)

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
                recording = await self._read_file(form)
            respond = partial(self._respond, recording, form, scope, receive)
            await respond_while_connected(receive, send, self.limits, respond)

    async def _respond(
        self, recording: bytes, form: FormData, scope: Scope, receive: Receive, send: Send
    ) -> None:
        audio = await self._decode(recording)
        transcript = await self.runtime.speech.transcribe(
            audio, language=_field(form, "language"), prompt=_field(form, "prompt")
        )
        if transcript is None:
            raise invalid_request("file", "There is no speech in this recording.", code="no_speech")
        seconds = round(len(audio) / 2 / INPUT_RATE, 3)
        await _response(transcript, seconds, _field(form, "response_format"))(scope, receive, send)

    async def _read_file(self, form: FormData) -> bytes:
        """Return the recording, after checking that the requested format is supported."""
        if (_field(form, "response_format") or "json") not in FORMATS:
            raise invalid_request("response_format", f"response_format is one of {', '.join(FORMATS)}.")
        file, max_bytes = form.get("file"), self.limits.upload_bytes
        if not isinstance(file, UploadFile):
            raise invalid_request("file", "The form has no recording in its field 'file'.")
        if file.size is not None and file.size > max_bytes:
            raise body_too_large(max_bytes, "upload_bytes")
        if not file.size:
            raise invalid_request("file", "This recording is empty.", code="empty_recording")
        return await file.read()

    async def _decode(self, recording: bytes) -> bytes:
        max_seconds = self.limits.upload_seconds
        decoding = partial(decode, recording, rate=INPUT_RATE, max_seconds=max_seconds)
        try:
            audio = await anyio.to_thread.run_sync(decoding, limiter=self._threads)
        except TooLong as error:
            message = f"The recording is longer than {max_seconds:g} seconds (limits.upload_seconds)."
            raise HttpError(413, message, code="recording_too_long", param="file") from error
        except NotAudio as error:
            message = f"This file cannot be read as audio: {error}."
            raise invalid_request("file", message, code="invalid_audio") from error
        except ImportError as error:
            raise needs_pyav("Reading recordings", "file") from error
        if not audio:
            raise invalid_request("file", "There is no audio in this recording.", code="empty_recording")
        return audio


def _response(transcript: Transcript, seconds: float, format: str | None) -> Response:
    match format:
        case "text":
            return PlainTextResponse(transcript.text + "\n")
        case "verbose_json":
            details = {"task": "transcribe", "language": transcript.language, "duration": seconds}
            return JSONResponse({**details, "text": transcript.text})
        case _:
            return JSONResponse({"text": transcript.text, "usage": {"type": "duration", "seconds": seconds}})


def _field(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value.strip() or None if isinstance(value, str) else None
