"""Resamples audio streams by a short polyphase filter, since its delay adds to the response latency."""

from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DELAY_MS = 2.5
"""The delay of the filter in ms: half its length."""

_ATTENUATION = 8.5
"""Kaiser's beta: aliases and images are attenuated by at least 85 dB, from 0.3 kHz beyond the band on."""

_UNIT = 1 << 20
"""The integer for a weight of 1. Integer weights and samples add up exactly, in any order."""

_BLOCK = 1 << 15
"""Bytes that are processed at once: the overlapping windows need much more memory than the samples."""


class Resampler:
    """Resamples a stream of 16-bit little-endian mono PCM; the result does not depend on how it is split.

    Rates are in Hz. At the end, `DELAY_MS` of audio remain in the filter.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        """Resample from one rate to another."""
        import numpy as np

        common = gcd(rate_in, rate_out)
        self._step, self._same = rate_in // common, rate_in == rate_out
        self._filter = _filter(rate_out // common, self._step, _late(rate_out))
        self._window: NDArray[np.float64] = np.zeros(len(self._filter) - self._step)

    def push(self, audio: bytes) -> bytes:
        """Push whole samples; return those that can be computed now. Raises `ValueError` for half a sample."""
        if self._same:
            return audio
        return b"".join(self._push(audio[at : at + _BLOCK]) for at in range(0, len(audio), _BLOCK))

    def _push(self, audio: bytes) -> bytes:
        import numpy as np

        window = np.concatenate((self._window, np.frombuffer(audio, "<i2")), dtype=np.float64)
        reach = len(self._filter)
        steps = (len(window) - reach) // self._step + 1
        self._window = window[max(steps, 0) * self._step :].copy()
        if steps < 1:
            return b""
        strides = (self._step * window.itemsize, window.itemsize)
        windows = np.ndarray((steps, reach), np.float64, window, 0, strides)
        out = np.rint(np.ascontiguousarray(windows) @ self._filter / _UNIT)
        samples: NDArray[np.int16] = np.clip(out, -32768, 32767).astype("<i2")
        return samples.tobytes()


def resample(audio: bytes, rate_in: int, rate_out: int) -> bytes:
    """Resample a complete recording, without delay or loss at its end."""
    if rate_in == rate_out or not audio:
        return audio
    rest = bytes(2 * (int(rate_in * 2 * DELAY_MS / 1000) + rate_in // gcd(rate_in, rate_out)))
    late = _late(rate_out)
    length = len(audio) // 2 * rate_out // rate_in
    return Resampler(rate_in, rate_out).push(audio + rest)[2 * late : 2 * (late + length)]


def _late(rate_out: int) -> int:
    """Return the delay of the filter, in samples of the output."""
    return round(rate_out * DELAY_MS / 1000)


@lru_cache(maxsize=32)
def _filter(up: int, down: int, late: int) -> "NDArray[np.float64]":
    """Return the matrix that maps a window of samples to the next `up` ones; the window then moves by `down`.

    Its columns are the phases of one low-pass filter (Crochiere and Rabiner, Multirate Digital Signal
    Processing, 1983, chapter 3), as integers in units of 1/`_UNIT`.
    """
    import numpy as np

    half = late * down
    cutoff = 0.46 / max(up, down)
    at = np.arange(-half, half + 1)
    low_pass = 2 * cutoff * np.sinc(2 * cutoff * at) * np.kaiser(len(at), _ATTENUATION)
    low_pass *= up / low_pass.sum()
    reach = -(-len(low_pass) // up) + down
    matrix = np.zeros((reach, up))
    for phase in range(up):
        newest = reach - down + phase * down // up  # the last input sample that this output uses
        taps = low_pass[phase * down % up :: up]
        matrix[newest - np.arange(len(taps)), phase] = taps
    whole: NDArray[np.float64] = np.rint(matrix * _UNIT)
    return whole
