"""Conversion between the audio formats of sessions (PCM, G.711) and PCM at the rates of the models."""

from collections.abc import AsyncIterator

import anyio.lowlevel

from vivavoce.audio import g711
from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.rates import G711_RATE, INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import AudioFormat, Pcm, Pcmu
from vivavoce.protocol.validation import invalid


def bytes_per_ms(format: AudioFormat) -> int:
    """Return the number of bytes per millisecond of audio in a format."""
    return 2 * OUTPUT_RATE // 1000 if isinstance(format, Pcm) else G711_RATE // 1000


def decode_file(file: bytes, format: AudioFormat, max_seconds: float, param: str) -> bytes:
    """Return the audio of a file in a session's format. Raises `ProtocolError` that names `param`.

    Call it in a thread.
    """
    try:
        pcm = decode(file, rate=_rate(format), max_seconds=max_seconds)
    except (NotAudio, TooLong) as error:
        raise invalid(param, f"this file cannot be used: {error}.") from error
    except ImportError as error:
        raise invalid(param, "files need PyAV on the server; send bare samples.") from error
    if not pcm:
        raise invalid(param, "this file has no sound.")
    return pcm if isinstance(format, Pcm) else g711.encode(pcm, _law(format))


def check_samples(audio: bytes, format: AudioFormat, param: str) -> None:
    """Raise `ProtocolError` if a client's audio ends in the middle of a sample."""
    if isinstance(format, Pcm) and len(audio) % 2:
        message = f"{param} must be whole samples of 16 bits; it has {len(audio)} bytes, an odd number."
        raise ProtocolError(message, code="invalid_value", param=param)


async def in_pieces(audio: bytes, size: int) -> AsyncIterator[bytes]:
    """Yield long audio in pieces of `size` bytes, and let other tasks run between them."""
    for at in range(0, len(audio), size):
        if at:
            await anyio.lowlevel.checkpoint()
        yield audio[at : at + size]


def _law(format: AudioFormat) -> g711.Law:
    return "ulaw" if isinstance(format, Pcmu) else "alaw"


def _rate(format: AudioFormat) -> int:
    return OUTPUT_RATE if isinstance(format, Pcm) else G711_RATE


class AudioDecoder:
    """A streaming decoder from a session's format to 16-bit mono PCM at `rate` Hz."""

    def __init__(self, format: AudioFormat, rate: int = INPUT_RATE) -> None:
        self.format = format
        self._resampler = Resampler(_rate(format), rate)

    def push(self, audio: bytes) -> bytes:
        """Decode whole samples. Raises `ValueError` for half a sample."""
        if not isinstance(self.format, Pcm):
            audio = g711.decode(audio, _law(self.format))
        return self._resampler.push(audio)


class AudioEncoder:
    """A streaming encoder from 16-bit mono PCM at `OUTPUT_RATE` to a session's format."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self._resampler = Resampler(OUTPUT_RATE, _rate(format))

    def push(self, audio: bytes) -> bytes:
        """Encode whole samples. Raises `ValueError` for half a sample."""
        audio = self._resampler.push(audio)
        return audio if isinstance(self.format, Pcm) else g711.encode(audio, _law(self.format))
