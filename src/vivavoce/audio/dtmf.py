"""Detects DTMF: the sixteen pairs of tones of ITU-T Q.23, received as Q.24 requires.

The audio is analysed in blocks of 12.75 ms, each beginning in the middle of the one before. Four in a row make
a key: a tone of 40 ms fills them wherever it begins, one of 23 ms does not.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
"""Row by row: the low tone tells the row, the high tone the column."""

_CHECK_SECONDS, _BLOCK_SECONDS = 0.032, 0.01275
_QUIETEST = 100
"""Root mean square of the quietest audio that is analysed: some -50 dBFS."""
_SUSPICIOUS = 0.45
"""How much of the energy of a check the tones must have: the shortest key fills more than half of one."""
_PURITY = 0.7
"""How much of a block's energy its two tones must have. Tones that are off by 1.5 % leave 0.8, give or take."""
_OVER_OTHERS = 6.3
"""8 dB over the other tones of its group."""
_HIGH_OVER_LOW, _LOW_OVER_HIGH = 2.5, 6.3
"""Twist: the high tone may be 4 dB louder than the low one, or 8 dB softer, for lines swallow high tones."""
_HITS, _MISSES = 4, 5
"""Blocks in a row that make a key, and that end it: a gap of 10 ms spoils four."""


class DtmfDetector:
    """Detects the keys of one caller, in 16-bit mono PCM as it comes.

    Every 32 ms a cheap check of the energy at the tones rules out most audio: push just that much at a time to
    know at once whether a key is down.
    """

    def __init__(self, rate: int) -> None:
        """Detect keys at this sample rate, in Hz, 8000 or more."""
        self.held = ""
        self._rate, self._step = rate, 4 * round(rate * _CHECK_SECONDS / 2)
        self._hop = round(rate * _BLOCK_SECONDS / 2)
        self._before = self._new = b""
        self._candidate, self._hits, self._misses = "", 0, 0

    def push(self, sound: bytes) -> str:
        """Analyse whole samples; return the keys that have been pressed meanwhile, usually none.

        `held` is the key that is down at the end of it.
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
        """Analyse block by block; less than a block is analysed with what follows."""
        import numpy as np

        samples = np.frombuffer(sound, "<i2").astype(np.float32)
        blocks = np.lib.stride_tricks.sliding_window_view(samples, 2 * self._hop)[:: self._hop]
        self._before = sound[2 * self._hop * len(blocks) :]
        power, energy = _power(blocks, self._rate)
        return "".join(self._next(_key(tones, most)) for tones, most in zip(power, energy, strict=True))

    def _next(self, key: str) -> str:
        """Take in what was heard in one block; return the key if it is pressed by now."""
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
    """Return the tone of a key as 16-bit PCM; `loudness` 1 is as loud as it can be."""
    import numpy as np

    row, column = divmod(KEYS.index(key), 4)
    turns = 2 * np.pi * np.arange(round(seconds * rate)) / rate
    both = np.sin(LOW[row] * turns) + np.sin(HIGH[column] * turns)
    return bytes(np.rint(both * 16383 * loudness).astype("<i2").tobytes())


@lru_cache(maxsize=8)
def _waves(rate: int, length: int) -> "NDArray[np.float32]":
    """Return so many samples of every tone, as cosine and as sine: their columns."""
    import numpy as np

    turns = 2 * np.pi * np.outer(np.arange(length), (*LOW, *HIGH)) / rate
    return np.hstack((np.cos(turns), np.sin(turns))).astype(np.float32)


def _is_suspicious(sound: bytes, rate: int) -> bool:
    """Return whether there may be a key in a part of this audio."""
    import numpy as np

    samples = np.frombuffer(sound, "<i2").astype(np.float32)
    energy = float(samples @ samples)
    if energy < _QUIETEST**2 * len(samples) * _SUSPICIOUS:
        return False
    half = len(samples) // 2  # a whole check would not recognize tones that are a little off
    both = (samples.reshape(2, half) @ _waves(rate, half)).ravel()
    return float(both @ both) * 2 > _SUSPICIOUS * energy * half


def _power(blocks: "NDArray[np.float32]", rate: int) -> tuple[list[list[float]], list[float]]:
    """Return for each block the energy of each tone, and of all that is there."""
    import numpy as np

    length = blocks.shape[1]
    both = np.square(blocks @ _waves(rate, length))
    power = (both[:, :8] + both[:, 8:]) * (2 / length)
    return power.tolist(), np.square(blocks).sum(axis=1).tolist()


def _key(power: list[float], energy: float) -> str:
    """Return the key of which these are the tones, "" if they are none's."""
    low, high = power[:4], power[4:]
    loudest, shrillest = max(low), max(high)
    if loudest + shrillest < _PURITY * energy or energy == 0:
        return ""
    if shrillest > _HIGH_OVER_LOW * loudest or loudest > _LOW_OVER_HIGH * shrillest:
        return ""
    if sorted(low)[-2] * _OVER_OTHERS > loudest or sorted(high)[-2] * _OVER_OTHERS > shrillest:
        return ""
    return KEYS[4 * low.index(loudest) + high.index(shrillest)]
