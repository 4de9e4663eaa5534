"""Control of calls by HTTP from an application server: accept, reject, refer, hang up."""

import re
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.errors import ProtocolError
from vivavoce.protocol.codec import read_body, read_session
from vivavoce.protocol.validation import invalid
from vivavoce.runtime import Runtime
from vivavoce.web.errors import require_ready
from vivavoce.web.requests import read_bytes

DECLINE = 603
_URI = re.compile(r"(tel|sips?):[^\s<>\x00-\x1f\x7f]+")


class RejectRequest(Struct, frozen=True):
    """The body of `reject`: the SIP status that the caller receives."""

    status_code: Annotated[int, Meta(ge=400, le=699)] = DECLINE


class ReferRequest(Struct, frozen=True):
    """The body of `refer`: the URI to which the call is transferred."""

    target_uri: str


class CallControlEndpoint:
    """The endpoints under `/v1/realtime/calls/{call_id}`. On success they answer 200 without a body."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.limits = runtime, runtime.config.limits

    async def accept(self, request: Request) -> Response:
        """Accept an incoming call with the session in the body; answer when it is connected."""
        call_id = self._call_id(request)
        body = await read_bytes(request, self.limits, "session_bytes")
        session = read_session(body, self.limits)
        self.runtime.resolve_session(session)  # raises for an invalid session, before the call is connected
        await self.runtime.incoming_calls.accept(call_id, session)
        return Response()

    async def reject(self, request: Request) -> Response:
        """Reject an incoming call."""
        call_id = self._call_id(request)
        body = read_body(await read_bytes(request, self.limits, "session_bytes"), RejectRequest)
        self.runtime.incoming_calls.reject(call_id, body.status_code)
        return Response()

    async def refer(self, request: Request) -> Response:
        """Transfer a call to a telephone number or a SIP address."""
        call_id = self._connected_call_id(request)
        target = read_body(await read_bytes(request, self.limits, "session_bytes"), ReferRequest).target_uri
        if not _URI.fullmatch(target):
            examples = "'tel:+14155550123' or 'sip:agent@example.com'"
            raise invalid("target_uri", f"expected something like {examples}.")
        await self.runtime.switchboard.refer(call_id, target)
        return Response()

    async def hang_up(self, request: Request) -> Response:
        """End a call."""
        call_id = self._connected_call_id(request)
        self.runtime.switchboard.hang_up(call_id)
        return Response()

    def _call_id(self, request: Request) -> str:
        require_ready(self.runtime)
        return str(request.path_params["call_id"])

    def _connected_call_id(self, request: Request) -> str:
        call_id = self._call_id(request)
        if any(call.caller.id == call_id for call in self.runtime.incoming_calls.ringing):
            problem = f"Call '{call_id}' is still ringing; it can be accepted or rejected."
            raise ProtocolError(problem, code="call_not_accepted")
        return call_id
