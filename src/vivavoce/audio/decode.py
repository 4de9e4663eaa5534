"""Decodes recordings of any format by PyAV. They come from anyone, so everything is bounded."""

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
"""What files may be. FFmpeg knows some that name other files or addresses, and would open those."""

_RATES = range(4_000, 384_001)
"""Hz. One sample a second would become an hour of sound out of a few kilobytes."""


class NotAudio(ValueError):
    """The bytes are no recording, or a broken one; the message says what was found."""


class TooLong(ValueError):
    """The recording holds more sound than it may."""


def decode(data: bytes, *, rate: int, max_seconds: float) -> bytes:
    """Return a recording's sound as mono PCM16 at `rate`; what is broken at its end is left out.

    Raises `NotAudio`, `TooLong`, and `ImportError` if PyAV is not installed. It stops as soon as there is too
    much sound. It takes some milliseconds for each second of it, so it is work for a thread.
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
    """Yield the first sound track at `rate`; the track may change its form on the way."""
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
