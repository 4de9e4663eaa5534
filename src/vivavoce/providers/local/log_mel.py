"""Whisper's features: 80 bands of logarithmic energy every 10 ms (Radford et al., 2022, section 2.2)."""

from functools import cache
from typing import TYPE_CHECKING

from vivavoce.audio.rates import INPUT_RATE

if TYPE_CHECKING:
    from vivavoce.audio.samples import Floats

FFT, HOP, BANDS = 400, 160, 80
FLOOR = 8.0
"""dynamic range of the features, in decades of power below the loudest"""

AT_ONCE = 16
"""frames multiplied at once: few enough that OpenBLAS uses one thread. Several wait for one another for up to
130 ms when the machine is busy, instead of 0.3"""


def log_mel(sound: "Floats") -> "Floats":
    """Return the features of audio at `INPUT_RATE`, `BANDS` x its length in 10 ms, a multiple of `AT_ONCE`."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    frames = sliding_window_view(np.pad(sound, FFT // 2, mode="reflect"), FFT)[::HOP][:-1]
    hann = np.hanning(FFT + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * hann)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    parts = _mel_bands() @ power.reshape(-1, AT_ONCE, power.shape[1]).transpose(0, 2, 1)
    energy = np.log10(np.maximum(parts.transpose(1, 0, 2).reshape(BANDS, -1), np.float32(1e-10)))
    features: Floats = (np.maximum(energy, energy.max() - FLOOR) + 4) / 4
    return features


@cache
def _mel_bands() -> "Floats":
    """Return Slaney's triangular bands (Auditory Toolbox, 1998): linear to 1 kHz, then logarithmic."""
    import numpy as np

    step, knee = 200 / 3, 1000.0
    ratio = np.log(6.4) / 27
    mels = np.linspace(0, knee / step + np.log(INPUT_RATE / 2 / knee) / ratio, BANDS + 2)
    hertz = np.where(mels < knee / step, mels * step, knee * np.exp(ratio * (mels - knee / step)))
    bins = np.fft.rfftfreq(FFT, 1 / INPUT_RATE)
    rise = (bins - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    fall = (hertz[2:, None] - bins) / np.diff(hertz)[1:, None]
    bands = np.maximum(0, np.minimum(rise, fall)) * (2 / (hertz[2:] - hertz[:-2]))[:, None]
    matrix: Floats = bands.astype(np.float32)
    return matrix
