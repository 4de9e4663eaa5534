"""What a caller hears: the simulated play-out queue of a telephone peer. No I/O, no clock.

All times are seconds since the call began, positions are samples of the same timeline.
"""

from dataclasses import dataclass

from vivavoce.audio.audible import audible_in

LATE_SECONDS = 0.04
"""how late a frame may be without a hole: a telephone's jitter buffer covers it"""


@dataclass(frozen=True)
class Played:
    """Whole samples of 16-bit PCM, when they arrived, and the position at which they are played."""

    arrived: float
    start: int
    audio: bytes

    @property
    def end(self) -> int:
        """The position after its last sample."""
        return self.start + len(self.audio) // 2


class PlayoutQueue:
    """Plays audio in the order in which it arrives, without gaps as long as it arrives in time.

    `lead` is the greatest time, in seconds, by which what had arrived was ahead of what was played; `lost` is
    how many seconds did not fit into the queue.
    """

    def __init__(self, rate: int, capacity: float) -> None:
        """Play at `rate` Hz; what is more than `capacity` seconds ahead is lost."""
        self.rate, self.capacity = rate, capacity
        self.played: list[Played] = []
        self.lead = self.lost = 0.0
        self.audible_until = 0.0
        """when the last audible sample was, or will be, played"""

    @property
    def until(self) -> float:
        """When the queue was, or will be, empty."""
        return self.played[-1].end / self.rate if self.played else 0.0

    def waiting(self, at: float) -> float:
        """Return how many seconds of audio are still to be played."""
        return max(0.0, self.until - at)

    def push(self, audio: bytes, at: float) -> None:
        """Append whole samples that arrive at this time."""
        in_time = self.played and at - self.until <= LATE_SECONDS
        start = self.played[-1].end if in_time else round(at * self.rate)
        room = max(0, 2 * (round((at + self.capacity) * self.rate) - start))
        self.lost += max(0, len(audio) - room) / 2 / self.rate
        if not (audio := audio[:room]):
            return
        self.played.append(Played(at, start, audio))
        self.lead = max(self.lead, self.until - at)
        if audible := audible_in(audio, self.rate):
            self.audible_until = start / self.rate + audible[1]

    def clear(self, at: float) -> None:
        """Drop what was not played yet."""
        now = round(at * self.rate)
        while self.played and self.played[-1].end > now:
            last = self.played.pop()
            if last.start < now:
                self.played.append(Played(last.arrived, last.start, last.audio[: 2 * (now - last.start)]))
        self.audible_until = min(self.audible_until, at)

    def track(self, seconds: float) -> bytes:
        """Return what was heard from the beginning of the call, with silence in between."""
        size = 2 * round(seconds * self.rate)
        sound = bytearray(size)
        for one in self.played:
            sound[2 * one.start : 2 * one.end] = one.audio  # what lies beyond the end is appended, and cut off
        return bytes(sound[:size])
