"""The switchboard: connects callers to an engine, with listeners and middleware, within limits."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import anyio

from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.session import AnySession, TranscriptionSession
from vivavoce.protocol.tools import without_secrets
from vivavoce.session.call import (
    ActiveCall,
    Brief,
    Caller,
    ClientLine,
    EngineLine,
    MiddlewareHandle,
    Recall,
    Recalled,
    Sideband,
)
from vivavoce.session.line import Engine, HungUp, Line
from vivavoce.session.middleware import Listener, Middleware

log = logging.getLogger(__name__)


ListenerFactory = Callable[[Caller], Listener]
"""Returns the listener of a caller's conversation. The events it observes contain no credentials of MCP servers
(`authorization` and `headers` of a tool)."""

MiddlewareFactory = Callable[[Caller], Middleware | None]
"""Returns the middleware of a caller's conversation; None if it needs none."""

SessionFor = Callable[[Caller, AnySession | None], AnySession | None]
"""Returns the session with which a caller's conversation begins, for the one that is requested."""


class Busy(ProtocolError):
    """The limit on concurrent conversations is reached."""

    def __init__(self, limit: int) -> None:
        message = f"All {limit} conversations (limits.conversations) are taken; try again in a moment."
        super().__init__(message, code="server_busy")


def no_such_call(call_id: str) -> ProtocolError:
    """Return the error about an unknown call id."""
    return ProtocolError(f"There is no call '{call_id}', or it is over.", code="call_id_not_found")


def _not_continued(why: str) -> ProtocolError:
    message = f"The earlier conversation cannot be continued, because {why}; this one begins without it."
    return ProtocolError(message, code="conversation_unavailable", param="conversation")


