"""Puts a caller through: an engine at the other end of a line, listeners on it, limits around it."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.tools import without_secrets
from vivavoce.session.call import ActiveCall, Caller, ClientLine, EngineLine, Refer, Sideband
from vivavoce.session.line import Engine, HungUp, Line, Listener, Middleware

__all__ = ["Attend", "Busy", "Caller", "Refer", "Seating", "Switchboard", "no_such_call"]

log = logging.getLogger(__name__)


Attend = Callable[[Caller], Listener]
"""Gives the listener that is to hear a caller's conversation. What is meant for an MCP server alone (a tool's
`authorization` and `headers`) is never heard."""

Seating = Callable[[Caller], Middleware]
"""Gives the attendant that is to sit on a caller's conversation."""


class Busy(ProtocolError):
    """Every place is taken: come back later."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"All {limit} conversations (limits.conversations) are taken; try again in a moment.",
            code="server_busy",
        )


def no_such_call(call_id: str) -> ProtocolError:
    """Nobody is known by this id."""
    return ProtocolError(f"There is no call '{call_id}', or it is over.", code="call_id_not_found")


class Switchboard:
    """Connects callers to one engine, as many at a time as `limits.conversations` allows."""

    def __init__(
        self,
        engine: Engine,
        *,
        limits: Limits | None = None,
        attend: Sequence[Attend] = (),
        seat: Seating | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._engine, self._attend, self._seat = engine, tuple(attend), seat
        self._exchanges: dict[str, ActiveCall] = {}

    @property
    def callers(self) -> frozenset[Caller]:
        """Who is connected now."""
        return frozenset(exchange.caller for exchange in self._exchanges.values())

    @asynccontextmanager
    async def connect(self, caller: Caller) -> AsyncIterator[Line]:
        """Give the caller's end of a line. Leaving the block hangs up and ends the whole conversation.

        Raises `Busy` when every place is taken.
        """
        if len(self._exchanges) >= self.limits.conversations:
            raise Busy(self.limits.conversations)
        introduced = replace(caller, session=caller.session and without_secrets(caller.session))
        listeners = [attend(introduced) for attend in self._attend]
        attendant = self._seat(introduced) if self._seat else None
        exchange = self._exchanges[caller.id] = ActiveCall(caller, self.limits, listeners, attendant)
        try:
            async with anyio.create_task_group() as tasks, ClientLine(exchange) as near:
                tasks.start_soon(self._converse, exchange)
                yield near
                tasks.cancel_scope.cancel()
        finally:
            del self._exchanges[caller.id]
            exchange.over()

    @asynccontextmanager
    async def join(self, call_id: str, *, extras: bool = False) -> AsyncIterator[Line]:
        """Give one more end of a conversation under way, whose `call_id` is the caller's id or the session's.

        Who joins hears what the caller hears (events of our own only with `extras`) and may say what they may.
        It begins with `session.created`, as things are; who lags too far behind is left behind, and their line
        ends. Raises `ProtocolError` if there is no such conversation, or too many have joined.
        """
        exchange = self._find(call_id)
        if len(exchange.beside) >= self.limits.sidebands:
            raise ProtocolError(
                f"{self.limits.sidebands} others have joined this call already (limits.sidebands).",
                code="rate_limit_exceeded",
            )
        with exchange.joined(extras=extras) as lane:
            async with Sideband(exchange, lane) as line:
                yield line

    def caller(self, call_id: str) -> Caller:
        """Return who holds a conversation. Raises `ProtocolError` if there is none."""
        return self._find(call_id).caller

    async def refer(self, call_id: str, target: str) -> None:
        """Hand a call over. Raises `ProtocolError` if there is none, or its transport cannot do that."""
        caller = self._find(call_id).caller
        if caller.refer is None:
            raise ProtocolError(
                f"Call '{call_id}' came by {caller.transport}, which cannot hand it over to a number.",
                code="call_cannot_be_referred",
            )
        await caller.refer(target)

    def hang_up(self, call_id: str) -> None:
        """End a conversation from outside. Raises `ProtocolError` if there is none."""
        self._find(call_id).down.end()

    def _find(self, call_id: str) -> ActiveCall:
        for exchange in self._exchanges.values():
            if call_id in (exchange.caller.id, exchange.session_id):
                return exchange
        raise no_such_call(call_id)

    async def _converse(self, exchange: ActiveCall) -> None:
        async with EngineLine(exchange) as line:
            try:
                await self._hold(exchange, line)
            except* HungUp:
                log.debug("%s hung up", exchange.caller.id)
            except* Exception:  # ours: it ends this conversation, and no other
                log.exception("conversation %s ended by an error of ours", exchange.caller.id)
                await _apologise(line)

    async def _hold(self, exchange: ActiveCall, line: Line) -> None:
        """Let the engine hold the conversation, and the attendant attend it as long as that lasts."""
        async with anyio.create_task_group() as tasks:
            if exchange.attendant:
                tasks.start_soon(exchange.attendant.attend, exchange.seat)
            await self._engine.converse(line, exchange.beginning)
            tasks.cancel_scope.cancel()


async def _apologise(line: Line) -> None:
    details = e.ErrorDetails(
        type="server_error",
        code="internal_error",
        message="An error of the server's ended this conversation; others go on. Please connect again.",
    )
    with anyio.move_on_after(1):
        try:
            await line.send(e.ErrorEvent(error=details))
        except HungUp:
            return
