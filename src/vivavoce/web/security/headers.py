"""Response headers for browsers: a security policy for this server's page, and CORS for other pages."""

from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.config.schema import ServerTable
from vivavoce.web.security.guard import is_allowed_origin

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "microphone=(self), camera=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
EXPOSED = "Location, Retry-After"
"""headers that a page of an allowed origin may read: a call's URL, and when to retry"""
PREFLIGHT = {"access-control-allow-methods": "GET, POST, OPTIONS", "access-control-max-age": "600"}


@dataclass(frozen=True)
class BrowserHeaders:
    """Sets these headers on all HTTP responses, including errors, and answers CORS preflight requests.

    Starlette's CORS middleware cannot be used: here allowed origins depend on `Host`, and `Guard` rejects the
    others.
    """

    app: ASGIApp
    server: ServerTable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its response back with the headers; or answer it, if it is a preflight."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Headers(scope=scope)
        origin = request.get("origin")
        allowed = origin is not None and is_allowed_origin(self.server, origin, request.get("host", ""))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                response = MutableHeaders(scope=message)
                response.update(HEADERS)
                response.add_vary_header("Origin")
                if origin is not None and allowed:
                    response["access-control-allow-origin"] = origin
                    response["access-control-expose-headers"] = EXPOSED
            await send(message)

        is_preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in request
        respond = _preflight_response(request) if allowed and is_preflight else self.app
        return await respond(scope, receive, send_with_headers)


def _preflight_response(request: Headers) -> Response:
    """Allow all headers that the client's library sends; none of them is required."""
    headers = dict(PREFLIGHT)
    if requested := request.get("access-control-request-headers"):
        headers["access-control-allow-headers"] = requested
    if request.get("access-control-request-private-network") == "true":
        headers["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=headers)
