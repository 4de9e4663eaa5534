"""Who may come in: asked for by which name, sent by which page, with which key. HTTP and WebSocket alike.

A browser lets any page open a socket to this machine, and any name lead to it (DNS rebinding): so pages of
strangers are known by their `Origin`, and strange names by their `Host`.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.config import ServerTable, is_loopback
from vivavoce.web.answers import Refused, refusal

__all__ = ["KEY_SUBPROTOCOL", "OPEN_PATHS", "Guard", "SafeHeaders"]

KEY_SUBPROTOCOL = "openai-insecure-api-key."
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/v1/status"})
READING = frozenset({"GET", "HEAD"})


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


@dataclass(frozen=True)
class SafeHeaders:
    """Puts on every answer what keeps a page of ours from running or leaking anything of others."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back with `HEADERS`."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_safely if scope["type"] == "http" else send)


@dataclass(frozen=True)
class Guard:
    """Stands before an ASGI application and lets in only those who may."""

    app: ASGIApp
    server: ServerTable
    keys: tuple[str, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 401, 403 or 421."""
        if scope["type"] != "lifespan":
            try:
                self._check(scope)
            except Refused as error:
                return await refusal(error)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers.get("host", ""))
        if scope["type"] == "websocket" or scope["method"] not in READING:
            self._check_origin(headers.get("origin"), headers.get("host", ""))
        if self.keys and not _is_open(scope["path"]):
            self._check_key(headers, scope)

    def _check_host(self, host: str) -> None:
        name = urlsplit(f"//{host}").hostname or ""
        if self.server.is_local and not is_loopback(name) and name not in self.server.hosts:
            raise Refused(
                421,
                "This server is asked for by a name that it does not know (server.hosts).",
                code="unknown_host",
            )

    def _check_origin(self, origin: str | None, host: str) -> None:
        if origin is None or origin in self.server.origins:
            return
        page = urlsplit(origin)
        if not is_loopback(page.hostname or "") and page.netloc != host:
            raise Refused(
                403, "Pages of this origin may not connect (server.origins).", code="origin_not_allowed"
            )

    def _check_key(self, headers: Headers, scope: Scope) -> None:
        shown = list(_shown(headers, scope))
        matches = [hmac.compare_digest(key.encode(), known.encode()) for key in shown for known in self.keys]
        if not any(matches):
            message = (
                "The key is not one of this server's." if shown else "This server asks for a key (bearer)."
            )
            raise Refused(401, message, code="invalid_api_key")


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/static/")


def _shown(headers: Headers, scope: Scope) -> Iterator[str]:
    """Yield the keys that a client shows. Browsers can set no header on a WebSocket: they use a subprotocol."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield key.strip()
    for offered in scope.get("subprotocols", ()):
        if offered.startswith(KEY_SUBPROTOCOL):
            yield offered.removeprefix(KEY_SUBPROTOCOL)
