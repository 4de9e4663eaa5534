"""Text to speech by HTTP, compatible with OpenAI's `/v1/audio/speech`."""

import logging
from base64 import b64encode
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from math import inf
from typing import Annotated, Literal

import anyio.to_thread
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from vivavoce.audio.encode import CONTENT_TYPES
from vivavoce.errors import ProviderError
from vivavoce.protocol.codec import read_body
from vivavoce.protocol.session import VoiceId
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import SpeedLimited
from vivavoce.runtime import Runtime
from vivavoce.web.requests import (
    Admission,
    read_bytes,
    require_media_type,
    respond_while_connected,
    send_chunk,
    send_event,
    start_response,
)
from vivavoce.web.spoken_answers import Encoders

log = logging.getLogger(__name__)

BODY_BYTES = 64 * 1024
"""bytes of a body besides its text"""


class SpeechRequest(Struct, frozen=True):
    """The body of `POST /v1/audio/speech`. `model` is ignored."""

    input: str
    model: str = ""
    voice: str | VoiceId | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    stream_format: Literal["audio", "sse"] = "audio"
    instructions: str = ""
    speed: Annotated[float, Meta(ge=0.25, le=4)] = 1.0


class SpeechEndpoint:
    """An ASGI application. A request counts as running until its last audio has been sent."""

    def __init__(self, runtime: Runtime, admission: Admission) -> None:
        self.runtime, self.limits, self._admission = runtime, runtime.config.limits, admission
        self._encoders = Encoders()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Synthesize a text, and stream the audio; stop when the client disconnects."""
        http = Request(scope, receive)
        with self._admission.admit():
            require_media_type(http, "application/json")
            request = await self._read(http)
            await respond_while_connected(receive, send, self.limits, partial(self._respond, request))

    async def _read(self, http: Request) -> SpeechRequest:
        max_chars = self.limits.speech_chars
        body = await read_bytes(http, self.limits, "speech_chars", max_chars * 8 + BODY_BYTES)
        request = read_body(body, SpeechRequest)
        if not request.input.strip():
            raise invalid("input", "the text is empty.")
        if len(request.input) > max_chars:
            problem = f"{len(request.input)} characters; at most {max_chars} are allowed (limits.speech_chars)."
            raise invalid("input", problem)
        if request.instructions.strip():
            problem = "[synthesizer] of the server's settings says how to speak, if its provider can."
            raise invalid("instructions", problem)
        synthesizer = self.runtime.speech.providers.synthesizer
        low, high = synthesizer.speeds if isinstance(synthesizer, SpeedLimited) else (0.0, inf)
        if not low <= request.speed <= high:
            raise invalid("speed", f"the synthesizer of this server speaks at {low:g} to {high:g}.")
        return request

    async def _respond(self, request: SpeechRequest, send: Send) -> None:
        voice = request.voice.id if isinstance(request.voice, VoiceId) else request.voice
        encoding = await self._encoders.open(request.response_format, "response_format")
        async with aclosing(
            self.runtime.speech.synthesize(request.input, voice=voice, speed=request.speed)
        ) as audio:
            first = await anext(
                audio, b""
            )  # a failure before the first audio can still be answered with an HTTP status
            if not first:
                raise invalid("input", "there is nothing in it that can be spoken.")
            sse = request.stream_format == "sse"
            content_type = "text/event-stream" if sse else CONTENT_TYPES[request.response_format]
            write = partial(_send_delta if sse else send_chunk, send)
            await start_response(send, content_type)
            await write(await self._in_thread(encoding.push, first))
            try:
                async for chunk in audio:
                    await write(await self._in_thread(encoding.push, chunk))
            except ProviderError as error:  # the client sees a response that breaks off
                log.warning("a text could not be spoken to its end: %s", error)
                return
        await write(await anyio.to_thread.run_sync(encoding.finish, limiter=self._encoders.threads))
        if sse:
            await send_event(send, {"type": "speech.audio.done"})
        await send_chunk(send, b"", more=False)

    async def _in_thread(self, push: Callable[[bytes], bytes], audio: bytes) -> bytes:
        return await anyio.to_thread.run_sync(push, audio, limiter=self._encoders.threads)


async def _send_delta(send: Send, audio: bytes) -> None:
    if audio:
        await send_event(send, {"type": "speech.audio.delta", "audio": b64encode(audio).decode()})
