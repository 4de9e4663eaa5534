"""A transcriber behind an OpenAI-compatible `/audio/transcriptions`."""

import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.providers.base import TimedWord, Transcript
from vivavoce.providers.openai.client import ApiClient, ApiSettings, api_plugin
from vivavoce.providers.openai.errors import NO_API, EndpointError, parsed, reason, refused_parameter, web_page


class OpenAITranscriberSettings(ApiSettings, frozen=True, kw_only=True):
    """The model and its endpoint. `partials` enables partial transcripts, each of which is billed.

    `word_times` says that the model can return the times of words, as `whisper-1` can.
    """

    model: str = "gpt-4o-mini-transcribe"
    partials: bool = False
    word_times: bool = False


@dataclass
class OpenAITranscriber:
    """Sends audio to an endpoint for transcription."""

    client: ApiClient
    settings: OpenAITranscriberSettings
    _refused: set[str] = field(default_factory=set)

    @property
    def supports_partials(self) -> bool:
        """Whether partial transcripts are enabled."""
        return self.settings.partials

    @property
    def supported_options(self) -> frozenset[str]:
        """The optional arguments of `transcribe`."""
        return frozenset({"prompt", "temperature"} | ({"words"} if self.settings.word_times else set()))

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def transcribe(
        self,
        audio: bytes,
        *,
        language: str | None = None,
        prompt: str | None = None,
        temperature: float | None = None,
        words: bool = False,
    ) -> Transcript:
        """Return the words in `audio`, which is at `INPUT_RATE`. Raises `ProviderError`."""
        optional = {
            "response_format": "verbose_json" if words else "json",
            "language": language,
            "prompt": prompt,
            "temperature": None if temperature is None else f"{temperature:g}",
            "timestamp_granularities[]": "word" if words else None,
        }
        files = {"file": ("speech.wav", wav(audio), "audio/wav")}
        retries = self.client.retries()
        while True:
            form = {"model": self.settings.model}
            form |= {name: value for name, value in optional.items() if value and name not in self._refused}
            try:
                media_type, body = await self.client.post("audio/transcriptions", data=form, files=files)
                return self._read(media_type, body, language)
            except EndpointError as error:
                optional_names = {"prompt"} if words else {"prompt", "response_format"}
                if name := refused_parameter(error, form.keys() & optional_names):
                    self._refused.add(name)
                else:
                    await retries.wait(error)

    def _read(self, media_type: str, body: bytes, language: str | None) -> Transcript:
        """Return the transcript in a response: JSON, or plain text if that is what it says it is."""
        plain = body.decode("utf-8-sig", errors="replace").strip()
        if media_type.startswith("text/plain") and not plain.startswith(("{", "<")):
            return Transcript(plain, language)
        answer = parsed(body)
        match answer:
            case {"text": str() | None as text}:
                pass
            case {"segments": [*segments]}:
                text = " ".join(str(one.get("text", "")).strip() for one in segments if isinstance(one, dict))
            case str(text) if plain.startswith('"'):
                pass
            case "":
                raise self.client.failure("sent an empty answer", retryable=True)
            case _:
                said = f"{page} and {NO_API}" if (page := web_page(plain)) else reason(answer) or answer
                raise self.client.failure(f"sent something that is no transcript: {said}")
        # some endpoints return the name of the language instead of a code
        found = answer if isinstance(answer, dict) else {}
        code = found.get("language")
        return Transcript(
            (text or "").strip(),
            code.lower() if isinstance(code, str) and len(code) == 2 else language,
            tuple(_timed_words(found.get("words"))),
        )


def _timed_words(words: object) -> Iterator[TimedWord]:
    for one in words if isinstance(words, list) else ():
        match one:
            case {"word": str(word), "start": float() | int() as start, "end": float() | int() as end}:
                yield TimedWord(word.strip(), start, end)
            case _:
                pass


def wav(audio: bytes) -> bytes:
    """Return 16-bit mono PCM at `INPUT_RATE` as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, INPUT_RATE, 0, "NONE", ""))
        writer.writeframes(audio)
    return file.getvalue()


PLUGIN = api_plugin("transcriber", "Transcribes with", OpenAITranscriberSettings, OpenAITranscriber)
