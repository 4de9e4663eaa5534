"""Sound in Opus, as WebRTC carries it: what we say, and what we hear."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from fractions import Fraction
from math import inf
from typing import Literal

import anyio
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket
from av import AudioCodecContext, AudioFrame, AudioStream, CodecContext, FFmpegError, Packet

from vivavoce.audio.resample import Resampler
from vivavoce.providers.base import OUTPUT_RATE
from vivavoce.transports.webrtc.packet_buffer import RATE, PacketBuffer, Piece, samples

__all__ = ["OpusDecoder", "OpusEncoder"]

_FRAME_SECONDS, _FRAME_SAMPLES, _FRAME_BYTES = 0.02, 480, 960
_ENCODING = {
    "application": "voip",
    "compression_level": "3",  # a third of the work of 10
    "fec": "1",  # each packet carries some of the one before, in case it is lost
    "packet_loss": "5",
}
_BIT_RATE = 32_000
_UNSENT_PACKETS = 5
_UNHEARD_PACKETS = 250
_LATE_SECONDS = 0.1
"""after which silence is heard where packets do not come: the sender saves them, or the network is lost"""


class OpusEncoder(MediaStreamTrack):
    """The track on which we speak. Whoever keeps the time gives it 20 ms after 20 ms."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._encoder = _codec("w", OUTPUT_RATE)
        self._encoder.bit_rate, self._encoder.options = _BIT_RATE, _ENCODING
        self._encoder.time_base = Fraction(1, OUTPUT_RATE)
        self._frames = 0
        self._packets: asyncio.Queue[Packet[AudioStream]] = asyncio.Queue()

    def say(self, sound: bytes, *, missed: int = 0) -> None:
        """Send 20 ms of PCM16 at 24 kHz; so many times 20 ms before it were missed."""
        self._frames += missed
        frame = AudioFrame(format="s16", layout="mono", samples=_FRAME_SAMPLES)
        frame.planes[0].update(sound)
        frame.sample_rate, frame.time_base = OUTPUT_RATE, self._encoder.time_base
        frame.pts = self._frames * _FRAME_SAMPLES
        for packet in self._encoder.encode(frame):
            packet.pts, packet.time_base = self._frames * RATE // 50, Fraction(1, RATE)
            self._packets.put_nowait(packet)
        self._frames += 1
        while self._packets.qsize() > _UNSENT_PACKETS:  # nobody takes them: the caller does not want to hear us
            self._packets.get_nowait()

    async def recv(self) -> "Packet[AudioStream]":
        """Give aiortc what it is to send next."""
        if self.readyState != "live":
            raise MediaStreamError
        return await self._packets.get()


class OpusDecoder:
    """Hears a caller, in the place of aiortc's jitter buffer: takes all packets, and gives none on."""

    def __init__(self) -> None:
        self._decoder = _codec("r", RATE)
        self._resampler = Resampler(RATE, OUTPUT_RATE)
        self._arrivals, self._source = PacketBuffer(), 0
        self._packets: deque[RtpPacket] = deque(maxlen=_UNHEARD_PACKETS)
        self._news = anyio.Event()
        self._rest = b""

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet from aiortc's receiver."""
        self._packets.append(packet)
        self._news.set()
        return False, None

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield 20 ms of PCM16 at 24 kHz as they come; from the first on, silence where nothing comes."""
        due = inf
        while True:
            with anyio.CancelScope(deadline=due) as waiting:
                await self._news.wait()
            if waiting.cancelled_caught:
                heard: Sequence[Piece] = self._arrivals.pass_time(RATE // 50)
                due += _FRAME_SECONDS
            else:
                heard = self._take_all()
                due = anyio.current_time() + _LATE_SECONDS
            for frame in self._cut(heard):
                yield frame

    def _take_all(self) -> Sequence[Piece]:
        self._news = anyio.Event()
        heard: list[Piece] = []
        while self._packets:
            packet = self._packets.popleft()
            if packet.ssrc != self._source:  # somebody else speaks now, and counts from elsewhere
                self._source, self._arrivals = packet.ssrc, PacketBuffer()
            heard += self._arrivals.push(packet.sequence_number, packet.timestamp, packet.payload)
        return heard

    def _cut(self, heard: Sequence[Piece]) -> Iterator[bytes]:
        self._rest += self._resampler.push(b"".join(self._decoded(piece) for piece in heard))
        whole = len(self._rest) // _FRAME_BYTES * _FRAME_BYTES
        for at in range(0, whole, _FRAME_BYTES):
            yield self._rest[at : at + _FRAME_BYTES]
        self._rest = self._rest[whole:]

    def _decoded(self, piece: Piece) -> bytes:
        """Return sound at `RATE`. A packet that cannot be read is as long as it says, and silent."""
        if isinstance(piece, int) or not piece:
            return bytes(2 * (piece or 0))
        try:
            frames = self._decoder.decode(Packet(piece))
        except FFmpegError:
            return bytes(2 * samples(piece))
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)


def _codec(mode: Literal["r", "w"], rate: int) -> AudioCodecContext:
    codec = CodecContext.create("libopus", mode)
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", rate
    return codec
