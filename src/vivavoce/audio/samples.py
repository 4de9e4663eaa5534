"""Audio as floats from -1 to 1, for local models. Needs numpy: import it where a model is used."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

LEVEL, MAX_GAIN, CLICK = 0.5, 50.0, 320


def samples(pcm: bytes) -> Floats:
    """Read 16-bit little-endian PCM; half a sample at the end is dropped."""
    return np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float32) / np.float32(32768)


def to_pcm(sound: Floats) -> bytes:
    """Return 16-bit little-endian PCM; values beyond full scale are clipped."""
    return (np.clip(sound, -1, 1) * np.float32(32767)).astype("<i2").tobytes()


def to_int16(sound: Floats) -> NDArray[np.int16]:
    """Return floats as 16-bit samples, rounded, so that what was 16-bit before is the same again."""
    whole: NDArray[np.int16] = np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2")
    return whole


def normalized(sound: Floats) -> Floats:
    """Return `sound` without its mean, scaled so that its 99.9th percentile is at half of full scale.

    A click, 12 dB louder than all but three frames of 20 ms at 16 kHz, does not count, and is clipped.
    """
    if not len(sound):
        return sound
    sound = sound - sound.mean(dtype=np.float32)
    loud = float(np.quantile(np.abs(sound), 0.999))
    peaks = np.abs(sound[: len(sound) // CLICK * CLICK]).reshape(-1, CLICK).max(axis=1)
    if len(peaks) > 8 and (sustained := float(np.partition(peaks, -4)[-4])) < loud / 4:
        loud = sustained
    leveled: Floats = np.clip(sound * np.float32(min(MAX_GAIN, LEVEL / max(loud, 1e-9))), -1, 1)
    return leveled


def split(sound: Floats, rate: int, seconds: float) -> Iterator[Floats]:
    """Split `sound` into pieces of at most `seconds`, at the quietest 0.2 s of their second half."""
    most, quiet = int(seconds * rate), rate // 5
    while len(sound) > most:
        energy = np.concatenate(([0.0], np.cumsum(np.square(sound[most // 2 : most], dtype=np.float64))))
        cut = most // 2 + int(np.argmin(energy[quiet:] - energy[:-quiet])) + quiet // 2
        yield sound[:cut]
        sound = sound[cut:]
    yield sound


def trimmed(sound: Floats, rate: int, threshold: float, margin: float) -> tuple[Floats, float]:
    """Trim silence (below `threshold`) at both ends to `margin` seconds.

    Also returns how many seconds were trimmed at the end. A sound that is all silence becomes empty.
    """
    loud = np.flatnonzero(np.abs(sound) >= threshold)
    if not len(loud):
        return sound[:0], len(sound) / rate
    keep = int(margin * rate)
    start, end = max(0, int(loud[0]) - keep), min(len(sound), int(loud[-1]) + 1 + keep)
    return sound[start:end], (len(sound) - end) / rate


def limited(sound: Floats, knee: float, ceiling: float) -> Floats:
    """Return `sound` with peaks above `knee` limited softly to `ceiling`."""
    room = ceiling - knee
    over = np.maximum(np.abs(sound) - knee, 0)
    return (np.clip(sound, -knee, knee) + np.sign(sound) * room * np.tanh(over / room)).astype(np.float32)
