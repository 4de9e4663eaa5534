"""Opus packets as a network brings them (RFC 3550, 7587), made into sound without holes.

Who writes down what is said needs no smooth stream, so nothing is delayed here: a packet goes on as soon as all
before it have, and only what is missing is waited for, a little.
"""

__all__ = ["RATE", "PacketBuffer", "samples"]

RATE = 48_000
"""Opus counts time in samples of this rate, whatever it carries (RFC 7587, section 4.1)."""

_PATIENCE = 3
"""packets that wait for one that is missing; then it is lost"""
_STRANGE = 1000
"""packets, one way or the other, from which on a sender has begun anew"""
_LONGEST_GAP = RATE
"""samples of silence put in for what did not come; what is longer was filled as it passed"""
_CONCEALED = RATE // 10
"""samples of what was lost that the decoder makes up from what was before; the rest is silence"""

_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
"""samples in a frame, by an Opus packet's configuration (RFC 6716, section 3.1)"""

Piece = bytes | int
"""A packet to decode, or so many samples of silence.

A packet of its first byte alone has no frame: the decoder conceals what was lost (RFC 6716, section 4.4).
"""


def samples(packet: bytes) -> int:
    """Return how much sound an Opus packet has, in samples of `RATE`; 0 if it is none."""
    if not packet:
        return 0
    mode, frames = packet[0] >> 3, packet[0] & 3
    sizes = _SILK if mode < 12 else _HYBRID if mode < 16 else _CELT
    count = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[frames]
    return sizes[mode % len(sizes)] * count


class PacketBuffer:
    """Puts packets in order, none twice; what was lost is concealed, and where nothing was sent is silence."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._clock = 0
        self._held: dict[int, tuple[int, bytes]] = {}
        self._kind = b""

    def push(self, sequence: int, timestamp: int, packet: bytes) -> list[Piece]:
        """Take a packet, by its 16-bit number and 32-bit time, and return what can be heard by now."""
        if self._next is None or abs(_ahead(sequence, self._next, 16)) > _STRANGE:
            self._next, self._clock, self._held = sequence, timestamp, {}
        ahead = _ahead(sequence, self._next, 16)
        if ahead < 0:  # it comes twice, or too late
            return []
        self._held[self._next + ahead] = timestamp, packet
        given_up = len(self._held) > _PATIENCE and self._next not in self._held
        return self._in_order(min(self._held) if given_up else self._next)

    def pass_time(self, length: int) -> list[Piece]:
        """So many samples long nothing has come: return what was held back, and silence."""
        pieces: list[Piece] = []
        while self._held:
            pieces += self._in_order(min(self._held))
        self._clock += length
        return [*pieces, length]

    def _in_order(self, sequence: int) -> list[Piece]:
        pieces: list[Piece] = []
        lost = sequence != self._next
        while sequence in self._held:
            timestamp, packet = self._held.pop(sequence)
            if packet:  # an empty one only fills the network
                pieces += self._gap(_ahead(timestamp, self._clock, 32), lost=lost)
                pieces.append(packet)
                self._clock = timestamp + samples(packet)
                self._kind = bytes([packet[0] & ~3])  # of one frame
                lost = False
            sequence += 1
        self._next = sequence
        return pieces

    def _gap(self, length: int, *, lost: bool) -> list[Piece]:
        """Return what is heard for so many samples that are not there."""
        if not 0 < length <= _LONGEST_GAP:
            return []
        frame = samples(self._kind)
        concealed = min(length, _CONCEALED) // frame if lost and frame else 0
        silence = length - concealed * frame
        return [*[self._kind] * concealed, *([silence] if silence else [])]


def _ahead(number: int, of: int, bits: int) -> int:
    """Return how far a number that wraps around is ahead of another, less than nothing if it is behind."""
    half = 1 << (bits - 1)
    return (number - of + half) % (2 * half) - half
