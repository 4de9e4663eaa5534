"""Where incoming calls ring until somebody says what to do with them: accept, reject, or let them be."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import Session, TranscriptionSession
from vivavoce.session.line import Line, Rejected
from vivavoce.session.switchboard import Caller, Switchboard, no_such_call

__all__ = ["NOBODY_ANSWERED", "Incoming", "IncomingCalls", "TellOfCall"]

NOBODY_ANSWERED = 480
"""what a caller is told when nobody said anything in time (SIP: temporarily unavailable)"""

Settings = Session | TranscriptionSession


@dataclass(frozen=True, eq=False)
class Incoming:
    """A call that wants to come in, and what its transport was told about it: headers, as names and values."""

    caller: Caller
    headers: tuple[tuple[str, str], ...] = ()
    media_security: str | None = None


TellOfCall = Callable[[Incoming], Coroutine[object, object, None]]
"""Tells somebody that a call rings; it is cancelled as soon as that is over."""


@dataclass(eq=False)
class _Ringing:
    call: Incoming
    session: Settings | None = None
    status: int = NOBODY_ANSWERED
    failure: ProtocolError | None = None
    decided: anyio.Event = field(default_factory=anyio.Event)
    settled: anyio.Event = field(default_factory=anyio.Event)


class IncomingCalls:
    """Lets calls ring, at most `limits.ringing_calls` at a time, and puts those through that are accepted."""

    def __init__(self, switchboard: Switchboard, tell: TellOfCall | None = None) -> None:
        self._switchboard, self._limits, self._tell = switchboard, switchboard.limits, tell
        self._ringing: dict[str, _Ringing] = {}

    @property
    def ringing(self) -> tuple[Incoming, ...]:
        """The calls that wait, the oldest first."""
        return tuple(ringing.call for ringing in self._ringing.values())

    @asynccontextmanager
    async def enter(self, call: Incoming) -> AsyncIterator[Line]:
        """Let a call ring; once it is accepted, give its end of a line, as `Switchboard.connect` does.

        Raises `Rejected` if it is turned away, or nobody answers within `limits.ringing_seconds`, and
        `ProtocolError` when too many ring or every place is taken. A caller who gives up leaves the block.
        """
        if len(self._ringing) >= self._limits.ringing_calls:
            message = f"{self._limits.ringing_calls} calls (limits.ringing_calls) wait; try again in a moment."
            raise ProtocolError(message, code="server_busy")
        ringing = self._ringing[call.caller.id] = _Ringing(call, failure=no_such_call(call.caller.id))
        try:
            async with self._switchboard.connect(await self._accepted(ringing)) as line:
                ringing.failure = None
                ringing.settled.set()
                yield line
        except ProtocolError as failure:
            ringing.failure = failure
            raise
        finally:
            self._ringing.pop(call.caller.id, None)
            ringing.settled.set()

    async def accept(self, call_id: str, session: Settings) -> None:
        """Have a ringing call put through, held as `session` wants it; return when it is.

        Raises `ProtocolError` if it does not ring, or cannot be put through after all.
        """
        ringing = self._take(call_id)
        ringing.session = session
        ringing.decided.set()
        await ringing.settled.wait()
        if ringing.failure is not None:
            raise ringing.failure

    def reject(self, call_id: str, status: int) -> None:
        """Turn a ringing call away, with SIP's status. Raises `ProtocolError` if it does not ring."""
        ringing = self._take(call_id)
        ringing.status = status
        ringing.decided.set()

    async def _accepted(self, ringing: _Ringing) -> Caller:
        async with anyio.create_task_group() as tasks:
            if self._tell is not None:
                tasks.start_soon(self._tell, ringing.call)
            with anyio.move_on_after(self._limits.ringing_seconds):
                await ringing.decided.wait()
            tasks.cancel_scope.cancel()
        session = ringing.session
        if session is None:
            raise Rejected(ringing.status)
        model = session.model if isinstance(session, Session) and session.model else None
        return replace(ringing.call.caller, session=session, model=model)

    def _take(self, call_id: str) -> _Ringing:
        """Return a ringing call, which nobody else may then decide on."""
        if call_id in self._ringing:
            return self._ringing.pop(call_id)
        self._switchboard.caller(call_id)
        raise ProtocolError(
            f"Call '{call_id}' does not ring any more: it was accepted, or never had to be.",
            code="call_not_ringing",
        )
