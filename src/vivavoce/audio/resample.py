"""Resamples live audio by a short polyphase filter, whose delay adds to the latency of a response."""

from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DELAY_MS = 1.4
"""The delay of the filter: half its length, which is `2 * DELAY_MS` long."""

_ATTENUATION = 7.0
"""Kaiser's beta: what cannot be kept is some 70 dB down."""

_UNIT = 1 << 20
"""A weight of one. Whole weights times whole samples add up exactly, in any order."""

_BLOCK = 1 << 15
"""Bytes that are worked on at a time: many windows lie over each sample, and all of them are written out."""


class Resampler:
    """Resamples 16-bit little-endian mono PCM as it comes; however it is cut, the samples are the same.

    Rates are in Hz. Nothing is lost at the end but the `DELAY_MS` that are still in the filter.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        """Resample from one rate to another."""
        import numpy as np

        common = gcd(rate_in, rate_out)
        self._step, self._same = rate_in // common, rate_in == rate_out
        self._filter = _filter(rate_out // common, self._step, _late(rate_out))
        self._window: NDArray[np.float64] = np.zeros(len(self._filter) - self._step)

    def push(self, audio: bytes) -> bytes:
        """Push whole samples and return those that can be computed by now; half a sample is a `ValueError`."""
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
    """Resample a whole recording, all of it: nothing is left in the filter, nothing is late."""
    if rate_in == rate_out or not audio:
        return audio
    rest = bytes(2 * (int(rate_in * 2 * DELAY_MS / 1000) + rate_in // gcd(rate_in, rate_out)))
    late = _late(rate_out)
    length = len(audio) // 2 * rate_out // rate_in
    return Resampler(rate_in, rate_out).push(audio + rest)[2 * late : 2 * (late + length)]


def _late(rate_out: int) -> int:
    """Return by how many samples of the outgoing audio the filter is late."""
    return round(rate_out * DELAY_MS / 1000)


@lru_cache(maxsize=32)
def _filter(up: int, down: int, late: int) -> "NDArray[np.float64]":
    """Return the matrix by which a window of samples becomes the next `up` ones; then it moves on by `down`.

    Its columns are the phases of one low-pass filter (Crochiere and Rabiner, Multirate Digital Signal
    Processing, 1983, chapter 3), in whole numbers of `_UNIT`.
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
        newest = reach - down + phase * down // up  # the last input sample that this output knows
        taps = low_pass[phase * down % up :: up]
        matrix[newest - np.arange(len(taps)), phase] = taps
    whole: NDArray[np.float64] = np.rint(matrix * _UNIT)
    return whole
