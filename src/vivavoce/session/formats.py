"""The sound formats that a session may ask for, and PCM, which models and loudspeakers take and give."""

from vivavoce.audio import g711
from vivavoce.audio.rates import G711_RATE, INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import AudioFormat, Pcm, Pcmu

__all__ = ["Listened", "Spoken", "bytes_per_ms", "check_samples"]


def bytes_per_ms(format: AudioFormat) -> int:
    """Return how many bytes a millisecond of a format has."""
    return 2 * OUTPUT_RATE // 1000 if isinstance(format, Pcm) else G711_RATE // 1000


def check_samples(sound: bytes, format: AudioFormat, param: str) -> None:
    """Raise `ProtocolError` if a client's sound ends in the middle of a sample."""
    if isinstance(format, Pcm) and len(sound) % 2:
        raise ProtocolError(
            f"{param} must be whole samples of 16 bits; it has {len(sound)} bytes, an odd number.",
            code="invalid_value",
            param=param,
        )


def _law(format: AudioFormat) -> g711.Law:
    return "ulaw" if isinstance(format, Pcmu) else "alaw"


def _rate(format: AudioFormat) -> int:
    return OUTPUT_RATE if isinstance(format, Pcm) else G711_RATE


class Listened:
    """Turns sound in a session's format, as it comes, into PCM at a rate, in Hz."""

    def __init__(self, format: AudioFormat, rate: int = INPUT_RATE) -> None:
        self.format = format
        self._resampler = Resampler(_rate(format), rate)

    def push(self, sound: bytes) -> bytes:
        """Take whole samples; half a sample is a `ValueError`."""
        if not isinstance(self.format, Pcm):
            sound = g711.decode(sound, _law(self.format))
        return self._resampler.push(sound)


class Spoken:
    """Turns PCM at `OUTPUT_RATE`, as it comes, into sound in a session's format."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._resampler = Resampler(OUTPUT_RATE, _rate(format))

    def push(self, sound: bytes) -> bytes:
        """Take whole samples; half a sample is a `ValueError`."""
        sound = self._resampler.push(sound)
        return sound if isinstance(self.format, Pcm) else g711.encode(sound, _law(self.format))
