"""Recordings written down by HTTP, as OpenAI's `/v1/audio/transcriptions` does."""

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
from vivavoce.web.admission import Admission
from vivavoce.web.errors import Refused, needs_pyav, wrong
from vivavoce.web.request_body import bounded, insist, too_large
from vivavoce.web.streaming import while_they_read

__all__ = ["TranscriptionsEndpoint"]

FORM_BYTES = 64 * 1024
"""what surrounds a recording in its form"""
WRITTEN = ("json", "text", "verbose_json")


class TranscriptionsEndpoint:
    """An ASGI application. A place is taken until all is written down."""

    def __init__(self, runtime: Runtime, places: Admission) -> None:
        self.runtime, self.limits, self._places = runtime, runtime.config.limits, places
        self._threads = anyio.CapacityLimiter(2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write one recording down; stop when the client leaves."""
        request = Request(scope, receive)
        with self._places.take():
            insist(request, "multipart/form-data")
            most = self.limits.upload_bytes + FORM_BYTES
            async with (
                bounded(request, self.limits, most, "upload_bytes") as body,
                body.form(max_files=1) as form,
            ):
                recording = await self._upload(form)
            work = partial(self._write_down, recording, form, scope, receive)
            await while_they_read(receive, send, self.limits, work)

    async def _write_down(
        self, recording: bytes, form: FormData, scope: Scope, receive: Receive, send: Send
    ) -> None:
        sound = await self._decode(recording)
        heard = await self.runtime.speech.transcribe(
            sound, language=_word(form, "language"), prompt=_word(form, "prompt")
        )
        if heard is None:
            raise wrong("file", "Nobody speaks in this recording.", code="no_speech")
        seconds = round(len(sound) / 2 / INPUT_RATE, 3)
        await _answer(heard, seconds, _word(form, "response_format") or "json")(scope, receive, send)

    async def _upload(self, form: FormData) -> bytes:
        """Return the recording, of a form that asks for what we can do."""
        form_of_answer = _word(form, "response_format") or "json"
        if form_of_answer not in WRITTEN:
            raise wrong("response_format", f"response_format is one of {', '.join(WRITTEN)}.")
        file, limit = form.get("file"), self.limits.upload_bytes
        if not isinstance(file, UploadFile):
            raise wrong("file", "The form has no recording in its field 'file'.")
        if file.size is not None and file.size > limit:
            raise too_large(limit, "upload_bytes")
        if not file.size:
            raise wrong("file", "This recording is empty.", code="empty_recording")
        return await file.read()

    async def _decode(self, data: bytes) -> bytes:
        def decoded() -> bytes:
            return decode(data, rate=INPUT_RATE, max_seconds=self.limits.upload_seconds)

        try:
            sound = await anyio.to_thread.run_sync(decoded, limiter=self._threads)
        except TooLong as error:
            limit = self.limits.upload_seconds
            message = f"The recording is longer than {limit:g} seconds (limits.upload_seconds)."
            raise Refused(413, message, code="recording_too_long", param="file") from error
        except NotAudio as error:
            raise wrong("file", f"This is not a recording: {error}.", code="invalid_audio") from error
        except ImportError as error:
            raise needs_pyav("Reading recordings", "file") from error
        if not sound:
            raise wrong("file", "This recording has no sound in it.", code="empty_recording")
        return sound


def _answer(heard: Transcript, seconds: float, form_of_answer: str) -> Response:
    match form_of_answer:
        case "text":
            return PlainTextResponse(heard.text + "\n")
        case "verbose_json":
            facts = {"task": "transcribe", "language": heard.language, "duration": seconds}
            return JSONResponse({**facts, "text": heard.text})
        case _:
            return JSONResponse({"text": heard.text, "usage": {"type": "duration", "seconds": seconds}})


def _word(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value.strip() or None if isinstance(value, str) else None
