"""A synthesizer behind an OpenAI-compatible `/audio/speech`, streamed as it is generated."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.providers.base import WordTiming
from vivavoce.providers.openai.client import ApiClient, ApiSettings, api_plugin

CHUNK_BYTES = OUTPUT_RATE // 10 * 2
QUIET = 200
LEAD_BYTES = OUTPUT_RATE // 100 * 2
MAX_PAUSE_BYTES = OUTPUT_RATE * 2


class OpenAISynthesizerSettings(ApiSettings, frozen=True, kw_only=True):
    """The model, the voice and the endpoint. `instructions` describe how to speak, if supported."""

    model: str = "gpt-4o-mini-tts"
    voice: str = "marin"
    instructions: str = ""


@dataclass
class OpenAISynthesizer:
    """Streams speech from an endpoint."""

    client: ApiClient
    settings: OpenAISynthesizerSettings

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        """Yield `text` as speech in chunks of 100 ms, without silence before and after it."""
        body: dict[str, object] = {
            "model": self.settings.model,
            "voice": voice or self.settings.voice,
            "input": text,
            "response_format": "pcm",
        }
        if speed != 1.0:
            body["speed"] = speed
        if self.settings.instructions:
            body["instructions"] = self.settings.instructions
        chunks = Chunks()
        async with self.client.stream("audio/speech", body) as data:
            async for piece in data:
                for chunk in chunks.push(piece):
                    yield chunk
        for chunk in chunks.flush():
            yield chunk
        if not chunks.audible:
            raise self.client.failure("sent no sound", retryable=True)


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
