"""Recordings of any kind as plain sound, by PyAV; they come from strangers, so everything is bounded."""

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

__all__ = ["NotAudio", "TooLong", "decode"]


class NotAudio(ValueError):
    """The bytes are no recording, or a broken one; the message says what was found."""


class TooLong(ValueError):
    """The recording holds more sound than it may."""


def decode(data: bytes, *, rate: int, max_seconds: float) -> bytes:
    """Return a recording's sound as mono PCM16 at `rate`; what is broken at its end is left out.

    Raises `NotAudio`, `TooLong`, and `ImportError` if PyAV is not installed. It takes some milliseconds for
    each second of sound, so it is work for a thread.
    """
    import av

    limit, sound = int(max_seconds * rate) * 2, bytearray()
    try:
        with av.open(BytesIO(data), "r", metadata_errors="ignore") as file:
            for frame in _frames(file, rate):
                sound += bytes(frame.planes[0])[: frame.samples * 2]
                if len(sound) > limit:
                    raise TooLong
    except av.FFmpegError as error:
        if not sound:
            raise NotAudio(error.strerror or "it cannot be read") from error
    return bytes(sound)


def _frames(file: "InputContainer", rate: int) -> "Iterator[AudioFrame]":
    import av

    if not file.streams.audio:
        raise NotAudio("it has no sound track")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    for frame in file.decode(file.streams.audio[0]):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
