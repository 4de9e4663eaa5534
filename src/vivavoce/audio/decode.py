"""Decodes recordings of any format by PyAV. Recordings are untrusted, so everything is limited."""

from collections.abc import Iterator
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

_FORMATS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,loas,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"
)
"""Allowed formats. FFmpeg has formats that refer to other files or URLs, and would open those."""

_RATES = range(4_000, 384_001)
"""Minimum sample rate in Hz: at one sample per second, a few kilobytes would become an hour of audio."""


class NotAudio(ValueError):
    """The bytes are no recording, or a damaged one; the message says what was found."""


class TooLong(ValueError):
    """The recording is longer than allowed."""


def decode(data: bytes, *, rate: int, max_seconds: float) -> bytes:
    """Return a recording as 16-bit mono PCM at `rate` Hz; a damaged end is left out.

    Raises `NotAudio`, `TooLong`, and `ImportError` if PyAV is not installed. Decoding takes some milliseconds
    per second of audio, so call it in a thread.
    """
    import av

    limit, sound = int(max_seconds * rate) * 2, bytearray()
    try:
        options = {"format_whitelist": _FORMATS}
        with av.open(BytesIO(data), "r", options=options, metadata_errors="ignore") as file:
            for frame in _frames(file, rate):
                sound += bytes(frame.planes[0])[: frame.samples * 2]
                if len(sound) > limit:
                    raise TooLong(f"it is longer than {max_seconds:g} seconds")
    except av.FFmpegError as error:
        if not sound:
            raise NotAudio(f"it cannot be read ({error.strerror or error})") from error
    return bytes(sound)


def _frames(file: "InputContainer", rate: int) -> "Iterator[AudioFrame]":
    """Yield the first audio track at `rate`; its format may change on the way."""
    import av

    if not file.streams.audio:
        raise NotAudio("it has no sound track")
    for _, frames in groupby(file.decode(file.streams.audio[0]), _form):
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        for frame in frames:
            yield from resampler.resample(frame)
        yield from resampler.resample(None)


def _form(frame: "AudioFrame") -> tuple[str, str, int]:
    if frame.sample_rate not in _RATES:
        raise NotAudio(f"its sampling rate is {frame.sample_rate} Hz")
    return frame.format.name, frame.layout.name, frame.sample_rate
