"""A transcriber behind an OpenAI-compatible `/audio/transcriptions`."""

import io
import wave
from dataclasses import dataclass

import msgspec

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.providers.base import Transcript
from vivavoce.providers.openai.client import ApiClient, ApiSettings, api_plugin


class OpenAITranscriberSettings(ApiSettings, frozen=True, kw_only=True):
    """The model and its endpoint. `partials` enables partial transcripts, each of which is billed."""

    model: str = "gpt-4o-mini-transcribe"
    partials: bool = False


class _Answer(msgspec.Struct, frozen=True):
    text: str
    language: str | None = None


@dataclass
class OpenAITranscriber:
    """Sends audio to an endpoint for transcription."""

    client: ApiClient
    settings: OpenAITranscriberSettings

    @property
    def supports_partials(self) -> bool:
        """Whether partial transcripts are enabled."""
        return self.settings.partials

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        """Return the words in `audio`, which is at `INPUT_RATE`. Raises `ProviderError`."""
        optional = {"language": language, "prompt": prompt}
        form = {"model": self.settings.model, "response_format": "json"}
        form |= {name: value for name, value in optional.items() if value}
        files = {"file": ("speech.wav", wav(audio), "audio/wav")}
        body = await self.client.post("audio/transcriptions", data=form, files=files)
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError as error:
            raise self.client.failure(f"sent something that is no transcript: {error}") from error
        # some endpoints return the name of the language instead of a code
        code = answer.language if answer.language and len(answer.language) == 2 else language
        return Transcript(answer.text.strip(), code)


def wav(audio: bytes) -> bytes:
    """Return 16-bit mono PCM at `INPUT_RATE` as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, INPUT_RATE, 0, "NONE", ""))
        writer.writeframes(audio)
    return file.getvalue()


PLUGIN = api_plugin("transcriber", "Transcribes with", OpenAITranscriberSettings, OpenAITranscriber)
