"""Recordings written down and texts read out, by HTTP, as OpenAI's audio endpoints do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Literal

import anyio.to_thread
import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from vivavoce.assembly import House
from vivavoce.audio.decoding import NotAudio, TooLong, decode
from vivavoce.audio.encoding import CONTENT_TYPES, Encoder, encoder
from vivavoce.providers import HEARING_RATE, SPEAKING_RATE
from vivavoce.web.answers import Refused
from vivavoce.web.bodies import bounded, read, too_large
from vivavoce.web.places import Places

__all__ = ["Audio"]

FORM_BYTES = 64 * 1024
"""what surrounds a recording in its form"""
WRITTEN = ("json", "text", "verbose_json")
Endpoint = Callable[["Audio", Request], Awaitable[Response]]


class SpeechRequest(msgspec.Struct, frozen=True):
    """The body of `POST /v1/audio/speech`."""

    input: str
    model: str = ""
    voice: str | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = 1.0


def _admitted(endpoint: Endpoint) -> Endpoint:
    """Let in a request once there is a place for it."""

    @wraps(endpoint)
    async def admitted(audio: "Audio", request: Request) -> Response:
        with audio.places.take():
            return await endpoint(audio, request)

    return admitted


class Audio:
    """The two endpoints."""

    def __init__(self, house: House, places: Places) -> None:
        self.house, self.limits, self.places = house, house.config.limits, places
        self._threads = anyio.CapacityLimiter(2)

    @_admitted
    async def transcriptions(self, request: Request) -> Response:
        """Write a recording down."""
        _insist(request, "multipart/form-data")
        async with bounded(request, self.limits.upload_bytes + FORM_BYTES, "upload_bytes").form(
            max_files=1
        ) as form:
            form_of_answer = _word(form, "response_format") or "json"
            if form_of_answer not in WRITTEN:
                raise _wrong("response_format", f"response_format is one of {', '.join(WRITTEN)}.")
            sound = await self._decode(await self._upload(form))
            heard = await self.house.speech.transcribe(
                sound, language=_word(form, "language"), prompt=_word(form, "prompt")
            )
        if heard is None:
            raise _wrong("file", "Nobody speaks in this recording.", code="no_speech")
        seconds = round(len(sound) / 2 / HEARING_RATE, 3)
        match form_of_answer:
            case "text":
                return PlainTextResponse(heard.text + "\n")
            case "verbose_json":
                facts = {"task": "transcribe", "language": heard.language, "duration": seconds}
                return JSONResponse({**facts, "text": heard.text})
            case _:
                return JSONResponse({"text": heard.text, "usage": {"type": "duration", "seconds": seconds}})

    @_admitted
    async def speech(self, request: Request) -> Response:
        """Read a text out; the sound goes out as it is made."""
        _insist(request, "application/json")
        wish = await self._read_wish(request)
        sound = self.house.speech.speak(wish.input, voice=wish.voice, speed=wish.speed)
        made = await self._encoder(wish.response_format)
        first = await anext(sound, b"")  # what fails before the first sound is still answered with a status
        kind = CONTENT_TYPES[wish.response_format]
        return StreamingResponse(self._encoded(made, first, sound), media_type=kind)

    async def _read_wish(self, request: Request) -> SpeechRequest:
        limit = self.limits.speech_chars
        body = await read(request, limit * 8 + FORM_BYTES, "speech_chars")
        try:
            wish = msgspec.json.decode(body, type=SpeechRequest)
        except msgspec.DecodeError as error:
            raise _wrong(None, f"The body cannot be read: {error}.") from error
        if not wish.input.strip():
            raise _wrong("input", "There is nothing to say: input is empty.")
        if len(wish.input) > limit:
            raise _wrong(
                "input", f"input has {len(wish.input)} characters; {limit} are allowed (limits.speech_chars)."
            )
        if not 0.25 <= wish.speed <= 4:
            raise _wrong("speed", "speed is from 0.25 to 4.")
        return wish

    async def _upload(self, form: FormData) -> bytes:
        file, limit = form.get("file"), self.limits.upload_bytes
        if not isinstance(file, UploadFile):
            raise _wrong("file", "The form has no recording in its field 'file'.")
        if file.size is not None and file.size > limit:
            raise too_large(limit, "upload_bytes")
        if not file.size:
            raise _wrong("file", "This recording is empty.", code="empty_recording")
        return await file.read()

    async def _decode(self, data: bytes) -> bytes:
        def decoded() -> bytes:
            return decode(data, rate=HEARING_RATE, max_seconds=self.limits.upload_seconds)

        try:
            sound = await anyio.to_thread.run_sync(decoded, limiter=self._threads)
        except TooLong as error:
            limit = self.limits.upload_seconds
            message = f"The recording is longer than {limit:g} seconds (limits.upload_seconds)."
            raise Refused(413, message, code="recording_too_long", param="file") from error
        except NotAudio as error:
            raise _wrong("file", f"This is not a recording: {error}.", code="invalid_audio") from error
        except ImportError as error:
            raise _needs_pyav("Reading recordings", "file") from error
        if not sound:
            raise _wrong("file", "This recording has no sound in it.", code="empty_recording")
        return sound

    async def _encoder(self, name: str) -> Encoder:
        try:
            return await anyio.to_thread.run_sync(encoder, name, SPEAKING_RATE, limiter=self._threads)
        except ImportError as error:
            raise _needs_pyav(f"response_format {name}", "response_format") from error

    async def _encoded(self, made: Encoder, first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield await self._push(made, first)
        async for chunk in rest:
            yield await self._push(made, chunk)
        yield await anyio.to_thread.run_sync(made.finish, limiter=self._threads)

    async def _push(self, made: Encoder, sound: bytes) -> bytes:
        return await anyio.to_thread.run_sync(made.push, sound, limiter=self._threads)


def _insist(request: Request, kind: str) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
        raise Refused(415, f"The body must be {kind}.", code="unsupported_media_type")


def _word(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value.strip() or None if isinstance(value, str) else None


def _wrong(param: str | None, message: str, *, code: str = "invalid_value") -> Refused:
    return Refused(400, message, code=code, param=param)


def _needs_pyav(what: str, param: str) -> Refused:
    message = f"{what} needs PyAV on the server; its owner writes: pip install 'vivavoce[local]'."
    return Refused(501, message, code="not_installed", param=param)
