"""Change the sampling rate of live sound by a short polyphase filter: what is late here is late in the answer."""

from functools import cache
from math import gcd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DELAY_MS", "Resampler", "resample"]

DELAY_MS = 1.4
"""How late sound comes out: half the filter, which is `2 * DELAY_MS` long."""

_ATTENUATION = 7.0
"""Kaiser's beta: what cannot be kept is some 70 dB down."""


class Resampler:
    """Resamples 16-bit little-endian mono PCM as it comes; however it is cut, the samples are the same (but for rounding).

    Rates are in Hz. Nothing is lost at the end but the `DELAY_MS` that are still in the filter.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        """Take sound at one rate, give it at another."""
        import numpy as np

        common = gcd(rate_in, rate_out)
        self._step, self._same = rate_in // common, rate_in == rate_out
        self._filter = _filter(rate_out // common, self._step, rate_in)
        self._heard: NDArray[np.float32] = np.zeros(len(self._filter) - self._step, np.float32)

    def push(self, sound: bytes) -> bytes:
        """Take whole samples and return those that can be computed by now."""
        import numpy as np
        from numpy.lib.stride_tricks import sliding_window_view

        if self._same or not sound:
            return sound
        heard = np.concatenate((self._heard, np.frombuffer(sound, "<i2")), dtype=np.float32)
        reach = len(self._filter)
        steps = (len(heard) - reach) // self._step + 1
        self._heard = heard[steps * self._step :]
        if steps < 1:
            return b""
        windows = sliding_window_view(heard, reach)[:: self._step]
        out = np.rint(np.ascontiguousarray(windows) @ self._filter)
        samples: NDArray[np.int16] = np.clip(out, -32768, 32767).astype("<i2")
        return samples.tobytes()


def resample(sound: bytes, rate_in: int, rate_out: int) -> bytes:
    """Resample a whole recording, all of it: nothing is left in the filter, nothing is late."""
    if rate_in == rate_out or not sound:
        return sound
    rest = bytes(2 * int(rate_in * 2 * DELAY_MS / 1000))
    late = int(rate_out * DELAY_MS / 1000)
    length = len(sound) // 2 * rate_out // rate_in
    return Resampler(rate_in, rate_out).push(sound + rest)[2 * late : 2 * (late + length)]


@cache
def _filter(up: int, down: int, rate_in: int) -> "NDArray[np.float32]":
    """Return the matrix by which a window of samples becomes the next `up` ones; then it moves on by `down`.

    Its columns are the phases of one low-pass filter (Crochiere and Rabiner, Multirate Digital Signal
    Processing, 1983, chapter 3).
    """
    import numpy as np

    half = int(rate_in * up * DELAY_MS / 1000)
    cutoff = 0.46 / max(up, down)
    at = np.arange(-half, half + 1)
    low_pass = 2 * cutoff * np.sinc(2 * cutoff * at) * np.kaiser(len(at), _ATTENUATION)
    low_pass *= up / low_pass.sum()
    reach = -(-len(low_pass) // up) + down
    matrix = np.zeros((reach, up), np.float32)
    for phase in range(up):
        newest = reach - down + phase * down // up  # the last input sample that this output knows
        taps = low_pass[phase * down % up :: up]
        matrix[newest - np.arange(len(taps)), phase] = taps
    return matrix
