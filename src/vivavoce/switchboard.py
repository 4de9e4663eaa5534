"""Puts a caller through: an engine at the far end of a line, listeners on it, limits around it."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.line import HungUp, Line, Listener, open_line, tapped
from vivavoce.protocol.events import ErrorDetails, ErrorEvent, new_id

__all__ = ["Attend", "Busy", "Caller", "Engine", "Switchboard"]

log = logging.getLogger(__name__)


class Engine(Protocol):
    """What answers."""

    async def converse(self, line: Line) -> None:
        """Hold one conversation until the caller hangs up. Cancelling it ends all that it started."""
        ...


@dataclass(frozen=True)
class Caller:
    """Who calls, as far as the transport knows."""

    transport: str
    address: str = ""
    model: str | None = None
    id: str = field(default_factory=lambda: new_id("sess"))


Attend = Callable[[Caller], Listener]
"""Gives the listener that is to hear a caller's conversation."""


class Busy(ProtocolError):
    """Every place is taken: come back later."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"All {limit} conversations (limits.conversations) are taken; try again in a moment.",
            code="server_busy",
        )


class Switchboard:
    """Connects callers to one engine, as many at a time as `limits.conversations` allows."""

    def __init__(self, engine: Engine, *, limits: Limits | None = None, attend: Sequence[Attend] = ()) -> None:
        self.limits = limits or Limits()
        self._engine, self._attend = engine, tuple(attend)
        self._callers: set[Caller] = set()

    @property
    def callers(self) -> frozenset[Caller]:
        """Who is connected now."""
        return frozenset(self._callers)

    @asynccontextmanager
    async def connect(self, caller: Caller) -> AsyncIterator[Line]:
        """Give the caller's end of a line. Leaving the block hangs up and ends the whole conversation.

        Raises `Busy` when every place is taken.
        """
        if len(self._callers) >= self.limits.conversations:
            raise Busy(self.limits.conversations)
        near, far = open_line(self.limits.line_depth)
        far = tapped(far, *(attend(caller) for attend in self._attend))
        self._callers.add(caller)
        try:
            async with anyio.create_task_group() as tasks, near:
                tasks.start_soon(self._converse, far, caller)
                yield near
                tasks.cancel_scope.cancel()
        finally:
            self._callers.discard(caller)

    async def _converse(self, line: Line, caller: Caller) -> None:
        async with line:
            try:
                await self._engine.converse(line)
            except* HungUp:
                log.debug("%s hung up", caller.id)
            except* Exception:  # ours: it ends this conversation, and no other
                log.exception("conversation %s ended by an error of ours", caller.id)
                await _apologise(line)


async def _apologise(line: Line) -> None:
    details = ErrorDetails(
        type="server_error",
        code="internal_error",
        message="An error of the server's ended this conversation; others go on. Please connect again.",
    )
    with anyio.move_on_after(1):
        try:
            await line.send(ErrorEvent(error=details))
        except HungUp:
            return
