"""Streaming encoders for audio files: WAV and raw PCM here, other formats by PyAV."""

import struct
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

CONTENT_TYPES = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
}
_CODECS = {
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "flac": ("flac", "flac"),
    "aac": ("adts", "aac"),
}
_OPTIONS = {"ogg": {"page_duration": "20000"}, "mp3": {"write_xing": "0"}}
"""A page is written for every packet (in microseconds), not for every second. Xing's header would have to be
completed at the end, and without that names a wrong length."""
_BIT_RATES = {"libmp3lame": 64_000}
"""FFmpeg's default is half of that, at which sibilants ring."""
_CODEC_OPTIONS = {"libmp3lame": {"compression_level": "7"}}
"""half the work of the default, for speech as good at this rate"""
_UNKNOWN = 0xFFFFFFFF


class Encoder(Protocol):
    """Encodes 16-bit mono PCM as a file, chunk by chunk."""

    def push(self, audio: bytes) -> bytes:
        """Encode whole samples; return the next bytes of the file."""
        ...

    def finish(self) -> bytes:
        """Return the rest of the file."""
        ...


def encoder(name: str, rate: int) -> Encoder:
    """Return an encoder for a format, one of `CONTENT_TYPES`.

    Raises `ImportError` if the format needs PyAV, and that is not installed.
    """
    if name == "pcm":
        return _Plain(b"")
    if name == "wav":
        return _Plain(wav_header(rate))
    return _Packed(*_CODECS[name], rate)


class _Plain:
    def __init__(self, header: bytes) -> None:
        self._header = header

    def push(self, audio: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + audio

    def finish(self) -> bytes:
        return self._header


def wav_header(rate: int, channels: int = 1, size: int | None = None) -> bytes:
    """Return the header of a WAV with `size` bytes of 16-bit samples; None is an unknown length."""
    frame = 2 * channels
    whole, data = (_UNKNOWN, _UNKNOWN) if size is None else (36 + size, size)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * frame, frame, 16)
    return struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + form + struct.pack("<4sI", b"data", data)


class _Packed:
    def __init__(self, container: str, codec: str, rate: int) -> None:
        import av

        self._sink = _Sink()
        self._rate = rate
        self._file: OutputContainer = av.open(
            self._sink, "w", format=container, options=_OPTIONS.get(container, {})
        )
        stream = self._file.add_stream(codec, rate=rate, layout="mono")
        self._stream = cast("AudioStream", stream)
        self._stream.options = {**_CODEC_OPTIONS.get(codec, {})}
        if codec in _BIT_RATES:
            self._stream.bit_rate = _BIT_RATES[codec]

    def push(self, audio: bytes) -> bytes:
        import av

        if audio:
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(audio) // 2)
            frame.planes[0].update(audio.ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate = self._rate
            self._file.mux(self._stream.encode(frame))
        return self._sink.read()

    def finish(self) -> bytes:
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._sink.read()


class _Sink:
    """A file that cannot seek, like a network connection."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def read(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
