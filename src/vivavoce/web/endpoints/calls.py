"""WebRTC calls: an SDP offer is posted and answered; audio and events then bypass HTTP.

The request's task runs the call until it has ended, so that stopping the server ends it, as with WebSockets.
"""

from importlib import import_module

import anyio.to_thread
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vivavoce.protocol.codec import read_session
from vivavoce.protocol.dialects import BETA, GA
from vivavoce.protocol.session import AnySession, Session
from vivavoce.protocol.settings import DEFAULT_TRANSCRIPTION, merge
from vivavoce.protocol.validation import missing
from vivavoce.runtime import Runtime
from vivavoce.transports.base import Connect, Handshake, address_of, wanted_store, wants_extras
from vivavoce.transports.webrtc.sdp import Ice, check_offer
from vivavoce.transports.webrtc.transport import Offer, WebRtcTransport
from vivavoce.web.errors import HttpError, require_ready
from vivavoce.web.requests import body_too_large, identity_of, limited_body, media_type, read_bytes

PATHS = ("/v1/realtime/calls", "/openai/v1/realtime/calls")
BETA_PATH = "/v1/realtime"
"""the path for offers before GA; such a call uses the beta dialect"""
PEER = "vivavoce.transports.webrtc.peer"
FORM_BYTES = 16 * 1024
"""the fields of a form besides the offer and the session"""


class CallsEndpoint:
    """An ASGI application that accepts offers (`POST` to `paths`), and runs their calls."""

    paths = (*PATHS, BETA_PATH)

    def __init__(self, runtime: Runtime, connect: Connect) -> None:
        self.runtime, self.limits = runtime, runtime.config.limits
        table = runtime.config.webrtc
        credential = table.turn_credential.get_secret_value() if table.turn_credential else None
        ice = Ice(table.stun, table.turn, table.turn_username, credential)
        self.webrtc = WebRtcTransport(connect, self.limits, ice)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an offer with 201, and run its call; return when it has ended."""
        require_ready(self.runtime)
        await _import_aiortc()
        request = Request(scope, receive)
        sdp, session = await self._read(request)

        async def send_answer(call_id: str, answer: str) -> None:
            location = {"location": f"/v1/realtime/calls/{call_id}"}
            await Response(answer, 201, location, "application/sdp")(scope, receive, send)

        await self.webrtc.accept(Offer(sdp, self._handshake(request, session), send_answer))

    def _handshake(self, request: Request, session: AnySession | None) -> Handshake:
        session = self._resolve(getattr(request.state, "session", None), session)
        query = request.query_params
        model = query.get("model")
        if model is None and isinstance(session, Session) and session.model:
            model = session.model
        address = address_of(request.scope)
        dialect = BETA if request.url.path == BETA_PATH else GA
        return Handshake(
            address,
            model,
            session,
            dialect=dialect,
            extras=wants_extras(query),
            identity=identity_of(request),
            continues=getattr(request.state, "continues", None) or query.get("conversation") or None,
            store=wanted_store(query, getattr(request.state, "store", "all")),
        )

    def _resolve(self, bound: AnySession | None, wanted: AnySession | None) -> AnySession | None:
        """Return the session of the client secret, merged with that of the request. Raises if it is invalid."""
        session = self._merge(bound, wanted) if bound and wanted else wanted or bound
        if session:
            default = self.runtime.session if isinstance(session, Session) else DEFAULT_TRANSCRIPTION
            self._merge(default, session)
            self.runtime.check_language(session)
        return session

    def _merge(self, session: AnySession, update: AnySession) -> AnySession:
        if isinstance(session, Session):
            return merge(session, update, tools=self.limits.tools)
        return merge(session, update)

    async def _read(self, request: Request) -> tuple[str, AnySession | None]:
        kind = media_type(request)
        if kind == "application/sdp":
            return self._offer(await read_bytes(request, self.limits, "sdp_bytes")), None
        if kind != "multipart/form-data":
            message = "The body must be application/sdp, or multipart/form-data with the parts sdp and session."
            raise HttpError(415, message, code="unsupported_media_type")
        max_bytes = self.limits.sdp_bytes + self.limits.session_bytes + FORM_BYTES
        async with (
            limited_body(request, self.limits, max_bytes, "sdp_bytes, session_bytes") as body,
            body.form(max_part_size=max_bytes) as form,
        ):
            sdp, session = await _part(form, "sdp"), await _part(form, "session")
        if sdp is None:
            raise missing("sdp")
        return self._offer(sdp), None if session is None else self._session(session)

    def _offer(self, sdp: bytes) -> str:
        if len(sdp) > self.limits.sdp_bytes:
            raise body_too_large(self.limits.sdp_bytes, "sdp_bytes")
        offer = sdp.decode(errors="replace")
        check_offer(offer)
        return offer

    def _session(self, session: bytes) -> AnySession:
        if len(session) > self.limits.session_bytes:
            raise body_too_large(self.limits.session_bytes, "session_bytes")
        return read_session(session, self.limits)


async def _import_aiortc() -> None:
    """Import aiortc, which is slow the first time. Raises `HttpError` if it is not installed."""
    try:
        await anyio.to_thread.run_sync(import_module, PEER)
    except ModuleNotFoundError as error:
        message = "WebRTC needs aiortc on the server; to install it there: pip install 'vivavoce[webrtc]'."
        raise HttpError(501, message, code="not_installed") from error


async def _part(form: FormData, name: str) -> bytes | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        return await value.read()
    return value.encode() if value is not None else None
