"""What a server says by HTTP about a call that somebody else holds: accept, reject, refer, hang up."""

import re

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.errors import ProtocolError
from vivavoce.protocol.bodies import read_body, read_session
from vivavoce.protocol.validation import invalid
from vivavoce.runtime import Runtime
from vivavoce.web.errors import not_ready
from vivavoce.web.request_body import read

__all__ = ["CallControlEndpoint"]

DECLINED = 603
_URI = re.compile(r"(tel|sips?):[^\s<>\x00-\x1f\x7f]+")


class Reject(Struct, frozen=True, kw_only=True):
    """The body of `reject`: the status that SIP tells the caller."""

    status_code: int = DECLINED


class Refer(Struct, frozen=True, kw_only=True):
    """The body of `refer`: whom the call is handed over to."""

    target_uri: str


class CallControlEndpoint:
    """The endpoints under `/v1/realtime/calls/{call_id}`. All answer 200 and nothing more."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.limits = runtime, runtime.config.limits

    async def accept(self, request: Request) -> Response:
        """Put an incoming call through, to be held as the body says; answer when it is."""
        call_id = self._call_id(request)
        body = await read(request, self.limits, self.limits.session_bytes, "session_bytes")
        session = read_session(body, text_chars=self.limits.text_chars, values=self.limits.event_values)
        self.runtime.resolve_session(session)  # what is wrong with it is told before anybody is put through
        await self.runtime.incoming_calls.accept(call_id, session)
        return Response()

    async def reject(self, request: Request) -> Response:
        """Turn an incoming call away."""
        call_id = self._call_id(request)
        wish = read_body(await read(request, self.limits, self.limits.session_bytes, "session_bytes"), Reject)
        if not 400 <= wish.status_code <= 699:
            raise invalid("status_code", f"expected 400 to 699, got {wish.status_code}.")
        self.runtime.incoming_calls.reject(call_id, wish.status_code)
        return Response()

    async def refer(self, request: Request) -> Response:
        """Hand a call over to a number or an address."""
        call_id = self._running(request)
        wish = read_body(await read(request, self.limits, self.limits.session_bytes, "session_bytes"), Refer)
        if not _URI.fullmatch(wish.target_uri):
            raise invalid(
                "target_uri", "expected something like 'tel:+14155550123' or 'sip:agent@example.com'."
            )
        await self.runtime.switchboard.refer(call_id, wish.target_uri)
        return Response()

    async def hang_up(self, request: Request) -> Response:
        """End a call."""
        call_id = self._running(request)
        self.runtime.switchboard.hang_up(call_id)
        return Response()

    def _call_id(self, request: Request) -> str:
        if not self.runtime.ready:
            raise not_ready()
        return str(request.path_params["call_id"])

    def _running(self, request: Request) -> str:
        call_id = self._call_id(request)
        if any(call.caller.id == call_id for call in self.runtime.incoming_calls.ringing):
            raise ProtocolError(
                f"Call '{call_id}' still rings; it can be accepted or rejected.", code="call_not_accepted"
            )
        return call_id
