"""The rate limits of one conversation, over a sliding minute. No I/O: times are passed in."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from vivavoce.errors import ProtocolError
from vivavoce.protocol.events import RateLimit

_MINUTE = 60.0


@dataclass
class Window:
    """A sliding window of one minute over the use of a resource. Times are in seconds."""

    limit: int
    used: int = 0
    _uses: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, amount: int, now: float) -> None:
        """Count `amount`, whether or not it is within the limit."""
        self.advance(now)
        if amount:
            self._uses.append((now, amount))
            self.used += amount

    def advance(self, now: float) -> None:
        """Drop what was used more than a minute ago."""
        while self._uses and self._uses[0][0] <= now - _MINUTE:
            self.used -= self._uses.popleft()[1]

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    def seconds_until_some(self, now: float) -> float:
        """Return the seconds until the resource is available again, if it is exhausted."""
        used = self.used
        for at, amount in self._uses:
            used -= amount
            if used < self.limit:
                return at + _MINUTE - now
        return 0.0

    def seconds_until_all(self, now: float) -> float:
        """Return the seconds until all of the resource is available again."""
        return self._uses[-1][0] + _MINUTE - now if self._uses else 0.0


class RateLimits:
    """Counts the responses of a conversation, and their tokens."""

    def __init__(self, *, responses: int, tokens: int) -> None:
        """Allow this many responses and tokens per minute."""
        self._requests, self._tokens = Window(responses), Window(tokens)

    def exceeded(self, now: float) -> ProtocolError | None:
        """Return the error for another response now, or None if it may start."""
        for window, setting, what in (
            (self._requests, "limits.responses_per_minute", "responses"),
            (self._tokens, "limits.tokens_per_minute", "tokens"),
        ):
            window.advance(now)
            if not window.remaining:
                return ProtocolError(
                    f"Rate limit reached: {window.limit} {what} a minute ({setting}), {window.used} used. "
                    f"Try again in {window.seconds_until_some(now):.1f} s.",
                    code="rate_limit_exceeded",
                )
        return None

    def add_response(self, now: float) -> None:
        """Count one more response."""
        self._requests.add(1, now)

    def add_tokens(self, tokens: int, now: float) -> None:
        """Count the tokens of a response."""
        self._tokens.add(tokens, now)

    def status(self, now: float) -> tuple[RateLimit, ...]:
        """Return the contents of `rate_limits.updated`."""
        return self._report("requests", self._requests, now), self._report("tokens", self._tokens, now)

    def _report(self, name: Literal["requests", "tokens"], window: Window, now: float) -> RateLimit:
        window.advance(now)
        reset = round(window.seconds_until_all(now), 3)
        return RateLimit(name=name, limit=window.limit, remaining=window.remaining, reset_seconds=reset)
