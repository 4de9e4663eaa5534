"""Detects DTMF: the sixteen pairs of tones of ITU-T Q.23, received as required by Q.24.

The audio is analysed in blocks of 12.75 ms that overlap by half. Four consecutive blocks make a key: a tone of
40 ms always fills four, a tone of 23 ms never does.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
"""The keys by row and column: the low tone selects the row, the high tone the column."""

_CHECK_SECONDS, _BLOCK_SECONDS = 0.032, 0.01275
_QUIETEST = 100
"""Minimum root mean square of audio that is analysed: about -50 dBFS."""
_SUSPICIOUS = 0.45
"""Minimum share of the tones in the energy of a check: the shortest key fills more than half of one."""
_PURITY = 0.7
"""Minimum share of the two tones in the energy of a block. Tones that are off by 1.5 % leave about 0.8."""
_OVER_OTHERS = 6.3
"""A tone must be 8 dB louder than the others of its group."""
_HIGH_OVER_LOW, _LOW_OVER_HIGH = 2.5, 6.3
"""Twist: the high tone may be 4 dB louder than the low one, or 8 dB softer: lines attenuate high tones."""
_HITS, _MISSES = 4, 5
"""Consecutive blocks that make a key, and that end it: a gap of 10 ms affects four."""


class DtmfDetector:
    """Detects the keys of one caller in a stream of 16-bit mono PCM.

    Every 32 ms a cheap check of the energy at the tones rules out most audio: push that much at a time to know
    immediately whether a key is down.
    """

    def __init__(self, rate: int) -> None:
        """`rate` is the sample rate in Hz, at least 8000."""
        self.held = ""
        self._rate, self._step = rate, 4 * round(rate * _CHECK_SECONDS / 2)
        self._hop = round(rate * _BLOCK_SECONDS / 2)
        self._before = self._new = b""
        self._candidate, self._hits, self._misses = "", 0, 0

    def push(self, sound: bytes) -> str:
        """Analyse whole samples; return the keys that were pressed, usually none.

        `held` is the key that is down at the end.
        """
        sound = self._new + sound
        whole = len(sound) // self._step * self._step
        self._new = sound[whole:]
        return "".join(self._check(sound[at : at + self._step]) for at in range(0, whole, self._step))

    def _check(self, sound: bytes) -> str:
        if self.held or self._candidate or _is_suspicious(sound, self._rate):
            return self._examine(self._before + sound)
        self._before = sound
        return ""

    def _examine(self, sound: bytes) -> str:
        """Analyse block by block; an incomplete block is kept for the next call."""
        import numpy as np

        samples = np.frombuffer(sound, "<i2").astype(np.float32)
        blocks = np.lib.stride_tricks.sliding_window_view(samples, 2 * self._hop)[:: self._hop]
        self._before = sound[2 * self._hop * len(blocks) :]
        power, energy = _power(blocks, self._rate)
        return "".join(self._next(_key(tones, most)) for tones, most in zip(power, energy, strict=True))

    def _next(self, key: str) -> str:
        """Process the key of one block; return the key if it counts as pressed now."""
        if self.held and key == self.held:
            self._misses = 0
            return ""
        self._hits = self._hits + 1 if key and key == self._candidate else min(len(key), 1)
        self._candidate = key
        self._misses += 1
        if self._hits == _HITS:
            self.held, self._misses = key, 0
            return key
        if self._misses >= _MISSES:
            self.held = ""
        return ""


def tone(key: str, seconds: float, rate: int, *, loudness: float = 0.5) -> bytes:
    """Return the tone of a key as 16-bit PCM; `loudness` 1 is full scale."""
    import numpy as np

    row, column = divmod(KEYS.index(key), 4)
    turns = 2 * np.pi * np.arange(round(seconds * rate)) / rate
    both = np.sin(LOW[row] * turns) + np.sin(HIGH[column] * turns)
    return bytes(np.rint(both * 16383 * loudness).astype("<i2").tobytes())


@lru_cache(maxsize=8)
def _waves(rate: int, length: int) -> "NDArray[np.float32]":
    """Return this many samples of all tones, as columns of cosines and sines."""
    import numpy as np

    turns = 2 * np.pi * np.outer(np.arange(length), (*LOW, *HIGH)) / rate
    return np.hstack((np.cos(turns), np.sin(turns))).astype(np.float32)


def _is_suspicious(sound: bytes, rate: int) -> bool:
    """Return whether a part of this audio may contain a key."""
    import numpy as np

    samples = np.frombuffer(sound, "<i2").astype(np.float32)
    energy = float(samples @ samples)
    if energy < _QUIETEST**2 * len(samples) * _SUSPICIOUS:
        return False
    half = len(samples) // 2  # with a whole check, tones that are slightly off would not be recognized
    both = (samples.reshape(2, half) @ _waves(rate, half)).ravel()
    return float(both @ both) * 2 > _SUSPICIOUS * energy * half


def _power(blocks: "NDArray[np.float32]", rate: int) -> tuple[list[list[float]], list[float]]:
    """Return for each block the energy of each tone, and the total energy."""
    import numpy as np

    length = blocks.shape[1]
    both = np.square(blocks @ _waves(rate, length))
    power = (both[:, :8] + both[:, 8:]) * (2 / length)
    return power.tolist(), np.square(blocks).sum(axis=1).tolist()


def _key(power: list[float], energy: float) -> str:
    """Return the key with these tones, or an empty string."""
    low, high = power[:4], power[4:]
    loudest, shrillest = max(low), max(high)
    if loudest + shrillest < _PURITY * energy or energy == 0:
        return ""
    if shrillest > _HIGH_OVER_LOW * loudest or loudest > _LOW_OVER_HIGH * shrillest:
        return ""
    if sorted(low)[-2] * _OVER_OTHERS > loudest or sorted(high)[-2] * _OVER_OTHERS > shrillest:
        return ""
    return KEYS[4 * low.index(loudest) + high.index(shrillest)]
