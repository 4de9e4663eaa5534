"""The policy for connecting and reconnecting to a server: how often, and when."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

import anyio

from vivavoce.backoff import backoff, jittered
from vivavoce.errors import ProviderError

log = logging.getLogger(__name__)

SESSION_EXPIRED = "session_expired"
"""the code with which a server ends a session at its maximum duration; a new session may continue it"""
STEADY_SECONDS = 10
"""seconds after which a connection counts as stable: the count of failed attempts is reset"""
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0

Ended = TypeVar("Ended", bound=ProviderError | None)


def reconnect_delay(attempt: int, jitter: Callable[[float], float] = jittered) -> float:
    """Return the seconds to wait after `attempt` failed attempts (from 1)."""
    return jitter(backoff(attempt, first=FIRST_SECONDS, longest=LONGEST_SECONDS))


@dataclass
class Reconnecting:
    """Connects to a server repeatedly, until that is no longer useful.

    Before the first connection (`was_connected` is False), `connect_attempts` are made. After a loss,
    `reconnect_attempts` may fail in a row, for at most `reconnect_seconds`. With `losses_per_minute` the first
    attempt after a loss is made at once, unless there were that many losses. `delay` returns the seconds to
    wait after a number of failed attempts; `on_retry` is called before each wait, with the error, the number
    of attempts and the seconds.
    """

    connect_attempts: int
    reconnect_attempts: float = inf
    reconnect_seconds: float = inf
    losses_per_minute: int = 0
    delay: Callable[[int], float] = reconnect_delay
    on_retry: Callable[[ProviderError, int, float], None] = lambda error, attempt, seconds: None
    was_connected: bool = False
    _connected_at: float | None = None
    _attempt: int = 0
    _failing_since: float = 0
    _losses: deque[float] = field(default_factory=deque)

    @property
    def is_connected(self) -> bool:
        """Whether the current attempt has led to a connection."""
        return self._connected_at is not None

    def connected(self) -> None:
        """Record that this attempt has succeeded: the server has accepted the session."""
        self.was_connected, self._connected_at = True, anyio.current_time()

    async def run(self, connect: Callable[[], Awaitable[Ended]]) -> Ended:
        """Call `connect` for one connection after the other.

        It returns why the connection failed or was lost, or None if there should be no further one. Returns
        the last of these results.
        """
        self._failing_since = anyio.current_time()
        while True:
            self._connected_at = None
            error = await connect()
            seconds = None if error is None else self._wait_after(error)
            if error is None or seconds is None:
                return error
            log.warning("%s; connecting again in %.1f s (attempt %d)", error, seconds, self._attempt + 1)
            self.on_retry(error, self._attempt, seconds)
            await anyio.sleep(seconds)

    def _wait_after(self, error: ProviderError) -> float | None:
        """Return after how many seconds to connect again, or None to give up."""
        now = anyio.current_time()
        if self._connected_at is not None:
            if self.losses_per_minute or now - self._connected_at > STEADY_SECONDS:
                self._attempt = 0
            self._failing_since = now
            if self.losses_per_minute:
                return 0 if error.retryable and self._may_lose_another(now) else None
        self._attempt += 1
        gives_up = self._attempt >= self.connect_attempts
        if self.was_connected:
            too_long = now - self._failing_since > self.reconnect_seconds
            gives_up = self._attempt > self.reconnect_attempts or too_long
        return None if gives_up or not error.retryable else self.delay(self._attempt)

    def _may_lose_another(self, now: float) -> bool:
        self._losses.append(now)
        while self._losses[0] <= now - 60:
            self._losses.popleft()
        return len(self._losses) < self.losses_per_minute
