"""Where a recording is audible, and where somebody speaks in it. Audio is 16-bit little-endian mono PCM."""

from array import array

AUDIBLE = 500
"""Amplitude from which a sample counts as audible: -36 dBFS."""
_FRAME_SECONDS = 0.02
_QUIETEST, _SHARE = 150, 20
"""a frame is speech if its peak is at least 150, and a twentieth of the loudest"""


def audible_in(audio: bytes, rate: int) -> tuple[float, float] | None:
    """Return the seconds at which `audio` becomes audible, and ceases to be; None if it never is."""
    import numpy as np

    loud = np.flatnonzero(np.abs(np.frombuffer(audio, "<i2", len(audio) // 2).astype(np.int32)) > AUDIBLE)
    return (float(loud[0]) / rate, float(loud[-1] + 1) / rate) if len(loud) else None


def speech_in(audio: bytes, rate: int) -> tuple[float, float]:
    """Return when speech begins and ends, in seconds, by the peaks of frames of 20 ms; 0 and 0 without any."""
    samples = array("h", audio)
    size = round(rate * _FRAME_SECONDS)
    peaks = [max(map(abs, samples[start : start + size])) for start in range(0, len(samples), size)]
    loud = [index for index, peak in enumerate(peaks) if peak >= max(_QUIETEST, max(peaks) / _SHARE)]
    return (loud[0] * _FRAME_SECONDS, (loud[-1] + 1) * _FRAME_SECONDS) if loud else (0.0, 0.0)
