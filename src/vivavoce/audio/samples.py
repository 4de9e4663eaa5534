"""Audio as numbers from -1 to 1, for local models. Needs numpy: import it where a model is used."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

LEVEL, MAX_GAIN = 0.5, 50.0


def samples(pcm: bytes) -> Floats:
    """Read 16-bit little-endian PCM; half a sample at the end is dropped."""
    return np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float32) / np.float32(32768)


def to_pcm(sound: Floats) -> bytes:
    """Return 16-bit little-endian PCM; what is too loud is clipped."""
    return (np.clip(sound, -1, 1) * np.float32(32767)).astype("<i2").tobytes()


def normalized(sound: Floats) -> Floats:
    """Return `sound` so that its loudest thousandth begins at half of full scale."""
    if not len(sound):
        return sound
    loud = float(np.quantile(np.abs(sound), 0.999))
    return sound * np.float32(min(MAX_GAIN, LEVEL / max(loud, 1e-9)))


def split(sound: Floats, rate: int, seconds: float) -> Iterator[Floats]:
    """Cut `sound` into pieces of at most `seconds`, at the quietest fifth of a second of their later half."""
    most, quiet = int(seconds * rate), rate // 5
    while len(sound) > most:
        energy = np.concatenate(([0.0], np.cumsum(np.square(sound[most // 2 : most], dtype=np.float64))))
        cut = most // 2 + int(np.argmin(energy[quiet:] - energy[:-quiet])) + quiet // 2
        yield sound[:cut]
        sound = sound[cut:]
    yield sound


def trimmed(sound: Floats, rate: int, threshold: float, margin: float) -> tuple[Floats, float]:
    """Cut the silence (below `threshold`) at both ends down to `margin` seconds.

    Also return how many seconds were cut at the end. Nothing is left of a sound that is silent all through.
    """
    loud = np.flatnonzero(np.abs(sound) >= threshold)
    if not len(loud):
        return sound[:0], len(sound) / rate
    keep = int(margin * rate)
    start, end = max(0, int(loud[0]) - keep), min(len(sound), int(loud[-1]) + 1 + keep)
    return sound[start:end], (len(sound) - end) / rate


def limited(sound: Floats, knee: float, ceiling: float) -> Floats:
    """Return `sound` with its peaks above `knee` bent so that none reaches `ceiling`; the rest stays."""
    room = ceiling - knee
    over = np.maximum(np.abs(sound) - knee, 0)
    return (np.clip(sound, -knee, knee) + np.sign(sound) * room * np.tanh(over / room)).astype(np.float32)
