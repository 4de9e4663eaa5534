"""Scripted providers: deterministic, without models, for tests of clients and load tests.

The transcriber measures the duration of speech, the chat model follows simple instructions (`script`), the
synthesizer plays a tone for each word, and each takes exactly as long as its settings define.
"""

import math
import re
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated

import anyio
import anyio.lowlevel
import msgspec

from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.errors import ProviderError
from vivavoce.protocol.items import Message
from vivavoce.providers.base import ChatRequest, ChatUsage, TimedWord, ToolCall, Transcript, WordTiming
from vivavoce.providers.dialogue import content_text
from vivavoce.providers.registry import Plugin, without_weights
from vivavoce.providers.scripted.script import plan
from vivavoce.providers.scripted.tool_calls import NO_WORDS

Milliseconds = Annotated[float, msgspec.Meta(ge=0)]


class TranscriberSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The output of the scripted transcriber.

    `text` is the transcript of all speech; without it, the entry of `transcripts` whose seconds are nearest to
    those of the speech (`{"1.7" = "How old is the Brooklyn Bridge?"}`); without both, the seconds of speech.
    """

    delay_ms: Milliseconds = 100
    text: str = ""
    transcripts: dict[str, str] = {}


class ScriptedTranscriber:
    """Returns the seconds of speech, or the text of its settings."""

    supported_options = frozenset({"prompt", "words"})

    def __init__(self, settings: TranscriberSettings | None = None) -> None:
        self._settings = settings or TranscriberSettings()
        self._transcripts = {float(seconds): text for seconds, text in self._settings.transcripts.items()}

    @property
    def supports_partials(self) -> bool:
        """Whether partial transcripts are right, which they are not if the text depends on the seconds."""
        return not self._transcripts

    async def transcribe(
        self,
        audio: bytes,
        *,
        language: str | None = None,
        prompt: str | None = None,
        words: bool = False,
    ) -> Transcript:
        """Return the text, empty if there is no speech. Its `words` take the same time each.

        A client can choose it with a `prompt` (`audio.input.transcription.prompt`) of the form
        `Heard: my name is Ada`.
        """
        await anyio.sleep(self._settings.delay_ms / 1000)
        seconds = seconds_spoken(audio)
        if not seconds:
            return Transcript("", language)
        text = self._text(seconds, prompt)
        if not words:
            return Transcript(text, language or "en")
        each = len(audio) / 2 / INPUT_RATE / max(1, len(text.split()))
        timed = [TimedWord(word, each * n, each * (n + 1)) for n, word in enumerate(text.split())]
        return Transcript(text, language or "en", timed)

    def _text(self, seconds: float, prompt: str | None) -> str:
        if prompt and (match := re.match(r"\s*heard:\s*(.+)", prompt, re.IGNORECASE | re.DOTALL)):
            return match[1].strip()
        if self._settings.text:
            return self._settings.text
        if self._transcripts:
            return self._transcripts[min(self._transcripts, key=lambda known: abs(known - seconds))]
        return f"{NO_WORDS} {seconds} seconds."


STRIDE = 8  # every eighth sample is enough to find the loud ones, and costs an eighth
BLOCK = INPUT_RATE // STRIDE // 50
QUIET = 300
SHORTEST = 0.1


def seconds_spoken(audio: bytes) -> float:
    """Return the seconds from the first to the last loud 20 ms, rounded to 0.1; 0.0 if there are none.

    `audio` is PCM16 at `INPUT_RATE`. Loud means a tenth of the maximum, and at least -41 dBFS, so that the
    silence around speech, which depends on when the transcriber is called, does not count.
    """
    samples = array("h", audio[: len(audio) // 2 * 2])[::STRIDE]
    peaks = [
        max(max(block), -min(block)) for i in range(0, len(samples), BLOCK) if (block := samples[i : i + BLOCK])
    ]
    if not peaks or max(peaks) < QUIET:
        return 0.0
    loud = [i for i, peak in enumerate(peaks) if peak >= max(QUIET, max(peaks) / 10)]
    seconds = round((loud[-1] + 1 - loud[0]) * BLOCK * STRIDE / INPUT_RATE, 1)
    return seconds if seconds >= SHORTEST else 0.0


class ChatSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The speed of the scripted chat model; 0 tokens per second means without delay."""

    first_token_ms: Milliseconds = 100
    tokens_per_second: Annotated[float, msgspec.Meta(ge=0)] = 50


@dataclass(frozen=True)
class ScriptedChat:
    """Follows simple instructions, and describes images by their size. A word counts as a token."""

    supports_images = True
    settings: ChatSettings = field(default_factory=ChatSettings)

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Yield the reply of `script.plan`, at the speed of the settings.

        Raises `ProviderError` if the plan says so, and waits until it is cancelled if it is to stay silent.
        """
        due = anyio.current_time() + self.settings.first_token_ms / 1000
        await anyio.sleep_until(due)
        planned = plan(request)
        messages = (item for item in request.items if isinstance(item, Message))
        texts = [request.instructions, *(content_text(message.content) for message in messages)]
        words = re.findall(r"\s*\S+", planned.text)
        kept = words if request.max_tokens is None else words[: request.max_tokens]
        for word in kept:
            await anyio.sleep_until(due)
            yield word
            due += 1 / self.settings.tokens_per_second if self.settings.tokens_per_second else 0
        if planned.ending == "fail":
            raise ProviderError("scripted", "failed, as it was instructed to")
        if planned.ending == "silence":
            await anyio.sleep_forever()
        for call in planned.calls:
            yield call
        yield ChatUsage(
            input_tokens=sum(len(text.split()) for text in texts),
            output_tokens=len(kept) + sum(1 + len(call.arguments.split()) for call in planned.calls),
            finish="stop" if kept == words else "length",
        )


class SynthesizerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The speed of the scripted synthesizer: the delay before the first sound, and the time per letter."""

    delay_ms: Milliseconds = 50
    letter_ms: Milliseconds = 65


