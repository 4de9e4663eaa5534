"""Calling those who may answer, one after the other, and again where they were lost."""

import logging
from collections.abc import Callable, Iterable
from math import inf

import anyio

from vivavoce.engines.cascade.rate_limits import Window
from vivavoce.engines.remote.relay import Lost, Relay, UpstreamServer
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits

__all__ = ["Reconnecting"]

log = logging.getLogger(__name__)

TRIES = 3
"""how often somebody is called whom the caller waits for, and has not heard yet"""
LOSSES = 5
"""how often a minute somebody may be lost; more often, it is of no use to call them again"""


class Reconnecting:
    """Has somebody answer a conversation, from the first call to the last."""

    def __init__(self, relay: Relay, limits: Limits, wait: Callable[[int], float]) -> None:
        """Put those who answer through to `relay`. `wait` is the seconds to wait after so many calls."""
        self._relay, self._limits, self._wait = relay, limits, wait
        self._answered = False
        """who was called last was there"""

    async def make(self, ends: Iterable[UpstreamServer]) -> Lost:
        """Call each in turn for as long as they can be reached; return why the last cannot."""
        lost = Lost("there is nobody to call", retryable=False)
        why = ""
        for end in ends:
            lost = await self._hold(end, why)
            why = f"{end.name}: {lost.why}"
            log.warning("%s", why)
            if lost.retryable:  # what it has against this conversation is no reason to keep others from it
                end.down()
        return Lost(why, lost.retryable)

    async def _hold(self, end: UpstreamServer, why: str) -> Lost:
        """Call somebody as often as it takes, and as it may; return why they are not called again."""
        losses, tries, since = Window(LOSSES), 0, anyio.current_time()
        while True:
            lost = await self._call(end, why)
            now = anyio.current_time()
            if self._answered:
                log.warning("%s was lost: %s", end.name, lost.why)
                await self._relay.lose(lost.why)
                losses.use(1, now)
                tries, since, why = 0, now, "reconnected"
                if not losses.left or not lost.retryable:
                    return lost
                continue
            tries += 1
            waited = (
                now - since > self._limits.upstream_reconnect_seconds if self._relay.begun else tries >= TRIES
            )
            if waited or not lost.retryable:
                return lost
            await anyio.sleep(self._wait(tries))

    async def _call(self, end: UpstreamServer, why: str) -> Lost:
        """Call once, and carry until the line breaks."""
        self._answered = False
        with anyio.CancelScope(deadline=anyio.current_time() + self._limits.upstream_connect_seconds) as scope:
            try:
                async with end.connect(self._relay.session) as far:
                    if refusal := await self._relay.agree(end, far):
                        return refusal
                    self._answered, scope.deadline = True, inf
                    return await self._relay.carry(end, far, why)
            except ProviderError as error:
                return Lost(error.message, error.retryable)
        return Lost("it does not answer (limits.upstream_connect_seconds)")
