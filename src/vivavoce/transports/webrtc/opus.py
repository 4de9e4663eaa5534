"""Audio in Opus, as WebRTC carries it: encoded for the caller, decoded from the caller."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from fractions import Fraction
from math import inf
from typing import Literal

import anyio
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket
from av import AudioCodecContext, AudioFrame, AudioStream, CodecContext, FFmpegError, Packet

from vivavoce.audio.rates import OPUS_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.transports.webrtc.jitter_buffer import Chunk, JitterBuffer, packet_samples
from vivavoce.transports.webrtc.pacer import FRAME_SECONDS

_FRAME_SAMPLES, _FRAME_BYTES = 480, 960
_ENCODING = {
    "application": "voip",
    "compression_level": "3",  # a third of the work of 10
    "fec": "1",  # each packet carries some of the one before, in case it is lost
    "packet_loss": "5",
}
_BIT_RATE = 32_000
_MAX_UNSENT_PACKETS = 5
_MAX_UNREAD_PACKETS = 250
_SILENCE_SECONDS = 0.1
"""seconds without a packet after which silence is inserted: the sender pauses, or the network is down"""


class OpusEncoder(MediaStreamTrack):
    """The track with the server's audio. `write` must be called every 20 ms, by the pacer."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._encoder = _codec("w", OUTPUT_RATE)
        self._encoder.bit_rate, self._encoder.options = _BIT_RATE, _ENCODING
        self._encoder.time_base = Fraction(1, OUTPUT_RATE)
        self._frames = 0
        self._packets: asyncio.Queue[Packet[AudioStream]] = asyncio.Queue()

    def write(self, audio: bytes, *, skipped: int = 0) -> None:
        """Send 20 ms of 16-bit PCM at 24 kHz; `skipped` frames before it were left out."""
        self._frames += skipped
        frame = AudioFrame(format="s16", layout="mono", samples=_FRAME_SAMPLES)
        frame.planes[0].update(audio)
        frame.sample_rate, frame.time_base = OUTPUT_RATE, self._encoder.time_base
        frame.pts = self._frames * _FRAME_SAMPLES
        for packet in self._encoder.encode(frame):
            packet.pts, packet.time_base = self._frames * OPUS_RATE // 50, Fraction(1, OPUS_RATE)
            self._packets.put_nowait(packet)
        self._frames += 1
        while self._packets.qsize() > _MAX_UNSENT_PACKETS:  # aiortc is not reading: the caller only sends
            self._packets.get_nowait()

    async def recv(self) -> "Packet[AudioStream]":
        """Return the packet that aiortc is to send next."""
        if self.readyState != "live":
            raise MediaStreamError
        return await self._packets.get()


class OpusDecoder:
    """The caller's audio. It replaces aiortc's jitter buffer, and keeps all packets for `frames`."""

    def __init__(self) -> None:
        self._decoder = _codec("r", OPUS_RATE)
        self._resampler = Resampler(OPUS_RATE, OUTPUT_RATE)
        self._buffer, self._ssrc = JitterBuffer(), 0
        self._packets: deque[RtpPacket] = deque(maxlen=_MAX_UNREAD_PACKETS)
        self._received = anyio.Event()
        self._rest = b""

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Add a packet, as aiortc's jitter buffer does; returns that no picture is lost, and no frame."""
        self._packets.append(packet)
        self._received.set()
        return False, None

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield 20 ms of 16-bit PCM at 24 kHz; after the first packet, silence where nothing arrives."""
        due = inf
        while True:
            with anyio.CancelScope(deadline=due) as waiting:
                await self._received.wait()
            if waiting.cancelled_caught:
                chunks: Sequence[Chunk] = self._buffer.pass_time(OPUS_RATE // 50)
                due += FRAME_SECONDS
            else:
                chunks = self._read_packets()
                due = anyio.current_time() + _SILENCE_SECONDS
            self._rest += self._resampler.push(b"".join(self._decode(chunk) for chunk in chunks))
            whole = len(self._rest) // _FRAME_BYTES * _FRAME_BYTES
            frames, self._rest = self._rest[:whole], self._rest[whole:]
            for at in range(0, whole, _FRAME_BYTES):
                yield frames[at : at + _FRAME_BYTES]

    def _read_packets(self) -> Sequence[Chunk]:
        self._received = anyio.Event()
        chunks: list[Chunk] = []
        while self._packets:
            packet = self._packets.popleft()
            if packet.ssrc != self._ssrc:  # another source, with sequence numbers of its own
                self._ssrc, self._buffer = packet.ssrc, JitterBuffer()
            chunks += self._buffer.add(packet.sequence_number, packet.timestamp, packet.payload)
        return chunks

    def _decode(self, chunk: Chunk) -> bytes:
        """Return 16-bit PCM at `OPUS_RATE`. An invalid packet becomes silence of its length."""
        if isinstance(chunk, int) or not chunk:
            return bytes(2 * (chunk or 0))
        try:
            frames = self._decoder.decode(Packet(chunk))
        except FFmpegError:
            return bytes(2 * packet_samples(chunk))
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)


def _codec(mode: Literal["r", "w"], rate: int) -> AudioCodecContext:
    codec = CodecContext.create("libopus", mode)
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", rate
    return codec