class Switchboard:
    """Connects callers to one engine, at most `limits.conversations` at a time.

    `recall` finds what a caller continues (`Caller.continues`); without it nothing is stored. `brief` returns
    the instructions of a conversation, for callers that bring none. `session_for` may add to their sessions.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        limits: Limits | None = None,
        listeners: Sequence[ListenerFactory] = (),
        middleware: MiddlewareFactory | None = None,
        recall: Recall | None = None,
        brief: Brief | None = None,
        session_for: SessionFor = lambda caller, session: session,
    ) -> None:
        self.limits = limits or Limits()
        self._engine, self._listeners, self._middleware = engine, tuple(listeners), middleware
        self._recall, self._brief, self._session_for = recall, brief, session_for
        self._calls: dict[str, ActiveCall] = {}

    @property
    def callers(self) -> frozenset[Caller]:
        """The callers that are connected now."""
        return frozenset(call.caller for call in self._calls.values())

    @asynccontextmanager
    async def connect(self, caller: Caller) -> AsyncIterator[Line]:
        """Yield the caller's end of a line. Leaving the block hangs up, and ends the conversation.

        Raises `Busy` if `limits.conversations` calls are active.
        """
        if len(self._calls) >= self.limits.conversations:
            raise Busy(self.limits.conversations)
        shown = replace(caller, session=caller.session and without_secrets(caller.session))
        listeners = [listener(shown) for listener in self._listeners]
        middleware = self._middleware(shown) if self._middleware else None
        is_prepared = caller.continues is None and not self._is_briefed(caller)
        call = ActiveCall(caller, self.limits, listeners, middleware, is_prepared=is_prepared)
        self._calls[caller.id] = call
        try:
            async with anyio.create_task_group() as tasks, ClientLine(call) as line:
                tasks.start_soon(self._serve, call)
                yield line
                tasks.cancel_scope.cancel()
        finally:
            del self._calls[caller.id]
            call.close()

    @asynccontextmanager
    async def join(self, call_id: str, *, extras: bool = False) -> AsyncIterator[Line]:
        """Yield a further end of an active call (a sideband). `call_id` is the caller's id or the session's.

        It receives what the caller receives (vivavoce's own events only with `extras`), and may send what the
        caller may send. It starts with `session.created`, with the current settings, and is closed when
        `limits.sideband_depth` events wait to be read. Raises `ProtocolError` if there is no such call, or it
        has `limits.sidebands` already.
        """
        call = self._find(call_id)
        if len(call.sidebands) >= self.limits.sidebands:
            message = f"{self.limits.sidebands} others have joined this call already (limits.sidebands)."
            raise ProtocolError(message, code="rate_limit_exceeded")
        with call.join(extras=extras) as queue:
            async with Sideband(call, queue) as line:
                yield line

    def caller(self, call_id: str) -> Caller:
        """Return the caller of a call. Raises `ProtocolError` if there is no such call."""
        return self._find(call_id).caller

    async def refer(self, call_id: str, target: str) -> None:
        """Transfer a call to a URI (`tel:…`, `sip:…`).

        Raises `ProtocolError` if there is no such call, or its transport cannot transfer calls.
        """
        caller = self._find(call_id).caller
        if caller.refer is None:
            message = f"Call '{call_id}' came by {caller.transport}, which cannot transfer it to a number."
            raise ProtocolError(message, code="call_cannot_be_referred")
        await caller.refer(target)

    async def leave(self, call_id: str) -> None:
        """End a call once what was said has been heard, where that is known; else at once.

        Raises `ProtocolError` if there is no such call.
        """
        caller = self._find(call_id).caller
        if caller.leave is None:
            self.hang_up(call_id)
        else:
            await caller.leave()

    async def press(self, call_id: str, keys: str) -> None:
        """Send the tones of telephone keys, once what was said has been heard.

        Raises `ProtocolError` if there is no such call, or it is none by telephone.
        """
        caller = self._find(call_id).caller
        if caller.press is None:
            message = f"Call '{call_id}' came by {caller.transport}, which has no telephone keys."
            raise ProtocolError(message, code="call_has_no_keys")
        await caller.press(keys)

    def hang_up(self, call_id: str) -> None:
        """End a call from the server's side. Raises `ProtocolError` if there is no such call."""
        self._find(call_id).to_engine.close()

    def _find(self, call_id: str) -> ActiveCall:
        for call in self._calls.values():
            if call_id == call.caller.id or (call.session and call_id == call.session.id):
                return call
        raise no_such_call(call_id)

    async def _begin(self, call: ActiveCall) -> None:
        """Give the engine its instructions and what the caller continues, if any; then run the middleware."""
        async with anyio.create_task_group() as tasks:
            if self._is_briefed(call.caller):
                tasks.start_soon(self._instruct, call)
            if call.caller.continues is not None:
                tasks.start_soon(self._continue, call)
        call.prepared.set()
        if call.middleware:
            await call.middleware.run(MiddlewareHandle(call))

    async def _continue(self, call: ActiveCall) -> None:
        """Have the earlier conversation continued, or tell the client why it is not."""
        try:
            recalled, error = await self._recalled(call.caller), None
        except ProtocolError as refusal:
            recalled, error = None, error_event(refusal)
        await call.begun.wait()
        if recalled:
            await call.continue_from(recalled)
        if error:
            call.observe(error, "server")
            await call.send_to_caller(error)

    def _is_briefed(self, caller: Caller) -> bool:
        session = caller.session
        if isinstance(session, TranscriptionSession):
            return False
        return self._brief is not None and (session is None or not session.instructions)

    async def _instruct(self, call: ActiveCall) -> None:
        instructions = await self._brief(call.caller) if self._brief else None
        if instructions:
            call.instruct(instructions)

    async def _recalled(self, caller: Caller) -> Recalled:
        if self._recall is None:
            raise _not_continued("nothing is stored here ([store] enabled)")
        if isinstance(caller.session, TranscriptionSession):
            raise _not_continued("this session only transcribes")
        try:
            with anyio.fail_after(self.limits.recall_seconds):
                return await self._recall(caller)
        except TimeoutError as error:
            raise _not_continued("reading it takes too long (limits.recall_seconds)") from error
        except ProviderError as error:
            log.warning("%s cannot continue a conversation: %s", caller.id, error)
            raise _not_continued("it cannot be read at the moment") from error

    async def _serve(self, call: ActiveCall) -> None:
        """Run the engine, and meanwhile the middleware."""
        async with EngineLine(call) as line:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._begin, call)
                    session = self._session_for(call.caller, call.initial_session)
                    await self._engine.converse(line, session)
                    call.ended_by = "server"
                    tasks.cancel_scope.cancel()
            except* HungUp:
                log.debug("%s hung up", call.caller.id)
            except* Exception:  # a bug: it ends this conversation only, and the client is told so
                call.ended_by = "error"
                log.exception("conversation %s ended by an internal error", call.caller.id)
                message = "An internal error ended this conversation; others go on. Please connect again."
                details = e.ErrorDetails(type="server_error", code="internal_error", message=message)
                with anyio.move_on_after(1), suppress(HungUp):
                    await line.send(e.ErrorEvent(error=details))
