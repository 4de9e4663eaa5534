"""What is understood of a recording, and how long that takes: `POST /test-transcript/`."""

from contextlib import aclosing
from functools import partial
from typing import Annotated

import anyio
import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.speech import Segment
from vivavoce.runtime import Runtime
from vivavoce.web.endpoints.transcript_formats import joined
from vivavoce.web.recordings import Recordings, no_speech
from vivavoce.web.requests import Admission, respond_while_connected
from vivavoce.web.uploads import FIELD, read_form


class TranscriptTestQuery(Struct, frozen=True):
    """Nothing can be chosen."""


class TranscriptSegment(Struct, frozen=True, kw_only=True):
    """A part of a recording in which somebody speaks, in seconds since it began."""

    start: float
    end: float
    text: str


class TranscriptTimings(Struct, frozen=True, kw_only=True):
    """Seconds that each step took."""

    decode: float
    transcribe: float
    total: float


class TestedTranscript(Struct, frozen=True, kw_only=True):
    """What was understood of a recording."""

    transcript: str
    language: Annotated[str | None, Meta(description="its code, if the transcriber tells")]
    duration: Annotated[float, Meta(description="seconds of the recording")]
    timings: TranscriptTimings
    segments: tuple[TranscriptSegment, ...]


class TranscriptTestEndpoint:
    """An ASGI application. A request counts as running until its transcript has been sent."""

    def __init__(self, runtime: Runtime, admission: Admission) -> None:
        self._runtime, self._limits, self._admission = runtime, runtime.config.limits, admission
        self._recordings = Recordings(self._limits, not_audio=415, no_sound=422)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Transcribe the recording of a form; stop when the client disconnects."""
        with self._admission.admit():
            recording, _ = await read_form(Request(scope, receive), self._limits, TranscriptTestQuery)
            respond = partial(self._respond, recording, scope, receive)
            await respond_while_connected(receive, send, self._limits, respond)

    async def _respond(self, recording: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        began = anyio.current_time()
        audio = await self._recordings.decode(recording, FIELD)
        decoded = anyio.current_time()
        async with aclosing(self._runtime.speech.transcribe(audio)) as parts:
            segments = [part async for part in parts]
        if not segments:
            raise no_speech(FIELD, 422)
        done = anyio.current_time()
        timings = TranscriptTimings(
            decode=round(decoded - began, 3), transcribe=round(done - decoded, 3), total=round(done - began, 3)
        )
        found = TestedTranscript(
            transcript=joined(segments),
            language=next((part.transcript.language for part in segments if part.transcript.language), None),
            duration=round(len(audio) / (2 * INPUT_RATE), 3),
            timings=timings,
            segments=tuple(map(_segment, segments)),
        )
        response = Response(msgspec.json.encode(found), media_type="application/json")
        await response(scope, receive, send)


def _segment(part: Segment) -> TranscriptSegment:
    return TranscriptSegment(start=round(part.start, 3), end=round(part.end, 3), text=part.transcript.text)
