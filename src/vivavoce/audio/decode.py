"""Decodes recordings of any format by PyAV. Recordings are untrusted, so everything is limited.

What people record is often damaged, cut off, or several files in one. Packet by packet, all that can be decoded
is; what cannot is left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    from av import AudioFrame, Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,nistsphere,"
    "ogg,rm,sox,tta,voc,w64,wav,webm,wv"
)
"""Allowed formats. FFmpeg has formats that refer to other files or URLs, and would open those."""

_RATES = range(4_000, 384_001)
"""Allowed sample rates in Hz: at one sample per second, a few kilobytes would become an hour of audio."""

_FAILURES = 2000
"""Packets in a row that may be damaged, which is 40 s of speech; the rest is then given up."""

_SHORTEST = 0.001
"""Seconds of sound in a packet, on average: the shortest of a real format (Opus) has 0.0025."""

_PROBED = "1000000"
"""Bytes that FFmpeg reads to find the tracks; what it reads is kept meanwhile, at many times its size."""

_STARTS = [
    re.compile(start, re.DOTALL)
    for start in (
        rb"(?:RIFF|RIFX|RF64|BW64)....WAVE",
        rb"\x1aE\xdf\xa3.{1,48}\x42\x82.(?:webm|matroska)",
        rb"\x00\x00\x00.ftyp[\w ]{4}",
        rb"fLaC\x00\x00\x00\x22",
        rb"FORM....AIF[FC]",
        rb"caff\x00[\x01\x02]",
        rb"#!AMR(?:-WB)?\n",
        rb"\.snd\x00\x00",
        rb"OggS\x00\x02\x00{8}.{4}\x00{4}",
        rb"FLV\x01",
        rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",  # Wave64
        rb"0&\xb2u\x8ef\xcf\x11\xa6\xd9\x00\xaa\x00b\xcel",  # ASF, as in WMA
    )
]
"""How files begin that FFmpeg reads to their own end only. Joined files of other formats are one to it."""
_LEAD = 4096
"""Bytes that may stand before the first start, such as those of a form or of a transfer in chunks."""
_APART = 256
"""Bytes between two starts: the streams of one Ogg file begin side by side."""
_JOINED = 64
"""Files that may be joined to one; more are read as part of the last."""

_EMPTY = re.compile(rb"\x1aE\xdf\xa3|OggS|fLaC|....ftyp", re.DOTALL)
_EMPTY_BYTES = 1024
"""A browser's recording that was stopped at once is a header of at most this size, without any track."""


class NotAudio(ValueError):
    """The bytes are no recording, or a damaged one; the message says what was found."""


class TooLong(ValueError):
    """The recording is longer than allowed."""


def is_file(data: bytes) -> bool:
    """Return whether audio begins as a file does, so that it is no bare samples."""
    return data[:5] in (b"ID3\2\0", b"ID3\3\0", b"ID3\4\0") or any(start.match(data) for start in _STARTS)


def decode(data: bytes, *, rate: int, max_seconds: float) -> bytes:
    """Return a recording as 16-bit mono PCM at `rate` Hz, without what is damaged; empty if it has no sound.

    Channels are mixed. If that cancels them, as when one is inverted, the loudest one is returned instead.
    Raises `NotAudio`, `TooLong`, and `ImportError` if PyAV is not installed. Decoding takes some milliseconds
    per second of audio, so call it in a thread.
    """
    import numpy as np

    from vivavoce.audio.samples import to_int16

    decoding = _Decoding(rate, max_seconds)
    sound = decoding.run(data)
    if (channel := decoding.cancelled()) is not None:
        sound = _Decoding(rate, max_seconds, channel).run(data)
    if not len(sound):
        if decoding.problem and not (len(data) <= _EMPTY_BYTES and _EMPTY.match(data)):
            raise NotAudio(decoding.problem)
        return b""
    beyond = np.count_nonzero(np.abs(sound) > 1)
    if beyond > np.count_nonzero(sound) / 10:  # floating-point samples that are no fractions of full scale
        sound /= np.quantile(np.abs(sound), 0.999)
    return to_int16(sound).tobytes()


