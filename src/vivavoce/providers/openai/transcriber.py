"""A transcriber behind any OpenAI-compatible `/audio/transcriptions`."""

import struct
from dataclasses import dataclass

import msgspec

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.providers.base import Transcript
from vivavoce.providers.openai.http import Endpoint, EndpointSettings
from vivavoce.providers.registry import Plugin, Weights

__all__ = ["PLUGIN", "OpenAITranscriber", "OpenAITranscriberSettings", "wav"]

NAME = "openai"


class OpenAITranscriberSettings(EndpointSettings, frozen=True, kw_only=True):
    """Which model, and where. `partials` asks it during speech too, which is charged for each time."""

    model: str = "gpt-4o-mini-transcribe"
    partials: bool = False


class _Answer(msgspec.Struct, frozen=True):
    text: str
    language: str | None = None


@dataclass
class OpenAITranscriber:
    """Asks an endpoint what was said."""

    endpoint: Endpoint
    settings: OpenAITranscriberSettings

    @property
    def supports_partials(self) -> bool:
        """Whether it may be asked for partial transcripts."""
        return self.settings.partials

    async def aclose(self) -> None:
        """Hang up all connections."""
        await self.endpoint.aclose()

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        """Write down what is said in `audio`, at `INPUT_RATE`. Raises `ProviderError`."""
        given = {"language": language, "prompt": prompt}
        form = {"model": self.settings.model, "response_format": "json"}
        form |= {name: value for name, value in given.items() if value}
        files = {"file": ("speech.wav", wav(audio), "audio/wav")}
        body = await self.endpoint.post("audio/transcriptions", data=form, files=files)
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError as error:
            raise self.endpoint.failure(f"sent something that is no transcript: {error}") from error
        # some endpoints name the language in words, which is no code
        code = answer.language if answer.language and len(answer.language) == 2 else language
        return Transcript(answer.text.strip(), code)


def wav(audio: bytes) -> bytes:
    """Return 16-bit mono sound at `INPUT_RATE` as a WAV file."""
    head = b"RIFF" + struct.pack("<I", 36 + len(audio)) + b"WAVEfmt "
    shape = struct.pack("<IHHIIHH", 16, 1, 1, INPUT_RATE, INPUT_RATE * 2, 2, 16)
    return head + shape + b"data" + struct.pack("<I", len(audio)) + audio


async def _open(settings: OpenAITranscriberSettings, weights: Weights) -> OpenAITranscriber:
    return OpenAITranscriber(Endpoint.open(settings, provider=NAME, role="transcriber"), settings)


PLUGIN = Plugin(
    role="transcriber",
    name=NAME,
    summary="Transcribes with any OpenAI-compatible endpoint: OpenAI, Azure, a server of your own.",
    settings=OpenAITranscriberSettings,
    open=_open,
    about=lambda settings: f"{settings.model} at {settings.base_url}",
)
