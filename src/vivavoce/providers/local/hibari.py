"""Hibari: an English synthesizer; a clause takes about 20 ms of one core."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ConfigError, ProviderError, alternatives
from vivavoce.providers.registry import Plugin, Weights

if TYPE_CHECKING:
    from vivavoce.audio.samples import Floats

T = TypeVar("T")

CHUNK_BYTES = OUTPUT_RATE // 10 * 2
SEED = 1
"""seed of the voice's noise, so that the same text always sounds the same"""
AUDIBLE, KEEP_SECONDS = 0.003, 0.01
"""silence at both ends that is kept; the rest is cut (about 300 ms before the words, 450 ms after)"""
_LETTER_A = re.compile(r"(?<=\w )A\b|\bA(?= [A-Z]\b)")
"""an A that is a letter, as in "gate A seven", and no article; the voice reads what stands between slashes"""
PAUSE_SECONDS = 0.3
"""silence between two sentences of one text"""
KNEE, CEILING = 0.7, 0.89
"""where limiting of peaks begins, and the maximum of -1 dBFS"""


class HibariSettings(msgspec.Struct, frozen=True):
    """`gain` is multiplied onto the audio: 1.9 brings speech to -20 dBFS.

    A `voice` other than `heart` must be in Hibari's own cache: it is not downloaded.
    """

    voice: str = "heart"
    gain: Annotated[float, msgspec.Meta(gt=0)] = 1.9


class Voice(Protocol):
    """The part of the package's own class that we use."""

    def phonemize(self, text: str) -> Sequence[str]: ...
    def from_phonemes(self, phonemes: str, speed: float, seed: int) -> "Floats": ...


class Hibari:
    """The loaded voice. One sentence is synthesized at a time; further ones wait."""

    speeds, languages = (0.5, 2.0), ("en",)

    def __init__(self, voice: Voice, gain: float) -> None:
        self._voice, self._gain = voice, gain
        self._one_at_a_time = CapacityLimiter(1)

    async def speak(self, text: str, *, voice: str | None = None, speed: float = 1.0) -> AsyncIterator[bytes]:
        """Yield `text` as speech in chunks of 100 ms, sentence by sentence; nothing if it has no words.

        There is only one voice: `voice` is ignored. `speed` is 0.5 to 2. Raises `ProviderError` for a text that
        cannot be read. When cancelled, at most one sentence is computed in vain.
        """
        speed = min(max(speed, self.speeds[0]), self.speeds[1])
        pause = b""
        for sentence in await self._in_turn(partial(self._sentences, text)):
            pcm = await self._in_turn(partial(self._synthesize, sentence, speed))
            if pcm:
                pcm, pause = pause + pcm, bytes(int(PAUSE_SECONDS * OUTPUT_RATE) * 2)
            for at in range(0, len(pcm), CHUNK_BYTES):
                yield pcm[at : at + CHUNK_BYTES]

    async def _in_turn(self, work: partial[T]) -> T:
        try:
            return await to_thread.run_sync(work, limiter=self._one_at_a_time, abandon_on_cancel=True)
        except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
            raise ProviderError("hibari", f"cannot read this aloud: {error}") from error

    def _sentences(self, text: str) -> Sequence[str]:
        text = _LETTER_A.sub("[A](/ˈA/)", text)
        return self._voice.phonemize(text) if any(char.isalnum() for char in text) else ()

    def _synthesize(self, phonemes: str, speed: float) -> bytes:
        from vivavoce.audio.samples import limited, to_pcm, trimmed

        audio = self._voice.from_phonemes(phonemes, speed=speed, seed=SEED)
        words, _ = trimmed(audio, OUTPUT_RATE, AUDIBLE, KEEP_SECONDS)
        return to_pcm(limited(words * self._gain, KNEE, CEILING))


def _path(name: str) -> Path:
    """Return the file of a voice. Raises `ConfigError` if there is none, or `ImportError`."""
    from hibari.voices import VOICES, voice_path

    if name not in VOICES:
        raise ConfigError(f"[synthesizer] Hibari has no voice {name!r}; {alternatives(name, VOICES)}.")
    try:
        return Path(voice_path(name, download_missing=False))
    except FileNotFoundError as error:
        problem = f"[synthesizer] The voice {name!r} is not at {error}"
        raise ConfigError(f"{problem}; write voice = 'heart', which comes with Hibari.") from error


def _check(settings: HibariSettings) -> None:
    with suppress(ImportError):  # that the package is missing is said elsewhere
        _path(settings.voice)


def _load(name: str) -> Voice:
    try:
        from hibari import Hibari as Model
    except ImportError as error:
        raise ConfigError("Local synthesizers need the extra: pip install 'vivavoce[local]'.") from error
    voice: Voice = Model(voice=name, model=str(_path(name)), threads=1)
    return voice


async def open_hibari(settings: HibariSettings, weights: Weights) -> Hibari:
    """Load the voice and use it once, so that the first answer is not slow."""
    hibari = Hibari(await to_thread.run_sync(_load, settings.voice), settings.gain)
    async for _ in hibari.speak("Hello."):
        pass
    return hibari


PLUGIN = Plugin(
    role="synthesizer",
    name="hibari",
    summary="Speaks English. Runs on this machine.",
    settings=HibariSettings,
    open=open_hibari,
    about=lambda settings: f"Hibari ({settings.voice}), on this machine, English only",
    extra="local",
    packages=("numpy", "onnxruntime", "hibari"),
    languages=("en",),
    voices=lambda settings: (settings.voice,),
    check=_check,
)