@dataclass
class _Decoding:
    """One pass over a recording: all channels mixed, or one `channel` alone."""

    rate: int
    max_seconds: float
    channel: int | None = None
    problem: str = ""
    """the first reason why something could not be decoded"""
    seconds: float = 2
    """of sound that packets had, and a few to begin with"""
    packets: int = 0
    failures: int = 0
    """packets in a row that are damaged, or have no sound"""
    mixed_energy: float = 0
    energies: dict[int, float] = field(default_factory=dict)
    """the energy of each channel"""

    def run(self, data: bytes) -> "Floats":
        import numpy as np

        blocks, samples = list["Floats"](), 0
        for file in filter(None, _split(data)):
            for block in self._read(file):
                blocks.append(block)
                samples += len(block)
                if samples > self.max_seconds * self.rate:
                    raise TooLong(f"it is longer than {self.max_seconds:g} seconds")
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def cancelled(self) -> int | None:
        """Return the loudest channel if mixing cancels it; one among silent ones is no such case."""
        loudest = max(self.energies, key=self.energies.__getitem__, default=0)
        least = self.energies.get(loudest, 0) / (2 * max(1, len(self.energies)) ** 2)
        return loudest if self.mixed_energy < least else None

    def _read(self, file: bytes) -> "Iterator[Floats]":
        import av

        options = {"format_whitelist": _FORMATS, "probesize": _PROBED}
        try:
            with av.open(BytesIO(file), "r", options=options, metadata_errors="ignore") as container:
                if container.streams.audio:
                    yield from self._resampled(container)
                elif container.streams:
                    self._note("it has no sound track")
        except av.FFmpegError as error:
            cut = file[4:8] == b"ftyp" and b"moov" not in file
            reason = "its end is missing, and with that its index" if cut else error.strerror or error
            self._note(f"it cannot be read ({reason})")

    def _resampled(self, container: "InputContainer") -> "Iterator[Floats]":
        """Yield the audio track at `rate`; its format may change on the way."""
        import av
        import numpy as np

        for rate, frames in groupby(self._frames(container), lambda frame: frame.sample_rate):
            resampler = av.AudioResampler(format="flt", layout="mono", rate=self.rate)
            for frame in frames:
                samples = np.ascontiguousarray(self._mono(frame)[None])
                mono = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
                mono.sample_rate = rate
                yield from (channels_of(part)[0] for part in resampler.resample(mono))
            yield from (channels_of(part)[0] for part in resampler.resample(None))

    def _frames(self, container: "InputContainer") -> "Iterator[AudioFrame]":
        """Yield what can be decoded; reading goes on after a damaged packet."""
        import av

        for packet in self._packets(container):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._note(f"it cannot be read ({error.strerror or error})")
                continue
            self.failures += not frames
            for frame in frames:
                if frame.sample_rate not in _RATES:
                    self._note(f"its sampling rate is {frame.sample_rate} Hz")
                elif frame.samples:
                    self.failures = 0
                    self.seconds += frame.samples / frame.sample_rate
                    yield frame

    def _packets(self, container: "InputContainer") -> "Iterator[Packet[AudioStream]]":
        import av

        stream = container.streams.best("audio") or container.streams.audio[0]
        while self.failures < _FAILURES:
            try:
                for packet in container.demux(stream):
                    yield cast("Packet[AudioStream]", packet)
                    self.packets += 1
                    if self.failures >= _FAILURES or self.packets * _SHORTEST > self.seconds:
                        return
                return
            except (av.FFmpegError, IndexError) as error:  # IndexError: PyAV does not know a stream begun later
                self._note(f"it cannot be read ({error})")

    def _mono(self, frame: "AudioFrame") -> "Floats":
        import numpy as np

        channels = channels_of(frame)
        mixed: Floats = channels.mean(axis=0, dtype=np.float32)
        self.mixed_energy += float(mixed @ mixed)
        for number, one in enumerate(channels):
            self.energies[number] = self.energies.get(number, 0) + float(one @ one)
        return mixed if self.channel is None else channels[min(self.channel, len(channels) - 1)]

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem
        self.failures += 1


def channels_of(frame: "AudioFrame") -> "Floats":
    """Return the samples of a frame by channel, in fractions of full scale."""
    import numpy as np

    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    middle = 1 << (array.dtype.itemsize * 8 - 1)
    match array.dtype.kind:
        case "f":
            samples = np.nan_to_num(np.clip(array, -(2.0**31), 2.0**31))
        case "u":
            samples = array / np.float64(middle) - 1
        case _:
            samples = array / np.float64(middle)
    floats: Floats = samples.astype(np.float32)
    return floats


def _split(data: bytes) -> Iterator[bytes]:
    """Yield the files of which a recording consists, mostly one, without a tag (ID3v2) before the first."""
    if data[:3] == b"ID3" and len(data) > 10:  # 28 bits of size; FFmpeg finds nothing but MP3 after a large one
        size = sum((byte & 127) << 7 * place for place, byte in enumerate(reversed(data[6:10])))
        data = data[10 + size :] or data
    firsts = [(found.start(), start) for start in _STARTS if (found := start.search(data, 0, _LEAD))]
    if not firsts:
        yield data
        return
    first, start = min(firsts, key=lambda one: one[0])
    cuts = [first]
    for found in start.finditer(data, first):
        if found.start() - cuts[-1] >= _APART and len(cuts) < _JOINED:
            cuts.append(found.start())
    yield data[:first]
    yield from (data[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(data)], strict=True))
