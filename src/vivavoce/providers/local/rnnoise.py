"""RNNoise: noise reduction in frames of 10 ms, which takes about 30 ms of one core per second of audio.

The network (Valin, A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement, 2018; version
0.2 of the library) works at 48 kHz. Only the package's shared library is loaded, not its Python code, which
needs a plotting package. Part of the original audio is mixed in: models that were trained on noisy speech
understand less of audio that sounds clean to people.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from weakref import finalize

import msgspec
from anyio import to_thread

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.errors import ConfigError
from vivavoce.protocol.session import NoiseReduction
from vivavoce.providers.registry import Plugin, Weights

PACKAGE = "pyrnnoise"
LIBRARIES = ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")
RATE = 48_000
FRAME = 480
LATE = 2 * FRAME
"""delay of the network in samples"""
AHEAD = 2 * (INPUT_RATE // 100 + 16)
"""bytes of silence before the first output, so that each call can return as many bytes as it gets"""


class RNNoiseSettings(msgspec.Struct, frozen=True):
    """`rest` is the share of the original audio that is mixed in, from 0 (none) to 1 (all)."""

    rest: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5


@dataclass(frozen=True)
class RNNoise:
    """The loaded library."""

    library: ctypes.CDLL
    settings: RNNoiseSettings

    def denoiser(self, reduction: NoiseReduction) -> "RNNoiseDenoiser":
        """Return the denoiser of a conversation. This network does not distinguish near and far field."""
        strength = 1.0 if reduction.strength is msgspec.UNSET else reduction.strength
        return RNNoiseDenoiser(self.library, strength * (1 - self.settings.rest))


class RNNoiseDenoiser:
    """The denoiser of one conversation; its output is 36 ms late."""

    def __init__(self, library: ctypes.CDLL, share: float) -> None:
        """Remove the share `share` (0 to 1) of the noise that the network finds."""
        import numpy as np

        self._process: Callable[[int, int, int], float] = library.rnnoise_process_frame
        self._state: int = library.rnnoise_create(None)
        finalize(self, library.rnnoise_destroy, self._state)
        self._share = np.float32(share)
        self._up, self._down = Resampler(INPUT_RATE, RATE), Resampler(RATE, INPUT_RATE)
        self._pending = np.zeros(0, np.float32)
        self._before = np.zeros(LATE, np.float32)
        self._ready = bytes(AHEAD)

    def denoise(self, audio: bytes) -> bytes:
        """Return as many bytes as are passed, PCM at `INPUT_RATE`."""
        import numpy as np

        new = np.frombuffer(self._up.push(audio), "<i2").astype(np.float32)
        pending = np.concatenate((self._pending, new))
        whole = len(pending) // FRAME * FRAME
        noisy, self._pending = pending[:whole], pending[whole:]
        cleaned = np.empty_like(noisy)
        for at in range(0, noisy.nbytes, FRAME * noisy.itemsize):
            self._process(self._state, cleaned.ctypes.data + at, noisy.ctypes.data + at)
        early = np.concatenate((self._before, noisy))
        self._before = early[whole:]
        mixed = early[:whole] + self._share * (cleaned - early[:whole])
        self._ready += self._down.push(np.clip(np.rint(mixed), -32768, 32767).astype("<i2").tobytes())
        ready, self._ready = self._ready[: len(audio)], self._ready[len(audio) :]
        return ready


def _find() -> Path:
    """Find the library in its package, without importing that."""
    spec = find_spec(PACKAGE)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    for path in (Path(folder) / name for folder in folders for name in LIBRARIES):
        if path.is_file():
            return path
    raise ConfigError(
        f"[denoiser] rnnoise: the package {PACKAGE} is not installed, or has no library for this machine; "
        "write: pip install 'vivavoce[denoise]', or provider = \"none\"."
    )


def _load() -> ctypes.CDLL:
    """Load the library and declare the types of its functions."""
    try:
        library = ctypes.CDLL(str(_find()))
    except OSError as error:
        raise ConfigError(f"[denoiser] rnnoise: the library cannot be loaded: {error}") from error
    library.rnnoise_create.argtypes, library.rnnoise_create.restype = [ctypes.c_void_p], ctypes.c_void_p
    library.rnnoise_destroy.argtypes, library.rnnoise_destroy.restype = [ctypes.c_void_p], None
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
    library.rnnoise_process_frame.restype = ctypes.c_float
    return library


async def open_rnnoise(settings: RNNoiseSettings, weights: Weights) -> RNNoise:
    """Load the library and run it once, so that the first frame of a call is not slow."""
    rnnoise = RNNoise(await to_thread.run_sync(_load), settings)
    denoiser = rnnoise.denoiser(NoiseReduction(type="near_field"))
    await to_thread.run_sync(denoiser.denoise, bytes(AHEAD))
    return rnnoise


PLUGIN = Plugin(
    role="denoiser",
    name="rnnoise",
    summary="Reduces noise, for sessions that ask for it. Runs on this machine.",
    settings=RNNoiseSettings,
    open=open_rnnoise,
    about=lambda settings: "RNNoise, on this machine, for sessions that ask for noise_reduction",
    extra="denoise",
    packages=("numpy",),
)
