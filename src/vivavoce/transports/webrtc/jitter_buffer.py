"""Opus packets as a network delivers them (RFC 3550, 7587), put in order and without gaps.

A transcriber needs no steady stream, so nothing is delayed here: a packet goes on as soon as all before it
have, and only a missing one is waited for, a little.
"""

from vivavoce.audio.rates import OPUS_RATE

_REORDERED_PACKETS = 3
"""packets that wait for a missing one; then that is lost"""
_RESET_DISTANCE = 1000
"""difference of sequence numbers, either way, from which on the sender has started anew"""
_MAX_GAP = OPUS_RATE
"""samples of silence put in for what was not sent; a longer gap was filled as it passed"""
_MAX_CONCEALED = OPUS_RATE // 10
"""samples of a loss that the decoder conceals from what was before; the rest is silence"""

_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
"""samples in a frame, by an Opus packet's configuration (RFC 6716, section 3.1)"""

Chunk = bytes | int
"""A packet to decode, or so many samples of silence.

A packet of its first byte alone has no frame: the decoder conceals what was lost (RFC 6716, section 4.4).
"""


def packet_samples(packet: bytes) -> int:
    """Return the length of an Opus packet in samples of `OPUS_RATE`; 0 if it is none."""
    if not packet:
        return 0
    mode, frames = packet[0] >> 3, packet[0] & 3
    sizes = _SILK if mode < 12 else _HYBRID if mode < 16 else _CELT
    count = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[frames]
    return sizes[mode % len(sizes)] * count


class JitterBuffer:
    """Puts packets in order, none twice; losses are concealed, and what was not sent is silence."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._timestamp = 0
        self._waiting: dict[int, tuple[int, bytes]] = {}
        self._lost_packet = b""

    def add(self, sequence: int, timestamp: int, packet: bytes) -> list[Chunk]:
        """Add a packet, by 16-bit sequence number and 32-bit timestamp; return what can be played by now."""
        if self._next is None or abs(_distance(sequence, self._next, 16)) > _RESET_DISTANCE:
            self._next, self._timestamp, self._waiting = sequence, timestamp, {}
        ahead = _distance(sequence, self._next, 16)
        if ahead < 0:  # a duplicate, or too late
            return []
        self._waiting[self._next + ahead] = timestamp, packet
        is_lost = len(self._waiting) > _REORDERED_PACKETS and self._next not in self._waiting
        return self._in_order(min(self._waiting) if is_lost else self._next)

    def pass_time(self, samples: int) -> list[Chunk]:
        """Nothing came for so many samples: return what was waiting, and silence."""
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
        """Return what is played in place of so many missing samples."""
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
