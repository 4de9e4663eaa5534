"""Tells linear PCM from G.711 by its sound, where a peer labels both the same.

Read in the wrong way, speech becomes loud noise. The energy of what no filter could predict from the samples
before (the geometric mean of the power spectrum: Kolmogorov, 1941) is then many times that of the right way: it
is small for what is quiet, and for what is loud but has pitch or formants. Codecs that predict (G.722, G.726)
are noise in every way.
"""

from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from vivavoce.audio import g711

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Encoding = Literal["linear", "ulaw", "alaw"]

_CLEAR = 5
"""times that the energy must be smaller than in any other way: speech reaches 10 to 1000, G.722 hardly 3"""
_QUIET = 30.0**2
"""energy below which linear PCM needs no evidence: in no other way would it be so quiet"""
_BYTES = 80
"""bytes below which nothing can be told: 10 ms of G.711"""
_LOUD, _SLANT = 200.0, 0.3
"""loudness of pieces that decide; their largest mean, in parts of it: silence in G.722 is not symmetric"""
_RUN = 5
"""pieces in a row that decide for good"""


def detect(audio: bytes) -> tuple[Encoding | None, float]:
    """Return how some 20 ms of audio at 8 kHz are encoded, and their loudness (root mean square).

    None if that cannot be told.
    """
    import numpy as np

    if len(audio) < _BYTES or is_constant(audio):
        return None, 0.0
    linear: NDArray[np.int16] = np.frombuffer(audio, "<i2", len(audio) // 2)
    ulaw, alaw = (np.frombuffer(g711.decode(audio, law), "<i2") for law in ("ulaw", "alaw"))
    readings: list[tuple[float, Encoding, NDArray[np.int16]]] = [
        (_unpredictable(linear), "linear", linear),
        (_unpredictable(ulaw), "ulaw", ulaw),
        (_unpredictable(alaw), "alaw", alaw),
    ]
    (least, encoding, samples), (second, *_), _ = sorted(readings, key=itemgetter(0))
    if second <= _CLEAR * least:
        return ("linear" if encoding == "linear" or readings[0][0] < _QUIET else None), 0.0
    loudness = float(samples.std())
    if encoding != "linear" and loudness > _LOUD and abs(samples.mean()) > _SLANT * loudness:
        return None, 0.0
    return encoding, loudness


def is_constant(audio: bytes) -> bool:
    """Return whether all bytes are the same: silence, however it is encoded."""
    return audio.count(audio[:1]) == len(audio)


def _unpredictable(samples: "NDArray[np.int16]") -> float:
    import numpy as np

    spectrum = np.fft.rfft(samples - samples.mean())[1:]
    return float(np.exp(np.log1p(np.square(np.abs(spectrum)) / len(samples)).mean()))


class EncodingDetector:
    """Detects the encoding of a call's audio, which does not change, from the first pieces that tell."""

    def __init__(self) -> None:
        self.unknown = 0
        """pieces, not silent, that could not be told"""
        self._last: Encoding | None = None
        self._run = 0

    def push(self, audio: bytes) -> Encoding | None:
        """Return how the next piece, of some 20 ms, is encoded; None if that is not known."""
        if self._run == _RUN:
            return self._last
        found, loudness = detect(audio)
        if found is None:
            if not is_constant(audio):
                self.unknown += 1
                self._run = 0
        elif loudness > _LOUD:
            self._run = self._run + 1 if found == self._last else 1
            self._last = found
        return found