@dataclass(frozen=True)
class ScriptedSynthesizer:
    """Plays a tone for each word, in proportion to its length, with gaps. The voice's name sets the pitch."""

    settings: SynthesizerSettings = field(default_factory=SynthesizerSettings)

    async def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        """Yield a `WordTiming` before each word, and its tone in chunks of 100 ms, without delay."""
        await anyio.sleep(self.settings.delay_ms / 1000)
        letter = round(OUTPUT_RATE * self.settings.letter_ms / 1000 / speed)
        words = list(re.finditer(r"\S+", text))
        starts = [*(word.start() for word in words[1:]), words[-1].end() if words else 0]
        for word, after in zip(words, starts, strict=False):
            yield WordTiming(word.start())
            gap = letter * (after - word.end())
            audio = _tone(_pitch(voice, len(word[0])), letter * len(word[0])) + bytes(2 * gap)
            for start in range(0, len(audio), CHUNK):
                await anyio.lowlevel.checkpoint()
                yield audio[start : start + CHUNK]


CHUNK = OUTPUT_RATE // 10 * 2
LOUDNESS = 0.1 * 32768 * math.sqrt(2)  # -20 dBFS
HARMONICS = (1.0, 0.6, 0.4, 0.2)
FADE = OUTPUT_RATE // 100
STEPS = (1.0, 9 / 8, 5 / 4, 3 / 2)


def _pitch(voice: str | None, letters: int) -> int:
    """Return the pitch in Hz: by the voice's name from 110 to 220, and higher on a scale for longer words."""
    base = 110 + sum(map(ord, voice or "")) * 7 % 111
    return round(base * STEPS[letters % len(STEPS)])


@lru_cache(maxsize=16)
def _one_second(pitch: int) -> "array[int]":
    """Return one second of the tone, which repeats seamlessly because its pitch is an integer."""
    norm = LOUDNESS / math.sqrt(sum(part * part for part in HARMONICS))
    turn = 2 * math.pi * pitch / OUTPUT_RATE
    return array(
        "h",
        (
            round(norm * sum(part * math.sin(turn * n * i) for n, part in enumerate(HARMONICS, start=1)))
            for i in range(OUTPUT_RATE)
        ),
    )


@lru_cache(maxsize=128)
def _tone(pitch: int, samples: int) -> bytes:
    """Return this many samples of the tone, with a fade of 10 ms at both ends."""
    second = _one_second(pitch)
    tone = (second * (samples // len(second) + 1))[:samples]
    fade = min(FADE, samples // 2)
    for i in range(fade):
        tone[i] = tone[i] * i // fade
        tone[samples - 1 - i] = tone[samples - 1 - i] * i // fade
    return tone.tobytes()


class TurnSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The scripted turn detector's probability: `over`, or 0 before `patience_seconds` of speech."""

    delay_ms: Milliseconds = 20
    over: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    patience_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0


@dataclass(frozen=True)
class ScriptedTurnDetector:
    """Returns a fixed probability."""

    settings: TurnSettings = field(default_factory=TurnSettings)

    async def predict_end_of_turn(self, audio: bytes) -> float:
        """Return the setting `over`, or 0.0 before `patience_seconds` of speech."""
        await anyio.sleep(self.settings.delay_ms / 1000)
        patient = self.settings.patience_seconds and seconds_spoken(audio) < self.settings.patience_seconds
        return 0.0 if patient else self.settings.over


TRANSCRIBER = Plugin(
    role="transcriber",
    name="scripted",
    summary="Writes how long there was speech; knows no words. For tests and load.",
    settings=TranscriberSettings,
    open=without_weights(ScriptedTranscriber),
    about=lambda settings: f"a script that knows no words, {settings.delay_ms:g} ms",
)
CHAT = Plugin(
    role="chat",
    name="scripted",
    summary="Follows plain instructions; understands nothing. For tests and load.",
    settings=ChatSettings,
    open=without_weights(ScriptedChat),
    about=lambda settings: (
        f"a script, {settings.first_token_ms:g} ms, then {settings.tokens_per_second:g} words a second"
    ),
)
SYNTHESIZER = Plugin(
    role="synthesizer",
    name="scripted",
    summary="Plays a tone for each word. For tests and load.",
    settings=SynthesizerSettings,
    open=without_weights(ScriptedSynthesizer),
    about=lambda settings: f"tones, {settings.delay_ms:g} ms",
)
TURN = Plugin(
    role="turn",
    name="scripted",
    summary="Always gives the same probability. For tests and load.",
    settings=TurnSettings,
    open=without_weights(ScriptedTurnDetector),
    about=lambda settings: f"always says {settings.over:g}, after {settings.delay_ms:g} ms",
)
