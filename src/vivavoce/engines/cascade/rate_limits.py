"""How much one conversation may ask for in a minute. Pure: it is told what time it is."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from vivavoce.errors import ProtocolError
from vivavoce.protocol.events import RateLimit

__all__ = ["RateLimits", "Window"]

_MINUTE = 60.0


@dataclass
class Window:
    """What was used of something in the last minute, and how much of it there is. Times are seconds."""

    most: int
    used: int = 0
    _uses: deque[tuple[float, int]] = field(default_factory=deque)

    def use(self, amount: int, now: float) -> None:
        """Use some of it, be it there or not."""
        self.pass_to(now)
        if amount:
            self._uses.append((now, amount))
            self.used += amount

    def pass_to(self, now: float) -> None:
        """Forget what was used more than a minute ago."""
        while self._uses and self._uses[0][0] <= now - _MINUTE:
            self.used -= self._uses.popleft()[1]

    @property
    def left(self) -> int:
        return max(0, self.most - self.used)

    def free_in(self, now: float) -> float:
        """Return the seconds until there is some of it again, where there is none."""
        used = self.used
        for at, amount in self._uses:
            used -= amount
            if used < self.most:
                return at + _MINUTE - now
        return 0.0

    def whole_in(self, now: float) -> float:
        """Return the seconds until there is all of it again."""
        return self._uses[-1][0] + _MINUTE - now if self._uses else 0.0


class RateLimits:
    """Counts the responses of a conversation and what they cost in tokens."""

    def __init__(self, *, responses: int, tokens: int) -> None:
        """Allow so many a minute."""
        self._requests, self._tokens = Window(responses), Window(tokens)

    def refusal(self, now: float) -> ProtocolError | None:
        """Return what is to be said to whoever asks for another response now, if they may not."""
        for window, limit, what in (
            (self._requests, "limits.responses_per_minute", "responses"),
            (self._tokens, "limits.tokens_per_minute", "tokens"),
        ):
            window.pass_to(now)
            if not window.left:
                return ProtocolError(
                    f"Rate limit reached: {window.most} {what} a minute ({limit}), {window.used} used. "
                    f"Try again in {window.free_in(now):.1f} s.",
                    code="rate_limit_exceeded",
                )
        return None

    def begin(self, now: float) -> None:
        """One more response begins."""
        self._requests.use(1, now)

    def spend(self, tokens: int, now: float) -> None:
        """A response has cost so many tokens."""
        self._tokens.use(tokens, now)

    def left(self, now: float) -> tuple[RateLimit, ...]:
        """Return what is left, as a client is told."""
        return self._told("requests", self._requests, now), self._told("tokens", self._tokens, now)

    def _told(self, name: Literal["requests", "tokens"], window: Window, now: float) -> RateLimit:
        window.pass_to(now)
        reset = round(window.whole_in(now), 3)
        return RateLimit(name=name, limit=window.most, remaining=window.left, reset_seconds=reset)
