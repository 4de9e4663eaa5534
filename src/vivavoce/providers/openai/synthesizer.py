"""A synthesizer behind any OpenAI-compatible `/audio/speech`, streamed as it is spoken."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.providers.base import WordTiming
from vivavoce.providers.openai.http import Endpoint, EndpointSettings
from vivavoce.providers.registry import Plugin, Weights

__all__ = ["PLUGIN", "Chunks", "OpenAISynthesizer", "OpenAISynthesizerSettings"]

NAME = "openai"
CHUNK_BYTES = OUTPUT_RATE // 10 * 2
QUIET = 200
LEAD_BYTES = OUTPUT_RATE // 100 * 2
LULL_BYTES = OUTPUT_RATE * 2


class OpenAISynthesizerSettings(EndpointSettings, frozen=True, kw_only=True):
    """Which model and voice, and where. `instructions` tell the model how to speak, if it listens to any."""

    model: str = "gpt-4o-mini-tts"
    voice: str = "marin"
    instructions: str = ""


@dataclass
class OpenAISynthesizer:
    """Has an endpoint speak."""

    endpoint: Endpoint
    settings: OpenAISynthesizerSettings

    async def aclose(self) -> None:
        """Hang up all connections."""
        await self.endpoint.aclose()

    async def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        """Say `text` in chunks of 100 ms, silence before and after left out. Closing it hangs up."""
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
        async with self.endpoint.stream("audio/speech", body) as data:
            async for piece in data:
                for chunk in chunks.feed(piece):
                    yield chunk
        for chunk in chunks.end():
            yield chunk
        if not chunks.heard:
            raise self.endpoint.failure("sent no sound", retryable=True)


class Chunks:
    """Cuts a stream of bytes into chunks of at most 100 ms, without the silence before and after the words."""

    def __init__(self) -> None:
        self.heard = False
        self._rest = b""
        self._lull = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the chunks that are complete now."""
        return self._pass(data, CHUNK_BYTES)

    def end(self) -> list[bytes]:
        """Return what is left, up to its last sound."""
        return self._pass(b"", 2)

    def _pass(self, data: bytes, least: int) -> list[bytes]:
        self._rest += data
        chunks: list[bytes] = []
        while len(self._rest) >= least:
            chunk = self._rest[: min(CHUNK_BYTES, len(self._rest) // 2 * 2)]
            self._rest = self._rest[len(chunk) :]
            chunks += self._sounding(chunk)
        return chunks

    def _sounding(self, chunk: bytes) -> list[bytes]:
        """Hold a lull back until there is sound after it: if there is none, the words are over."""
        first, last = _sound(chunk)
        if first is None or last is None:
            self._lull = (self._lull + chunk)[-LULL_BYTES:] if self.heard else b""
            return []
        start = 0 if self.heard else max(0, first - LEAD_BYTES)
        stop = min(len(chunk), last + LEAD_BYTES)
        lull, self._lull = self._lull, chunk[stop:]
        self.heard = True
        pauses = [lull[i : i + CHUNK_BYTES] for i in range(0, len(lull), CHUNK_BYTES)]
        return [*pauses, chunk[start:stop]]


def _sound(chunk: bytes) -> tuple[int | None, int | None]:
    """Return where in a chunk, in bytes, the first audible sample begins and the last one ends."""
    samples = memoryview(chunk).cast("h")
    loud = [i for i, sample in enumerate(samples) if abs(sample) > QUIET]
    return (loud[0] * 2, loud[-1] * 2 + 2) if loud else (None, None)


async def _open(settings: OpenAISynthesizerSettings, weights: Weights) -> OpenAISynthesizer:
    return OpenAISynthesizer(Endpoint.open(settings, provider=NAME, role="synthesizer"), settings)


PLUGIN = Plugin(
    role="synthesizer",
    name=NAME,
    summary="Speaks with any OpenAI-compatible endpoint: OpenAI, Azure, a server of your own.",
    settings=OpenAISynthesizerSettings,
    open=_open,
    about=lambda settings: f"{settings.model} at {settings.base_url}",
)
