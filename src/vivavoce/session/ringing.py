"""Incoming calls, which ring until they are accepted or rejected by HTTP."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import AnySession, Session
from vivavoce.session.call import Caller
from vivavoce.session.line import Line, Rejected
from vivavoce.session.switchboard import Switchboard, no_such_call

TEMPORARILY_UNAVAILABLE = 480
"""the SIP status (RFC 3261) of a call that is neither accepted nor rejected in time"""


@dataclass(frozen=True, eq=False)
class IncomingCall:
    """A ringing call. `headers` are SIP headers, as pairs of name and value."""

    caller: Caller
    headers: tuple[tuple[str, str], ...] = ()
    media_security: str | None = None


OnIncoming = Callable[[IncomingCall], Coroutine[object, object, None]]
"""Reports an incoming call; cancelled as soon as the call stops ringing."""


@dataclass(eq=False)
class _Ringing:
    call: IncomingCall
    session: AnySession | None = None
    status: int = TEMPORARILY_UNAVAILABLE
    failure: ProtocolError | None = None
    decided: anyio.Event = field(default_factory=anyio.Event)
    connected: anyio.Event = field(default_factory=anyio.Event)
    """set when an accepted call is connected, or has failed to be"""


class IncomingCalls:
    """Lets calls ring, at most `limits.ringing_calls` at a time, and connects those that are accepted."""

    def __init__(self, switchboard: Switchboard, on_incoming: OnIncoming | None = None) -> None:
        self._switchboard, self._limits, self._on_incoming = switchboard, switchboard.limits, on_incoming
        self._ringing: dict[str, _Ringing] = {}

    @property
    def ringing(self) -> tuple[IncomingCall, ...]:
        """The ringing calls, oldest first."""
        return tuple(ringing.call for ringing in self._ringing.values())

    @asynccontextmanager
    async def connect(self, call: IncomingCall) -> AsyncIterator[Line]:
        """Let a call ring; once it is accepted, yield its end of a line, as `Switchboard.connect` does.

        Raises `Rejected` if it is rejected, or not accepted within `limits.ringing_seconds`; `ProtocolError` if
        too many calls ring or are connected. Cancelling this ends the ringing.
        """
        if len(self._ringing) >= self._limits.ringing_calls:
            message = f"{self._limits.ringing_calls} calls (limits.ringing_calls) wait; try again in a moment."
            raise ProtocolError(message, code="server_busy")
        ringing = self._ringing[call.caller.id] = _Ringing(call, failure=no_such_call(call.caller.id))
        try:
            async with self._switchboard.connect(await self._accepted(ringing)) as line:
                ringing.failure = None
                ringing.connected.set()
                yield line
        except ProtocolError as failure:
            ringing.failure = failure
            raise
        finally:
            self._ringing.pop(call.caller.id, None)
            ringing.connected.set()

    async def accept(self, call_id: str, session: AnySession) -> None:
        """Accept a ringing call with this session; return when it is connected.

        Raises `ProtocolError` if it does not ring, or cannot be connected.
        """
        ringing = self._decide(call_id)
        ringing.session = session
        ringing.decided.set()
        await ringing.connected.wait()
        if ringing.failure is not None:
            raise ringing.failure

    def reject(self, call_id: str, status: int) -> None:
        """Reject a ringing call with a SIP status. Raises `ProtocolError` if it does not ring."""
        ringing = self._decide(call_id)
        ringing.status = status
        ringing.decided.set()

    async def _accepted(self, ringing: _Ringing) -> Caller:
        async with anyio.create_task_group() as tasks:
            if self._on_incoming is not None:
                tasks.start_soon(self._on_incoming, ringing.call)
            with anyio.move_on_after(self._limits.ringing_seconds):
                await ringing.decided.wait()
            tasks.cancel_scope.cancel()
        session = ringing.session
        if session is None:
            raise Rejected(ringing.status)
        model = session.model if isinstance(session, Session) and session.model else None
        return replace(ringing.call.caller, session=session, model=model)

    def _decide(self, call_id: str) -> _Ringing:
        """Remove and return a ringing call, so that it can be accepted or rejected only once."""
        if call_id in self._ringing:
            return self._ringing.pop(call_id)
        self._switchboard.caller(call_id)  # raises `call_id_not_found` if there is no such call at all
        message = f"Call '{call_id}' does not ring any more: it was accepted, or never had to be."
        raise ProtocolError(message, code="call_not_ringing")
