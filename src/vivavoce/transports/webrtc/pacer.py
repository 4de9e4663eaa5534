"""When to send the next 20 ms of audio: the clock by which the server knows what was played. Pure."""

FRAME_SECONDS = 0.02
_MAX_LATE_SECONDS = 0.06
"""lateness that is caught up with; what is later is skipped"""
_MAX_LEAD_SECONDS = 0.015
"""how much earlier a response may begin; with a whole frame, browsers would assume jitter"""


class Pacer:
    """A frame every 20 ms. Only the first of a response may be sent sooner, so that it need not wait.

    The lead of a response is kept to its end and made up for in the next silence: packets are sent before their
    time, but their timestamps are always right.
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
        """A frame was sent; the next is due 20 ms later."""
        self.due += FRAME_SECONDS
        if silent:
            self.due += self._lead
            self._lead = 0.0

    def start_early(self, now: float) -> None:
        """A response begins: the next frame is due at once, or as soon as its lead allows."""
        early = min(self.due - now, _MAX_LEAD_SECONDS - self._lead)
        if early > 0:
            self.due -= early
            self._lead += early
