"""A jitter buffer for Opus packets (RFC 3550, RFC 7587): orders packets, and fills gaps.

A transcriber needs no steady stream, so nothing is delayed: a packet is passed on as soon as all before it
were, and only a missing packet is waited for, briefly.
"""

from vivavoce.audio.rates import OPUS_RATE

_REORDERED_PACKETS = 3
"""packets that wait for a missing one before that counts as lost"""
_RESET_DISTANCE = 1000
"""difference of sequence numbers, in either direction, that means a restart of the sender"""
_MAX_GAP = OPUS_RATE
"""the longest silence, in samples, that is inserted for what was not sent"""
_MAX_CONCEALED = OPUS_RATE // 10
"""samples of a loss that the decoder conceals; the rest is silence"""

_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
"""samples in a frame, by an Opus packet's configuration (RFC 6716, section 3.1)"""

Chunk = bytes | int
"""A packet to decode, or a number of samples of silence.

A packet with only its first byte contains no frame: the decoder conceals the loss (RFC 6716, section 4.4).
"""


def packet_samples(packet: bytes) -> int:
    """Return the length of an Opus packet in samples of `OPUS_RATE`; 0 if it is invalid."""
    if not packet:
        return 0
    mode, frames = packet[0] >> 3, packet[0] & 3
    sizes = _SILK if mode < 12 else _HYBRID if mode < 16 else _CELT
    count = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[frames]
    return sizes[mode % len(sizes)] * count


class JitterBuffer:
    """Orders packets and drops duplicates; losses are concealed, and pauses of the sender become silence."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._timestamp = 0
        self._waiting: dict[int, tuple[int, bytes]] = {}
        self._lost_packet = b""

    def add(self, sequence: int, timestamp: int, packet: bytes) -> list[Chunk]:
        """Add a packet with its 16-bit sequence number and 32-bit timestamp; return what can be played now."""
        if self._next is None or abs(_distance(sequence, self._next, 16)) > _RESET_DISTANCE:
            self._next, self._timestamp, self._waiting = sequence, timestamp, {}
        ahead = _distance(sequence, self._next, 16)
        if ahead < 0:  # a duplicate, or too late
            return []
        self._waiting[self._next + ahead] = timestamp, packet
        is_lost = len(self._waiting) > _REORDERED_PACKETS and self._next not in self._waiting
        return self._in_order(min(self._waiting) if is_lost else self._next)

    def pass_time(self, samples: int) -> list[Chunk]:
        """Record that nothing arrived for this many samples; return the waiting packets, and silence."""
        chunks: list[Chunk] = []
        while self._waiting:
            chunks += self._in_order(min(self._waiting))
        self._timestamp += samples
        return [*chunks, samples]

    def _in_order(self, sequence: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        lost = sequence != self._next
        while sequence in self._waiting:
            timestamp, packet = self._waiting.pop(sequence)
            if packet:  # an empty one is padding
                chunks += self._gap(_distance(timestamp, self._timestamp, 32), lost=lost)
                chunks.append(packet)
                self._timestamp = timestamp + packet_samples(packet)
                self._lost_packet = bytes([packet[0] & ~3])  # of one frame
                lost = False
            sequence += 1
        self._next = sequence
        return chunks

    def _gap(self, samples: int, *, lost: bool) -> list[Chunk]:
        """Return what is played instead of this many missing samples."""
        if not 0 < samples <= _MAX_GAP:
            return []
        frame = packet_samples(self._lost_packet)
        concealed = min(samples, _MAX_CONCEALED) // frame if lost and frame else 0
        silence = samples - concealed * frame
        return [*[self._lost_packet] * concealed, *([silence] if silence else [])]


def _distance(number: int, base: int, bits: int) -> int:
    """Return by how much a number that wraps around is ahead of another; negative if it is behind."""
    half = 1 << (bits - 1)
    return (number - base + half) % (2 * half) - half
