"""Hibari: an English voice inside its own package; a clause takes it some 20 ms of one core."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread
import msgspec

from vivavoce.errors import ConfigError, ProviderError
from vivavoce.providers import SPEAKING_RATE
from vivavoce.providers.registry import Plugin, Weights

if TYPE_CHECKING:
    from vivavoce.providers.sound import Floats

__all__ = ["PLUGIN", "Hibari", "HibariSettings"]

CHUNK = SPEAKING_RATE // 10
SEED = 1
AUDIBLE = 0.01
KEEP = SPEAKING_RATE // 100
CEILING = 0.89
SLOWEST, FASTEST = 0.5, 2.0


class HibariSettings(msgspec.Struct, frozen=True):
    """`gain` is multiplied onto the voice, which by itself is some 26 dB below full scale."""

    voice: str = "heart"
    gain: float = 2.0


class _Voice(Protocol):
    def __call__(self, text: str, *, speed: float, seed: int) -> "Floats": ...


class Hibari:
    """The loaded voice. One clause is spoken at a time; others wait their turn."""

    def __init__(self, voice: _Voice, settings: HibariSettings) -> None:
        self._voice, self._gain = voice, settings.gain
        self._turn = anyio.CapacityLimiter(1)

    async def speak(self, text: str, *, voice: str | None = None, speed: float = 1.0) -> AsyncIterator[bytes]:
        """Say `text`. There is one voice: `voice` is a wish that others can fulfil."""
        speed = min(max(speed, SLOWEST), FASTEST)
        pcm = await anyio.to_thread.run_sync(self._say, text, speed, limiter=self._turn, abandon_on_cancel=True)
        for at in range(0, len(pcm), 2 * CHUNK):
            yield pcm[at : at + 2 * CHUNK]

    def _say(self, text: str, speed: float) -> bytes:
        try:
            sound = self._voice(text, speed=speed, seed=SEED)
        except (ValueError, RuntimeError, IndexError) as error:
            raise ProviderError("hibari", f"cannot say {text[:40]!r}: {error}") from error
        return _pcm(sound, self._gain)


def _pcm(sound: "Floats", gain: float) -> bytes:
    """Cut the silence around the words (300 ms before, 400 after), raise the level, and round off the peaks."""
    import numpy as np

    level = np.abs(sound)
    audible = np.flatnonzero(level > AUDIBLE * level.max(initial=0.0))
    if not len(audible):
        return b""
    words = sound[max(0, audible[0] - KEEP) : audible[-1] + KEEP] * gain
    pcm: bytes = (np.tanh(words / CEILING) * CEILING * 32767).astype("<i2").tobytes()
    return pcm


async def open_hibari(settings: HibariSettings, weights: Weights) -> Hibari:
    """Load the voice and let it say something, so that the first answer is not slow."""
    try:
        from hibari import Hibari as Model
    except ImportError as error:
        raise ConfigError("Voices that speak here need the extra: pip install 'vivavoce[local]'.") from error
    model = await anyio.to_thread.run_sync(partial(Model, voice=settings.voice, threads=1))
    hibari = Hibari(model, settings)
    async for _ in hibari.speak("Hello."):
        pass
    return hibari


PLUGIN = Plugin(
    role="synthesizer",
    name="hibari",
    summary="Speaks English. Runs here.",
    settings=HibariSettings,
    open=open_hibari,
    about=lambda settings: f"Hibari ({settings.voice}), on this machine",
    extra="local",
)
