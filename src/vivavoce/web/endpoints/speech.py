"""Texts read out by HTTP, as OpenAI's `/v1/audio/speech` does."""

import logging
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Literal

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from vivavoce.audio.encode import CONTENT_TYPES, Encoder, encoder
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ProviderError
from vivavoce.protocol.bodies import read_body, read_object
from vivavoce.protocol.validation import invalid
from vivavoce.runtime import Runtime
from vivavoce.web.admission import Admission
from vivavoce.web.errors import needs_pyav
from vivavoce.web.request_body import insist, read
from vivavoce.web.streaming import begin, tell, while_they_read

__all__ = ["SpeechEndpoint"]

log = logging.getLogger(__name__)

SURROUNDINGS_BYTES = 64 * 1024
"""what surrounds a text in its body"""


class VoiceId(msgspec.Struct, frozen=True, kw_only=True):
    """A voice, as it is named where voices have ids."""

    id: str


class SpeechRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/audio/speech`; what else it says is not for us."""

    input: str
    voice: str | VoiceId | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    stream_format: Literal["audio"] = "audio"
    speed: float = 1.0


class SpeechEndpoint:
    """An ASGI application. A place is taken until the last sound is sent."""

    def __init__(self, runtime: Runtime, places: Admission) -> None:
        self.runtime, self.limits, self._places = runtime, runtime.config.limits, places
        self._threads = anyio.CapacityLimiter(2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a text out, and send the sound as it is made; stop when the client leaves."""
        request = Request(scope, receive)
        with self._places.take():
            insist(request, "application/json")
            wish = await self._read_wish(request)
            await while_they_read(receive, send, self.limits, partial(self._speak, wish))

    async def _read_wish(self, request: Request) -> SpeechRequest:
        most = self.limits.speech_chars
        said = read_object(await read(request, self.limits, most * 8 + SURROUNDINGS_BYTES, "speech_chars"))
        ours = {name: said[name] for name in SpeechRequest.__struct_fields__ if name in said}
        wish = read_body(msgspec.json.encode(ours), SpeechRequest)
        if not wish.input.strip():
            raise invalid("input", "there is nothing to say.")
        if len(wish.input) > most:
            raise invalid("input", f"{len(wish.input)} characters; there may be {most} (limits.speech_chars).")
        if not 0.25 <= wish.speed <= 4:
            raise invalid("speed", f"expected 0.25 to 4, got {wish.speed:g}.")
        return wish

    async def _speak(self, wish: SpeechRequest, send: Send) -> None:
        voice = wish.voice.id if isinstance(wish.voice, VoiceId) else wish.voice
        made = await self._encoder(wish.response_format)
        async with aclosing(self.runtime.speech.speak(wish.input, voice=voice, speed=wish.speed)) as sound:
            first = await anext(sound, b"")  # what fails before the first sound is still answered with a status
            if not first:
                raise invalid("input", "there is nothing in it that can be said.")
            await begin(send, CONTENT_TYPES[wish.response_format])
            await tell(send, await self._in_thread(made.push, first))
            try:
                async for chunk in sound:
                    await tell(send, await self._in_thread(made.push, chunk))
            except ProviderError as error:  # an answer that breaks off is how the client is told
                log.warning("a text was not read to its end: %s", error)
                return
        await tell(send, await anyio.to_thread.run_sync(made.finish, limiter=self._threads), more=False)

    async def _encoder(self, name: str) -> Encoder:
        try:
            return await anyio.to_thread.run_sync(encoder, name, OUTPUT_RATE, limiter=self._threads)
        except ImportError as error:
            raise needs_pyav(f"response_format {name}", "response_format") from error

    async def _in_thread(self, push: Callable[[bytes], bytes], sound: bytes) -> bytes:
        return await anyio.to_thread.run_sync(push, sound, limiter=self._threads)
