"""The clock by which audio is sent, 20 ms at a time, and counted as played. No I/O."""

FRAME_SECONDS = 0.02
_MAX_LATE_SECONDS = 0.06
"""seconds of lateness that are caught up with; beyond that, frames are skipped"""
_MAX_LEAD_SECONDS = 0.015
"""seconds by which a response may start early; a whole frame would look like jitter to browsers"""


class Pacer:
    """Schedules a frame every 20 ms. Only the first frame of a response may be sent early, to save latency.

    A response keeps its lead to the end, and the next silence makes up for it: packets are sent early, but
    their timestamps are always right.
    """

    def __init__(self, now: float) -> None:
        """The first frame is due at once. Times are seconds of one clock."""
        self.due = now
        self._lead = 0.0

    def skip_late(self, now: float) -> int:
        """Skip the frames that are too late; return how many."""
        late = now - self.due
        if late <= _MAX_LATE_SECONDS:
            return 0
        skipped = int(late / FRAME_SECONDS)
        self.due += skipped * FRAME_SECONDS
        return skipped

    def sent(self, *, silent: bool) -> None:
        """Record that a frame was sent; the next is due 20 ms later."""
        self.due += FRAME_SECONDS
        if silent:
            self.due += self._lead
            self._lead = 0.0

    def start_early(self, now: float) -> None:
        """Start a response: the next frame is due at once, or as soon as the lead allows."""
        early = min(self.due - now, _MAX_LEAD_SECONDS - self._lead)
        if early > 0:
            self.due -= early
            self._lead += early
