"""What browsers ask before a page of another origin may talk to us, and be shown the answer (CORS).

Who may is for `security` to say; a page that may not gets no word of this, and its browser keeps the answer
from it.
"""

from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.config.schema import ServerTable
from vivavoce.web.security.guard import may_connect

__all__ = ["Cors"]

READABLE = "Location, Retry-After"
"""headers of ours that a page may read: where its call is, and when to come back"""
METHODS = "GET, POST, OPTIONS"
SECONDS = "600"
ASKED = "access-control-request-method"
ASKED_HEADERS = "access-control-request-headers"
ASKED_NETWORK = "access-control-request-private-network"


@dataclass(frozen=True)
class Cors:
    """Answers preflights, and lets pages that may connect read what we answer, errors included."""

    app: ASGIApp
    server: ServerTable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back readable; or answer it, if it is a preflight."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        allowed = origin is not None and may_connect(self.server, origin, headers.get("host", ""))

        async def send_readably(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.add_vary_header("Origin")
                if origin is not None and allowed:
                    answer["access-control-allow-origin"] = origin
                    answer["access-control-expose-headers"] = READABLE
            await send(message)

        if allowed and scope["method"] == "OPTIONS" and ASKED in headers:
            return await _consent(headers)(scope, receive, send_readably)
        return await self.app(scope, receive, send_readably)


def _consent(asked: Headers) -> Response:
    """Answer a preflight: whatever headers the client's library sends are welcome, and none is needed."""
    answer = {"access-control-allow-methods": METHODS, "access-control-max-age": SECONDS}
    if wanted := asked.get(ASKED_HEADERS):
        answer["access-control-allow-headers"] = wanted
    if asked.get(ASKED_NETWORK) == "true":
        answer["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=answer)
