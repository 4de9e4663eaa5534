"""A synthesizer behind an OpenAI-compatible `/audio/speech`, streamed as it is generated.

PCM is asked for, but not every endpoint sends it. Anything else is recognized before it is played.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from typing import Annotated

import anyio.to_thread
from msgspec import Meta

from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.audio.sample_aligner import SampleAligner
from vivavoce.providers.base import WordTiming
from vivavoce.providers.openai.client import ApiClient, ApiSettings, Body, api_plugin, at_most
from vivavoce.providers.openai.errors import EndpointError, parsed, reason, refused_parameter

CHUNK_BYTES = OUTPUT_RATE // 10 * 2
QUIET = 200
LEAD_BYTES = OUTPUT_RATE // 100 * 2
MAX_PAUSE_BYTES = OUTPUT_RATE * 2
FILE_BYTES = 16 * 1024 * 1024
"""bytes of speech that is no stream of PCM: it is decoded when it is complete"""
FILE_SECONDS = 300
_OPENING_BYTES = 16
_PCM = ("audio/pcm", "audio/x-pcm", "audio/l16", "audio/raw", "audio/x-raw", "audio/s16le")
_MAGIC = {
    b"RIFF": "WAV",
    b"ID3": "MP3",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"\x1a\x45\xdf\xa3": "WebM",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
}
_TEXT = re.compile(rb"(\xef\xbb\xbf)?[\t\r\n -~]+")
"""An opening of plain ASCII: as sound it would be noise."""


class OpenAISynthesizerSettings(ApiSettings, frozen=True, kw_only=True):
    """The model, the voice and the endpoint. `instructions` describe how to speak, if supported."""

    model: str = "gpt-4o-mini-tts"
    patience: Annotated[float, Meta(ge=0)] = 6
    voice: str = "marin"
    instructions: str = ""


@dataclass
class OpenAISynthesizer:
    """Streams speech from an endpoint, and remembers which parameters it does not accept."""

    client: ApiClient
    settings: OpenAISynthesizerSettings
    _refused: set[str] = field(default_factory=set)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        """Yield `text` as speech in chunks of 100 ms, without silence before and after it.

        What fails before the first sound is sent again, like a chat model's request.
        """
        retries, begun = self.client.retries(), False
        while True:
            body = self._body(text, voice, speed)
            try:
                async with aclosing(self._speak_once(body)) as audio:
                    async for chunk in audio:
                        begun = True
                        yield chunk
                break
            except EndpointError as error:
                if begun:
                    raise
                if name := refused_parameter(error, body.keys() & {"response_format", "speed", "instructions"}):
                    if body[name] == "wav":
                        raise
                    self._refused.add(name)
                else:
                    await retries.wait(error)
        if not begun:
            raise self.client.failure("sent no sound", retryable=True)

    def _body(self, text: str, voice: str | None, speed: float) -> dict[str, object]:
        optional: dict[str, object] = {"instructions": self.settings.instructions}
        if speed != 1.0:
            optional["speed"] = speed
        form = "wav" if "response_format" in self._refused else "pcm"
        return {
            "model": self.settings.model,
            "voice": voice or self.settings.voice,
            "input": text,
            "response_format": form,
            **{name: value for name, value in optional.items() if value and name not in self._refused},
        }

    async def _speak_once(self, body: dict[str, object]) -> AsyncGenerator[bytes, None]:
        chunks = Chunks()
        async with (
            self.client.stream("audio/speech", body) as response,
            aclosing(self._pcm(response)) as pieces,
        ):
            async for piece in pieces:
                for chunk in chunks.push(piece):
                    yield chunk
        for chunk in chunks.flush():
            yield chunk

    async def _pcm(self, response: Body) -> AsyncGenerator[bytes, None]:
        """Yield the body as PCM at `OUTPUT_RATE`. Raises `ProviderError` if it is no sound."""
        opening = b""
        async for piece in response.data:
            opening += piece
            if len(opening) >= _OPENING_BYTES:
                break
        header = Message()
        header["content-type"] = response.media_type
        media_type = response.media_type.partition(";")[0].strip()
        if name := _not_sound(media_type, opening):
            said = parsed(await at_most(1024, _from(opening, response)))
            raise self.client.failure(f"sent {name} instead of sound: {reason(said) or said}")
        if opening and (name := _container(media_type, opening)):
            yield await self._decoded(name, await at_most(FILE_BYTES, _from(opening, response)))
            return
        if str(header.get_param("channels", "1")) != "1":
            raise self.client.failure(f"sent {response.media_type}; one channel is needed")
        rate = str(header.get_param("rate", OUTPUT_RATE))
        if not rate.isdecimal() or not 4000 <= int(rate) <= 192_000:
            raise self.client.failure(f"sent {response.media_type}, a rate that is not supported")
        resampler = None if int(rate) == OUTPUT_RATE else Resampler(int(rate), OUTPUT_RATE)
        aligner = SampleAligner()
        async for piece in _from(opening, response):
            audio = aligner.push(piece)
            yield resampler.push(audio) if resampler else audio

    async def _decoded(self, name: str, file: bytes) -> bytes:
        if len(file) > FILE_BYTES:
            raise self.client.failure(f"sent more than {FILE_BYTES} bytes of {name}")
        try:
            return await anyio.to_thread.run_sync(
                partial(decode, file, rate=OUTPUT_RATE, max_seconds=FILE_SECONDS)
            )
        except (NotAudio, TooLong) as error:
            raise self.client.failure(f"sent {name}, but {error}") from error
        except ImportError as error:
            install = "pip install 'vivavoce[local]'"
            raise self.client.failure(f"sent {name} instead of PCM; to decode it, write: {install}") from error


async def _from(opening: bytes, response: Body) -> AsyncIterator[bytes]:
    yield opening
    async for piece in response.data:
        yield piece


def _not_sound(media_type: str, opening: bytes) -> str:
    """Return what a body is, if it is text; else nothing."""
    if media_type.startswith("text/") or re.fullmatch(r"application/(.*[+])?(json|xml|x-ndjson)", media_type):
        return media_type
    return "text" if _TEXT.fullmatch(opening) and not _format(opening) else ""


def _container(media_type: str, opening: bytes) -> str:
    """Return the name of the format of a file that must be decoded; nothing for PCM."""
    is_sound = media_type.startswith(("audio/", "video/")) or media_type == "application/ogg"
    return _format(opening) or (media_type if is_sound and media_type not in _PCM else "")


def _format(opening: bytes) -> str:
    """Return the name of the format in which a file begins."""
    if opening[4:8] == b"ftyp":
        return "MP4"
    if _is_mpeg_frame(opening):
        return "MP3 or AAC"
    return next((name for magic, name in _MAGIC.items() if opening.startswith(magic)), "")


def _is_mpeg_frame(opening: bytes) -> bool:
    """Whether a body begins with a frame of MP3 (ISO 11172-3, 2.4.1.3) or of AAC (ISO 13818-7, 6.2).

    PCM often begins with -1, which is FF FF; so only layer III counts, and no free bit rate.
    """
    if len(opening) < 4 or opening[0] != 0xFF:
        return False
    if opening[1] & 0xF6 == 0xF0:  # AAC: no layer
        return opening[2] >> 2 & 15 < 13
    is_rate, bit_rate = opening[2] & 0x0C != 0x0C, opening[2] >> 4
    return opening[1] & 0xE6 == 0xE2 and is_rate and 0 < bit_rate < 15


class Chunks:
    """Splits a stream of bytes into chunks of at most 100 ms, without silence at the beginning and the end."""

    def __init__(self) -> None:
        self.audible = False
        self._rest = b""
        self._silence = b""

    def push(self, data: bytes) -> list[bytes]:
        """Return the chunks that are complete now."""
        return self._cut(data, CHUNK_BYTES)

    def flush(self) -> list[bytes]:
        """Return the rest, up to the last audible sample."""
        return self._cut(b"", 2)

    def _cut(self, data: bytes, least: int) -> list[bytes]:
        self._rest += data
        chunks: list[bytes] = []
        while len(self._rest) >= least:
            chunk = self._rest[: min(CHUNK_BYTES, len(self._rest) // 2 * 2)]
            self._rest = self._rest[len(chunk) :]
            chunks += self._trimmed(chunk)
        return chunks

    def _trimmed(self, chunk: bytes) -> list[bytes]:
        """Withhold silence until an audible sample follows; at the end it is dropped."""
        loud = [i for i, sample in enumerate(memoryview(chunk).cast("h")) if abs(sample) > QUIET]
        if not loud:
            self._silence = (self._silence + chunk)[-MAX_PAUSE_BYTES:] if self.audible else b""
            return []
        start = 0 if self.audible else max(0, loud[0] * 2 - LEAD_BYTES)
        stop = min(len(chunk), loud[-1] * 2 + 2 + LEAD_BYTES)
        pause, self._silence = self._silence, chunk[stop:]
        self.audible = True
        pauses = [pause[i : i + CHUNK_BYTES] for i in range(0, len(pause), CHUNK_BYTES)]
        return [*pauses, chunk[start:stop]]


PLUGIN = api_plugin("synthesizer", "Speaks with", OpenAISynthesizerSettings, OpenAISynthesizer)
