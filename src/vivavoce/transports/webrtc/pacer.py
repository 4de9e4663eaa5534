"""When to send the next 20 ms of a voice: the clock by which we know what was heard. It is told the time."""

__all__ = ["FRAME_SECONDS", "Pacer"]

FRAME_SECONDS = 0.02
_LATE_SECONDS = 0.06
"""how late we may be and catch up; what is later was missed"""
_LEAD_SECONDS = 0.015
"""how much earlier an answer may begin; of a whole frame a browser would think that the network hesitates"""


class Pacer:
    """A beat every 20 ms. Only the first of a voice may come sooner, so that nobody waits for it in silence.

    What a voice is ahead it stays ahead, and it is given back in the next silence: packets come earlier than
    their time, but their time is always right.
    """

    def __init__(self, now: float) -> None:
        """Begin at once. Times are seconds of one clock."""
        self.due = now
        self._lead = 0.0

    def missed(self, now: float) -> int:
        """Return how many beats were missed altogether, and let them go."""
        late = now - self.due
        if late <= _LATE_SECONDS:
            return 0
        missed = int(late / FRAME_SECONDS)
        self.due += missed * FRAME_SECONDS
        return missed

    def go_on(self, *, silent: bool) -> None:
        """A frame was sent; the next is due 20 ms later."""
        self.due += FRAME_SECONDS
        if silent:
            self.due += self._lead
            self._lead = 0.0

    def hurry(self, now: float) -> None:
        """Somebody begins to speak: the next frame is due at once, or as soon as it may be."""
        early = min(self.due - now, _LEAD_SECONDS - self._lead)
        if early > 0:
            self.due -= early
            self._lead += early
