"""Who may come in: asked for by which name, sent by which page, with which key. HTTP and WebSocket alike.

A browser lets any page open a socket to this machine, and any name lead to it (DNS rebinding): so pages of
strangers are known by their `Origin`, and strange names by their `Host`.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.config.schema import ServerTable, is_loopback
from vivavoce.transports.websocket import PATHS
from vivavoce.web.errors import Refused, refusal
from vivavoce.web.security.client_secrets import PREFIX, ClientSecrets

__all__ = ["KEY_SUBPROTOCOL", "OPEN_PATHS", "Guard", "SafeHeaders", "may_connect"]

KEY_SUBPROTOCOL = "openai-insecure-api-key."
KEY_NAME = "api-key"
"""how Azure calls the header, and in its preview the query parameter, that show the key"""
KEY_PARAMETERS = frozenset({KEY_NAME, "authorization"})
"""headers, and parameters in Azure's preview, that show a key; as the latter both are for browsers"""
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/v1/status"})
DOORS = frozenset({*PATHS, *(f"{path}/calls" for path in PATHS)})
"""where conversations begin, by WebSocket or by a call"""
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
    secrets: ClientSecrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 401, 403 or 421."""
        if scope["type"] != "lifespan":
            scope["path"] = _plain(scope["path"])
            try:
                self._check(scope)
            except Refused as error:
                return await refusal(error)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers, shown = Headers(scope=scope), _take_keys(scope)
        self._check_host(headers.get("host", ""))
        if scope["type"] == "websocket" or scope["method"] not in READING:
            self._check_origin(headers.get("origin"), headers.get("host", ""))
        if not _is_open(scope["path"]):
            self._check_keys(shown, scope)

    def _check_host(self, host: str) -> None:
        name = _split(f"//{host}").hostname or ""
        if self.server.is_local and not is_loopback(name) and name not in self.server.hosts:
            raise Refused(
                421,
                "This server is asked for by a name that it does not know (server.hosts).",
                code="unknown_host",
            )

    def _check_origin(self, origin: str | None, host: str) -> None:
        if origin is not None and not may_connect(self.server, origin, host):
            raise Refused(
                403, "Pages of this origin may not connect (server.origins).", code="origin_not_allowed"
            )

    def _check_keys(self, shown: Sequence[str], scope: Scope) -> None:
        matches = [hmac.compare_digest(key.encode(), known.encode()) for key in shown for known in self.keys]
        if any(matches):
            return
        if secret := next((key for key in shown if key.startswith(PREFIX)), None):
            self._admit(secret, scope)
        elif self.keys:
            message = (
                "The key is not one of this server's." if shown else "This server asks for a key (bearer)."
            )
            raise Refused(401, message, code="invalid_api_key")

    def _admit(self, secret: str, scope: Scope) -> None:
        """Let in who shows a client secret, bound as they are, and where no key is asked for as well."""
        session = self.secrets.session(secret)
        if session is None:
            raise Refused(401, "This client secret is none of ours, or has expired.", code="invalid_api_key")
        if not _begins_a_conversation(scope):
            message = "A client secret is good for beginning a Realtime conversation, and for nothing else."
            raise Refused(403, message, code="client_secret_not_allowed")
        scope.setdefault("state", {})["session"] = session


def may_connect(server: ServerTable, origin: str, host: str) -> bool:
    """Say whether pages of this origin may: our own, those of this machine, and those that the owner names."""
    if origin in server.origins:
        return True
    page = _split(origin)
    return is_loopback(page.hostname or "") or page.netloc == host != ""


def _split(address: str) -> SplitResult:
    """Take an address apart; one that is none has no parts."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _begins_a_conversation(scope: Scope) -> bool:
    query = parse_qsl(scope["query_string"].decode("latin-1"))
    return scope["path"] in DOORS and not any(name == "call_id" for name, _ in query)


def _plain(path: str) -> str:
    """Return a path without slashes too many, as clients leave them in (`/v1//realtime/`)."""
    return "/" + "/".join(filter(None, path.split("/")))


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/static/")


def _take_keys(scope: Scope) -> Sequence[str]:
    """Return the keys that a client shows; one in the query is taken out, for addresses are written down."""
    headers = Headers(scope=scope)
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    asked = [(name.lower(), value) for name, value in query if name.lower() in KEY_PARAMETERS]
    if asked:
        left = [(name, value) for name, value in query if name.lower() not in KEY_PARAMETERS]
        scope["query_string"] = urlencode(left).encode()
    shown = [(name, value) for name, value in headers.items() if name in KEY_PARAMETERS] + asked
    keys = [key for name, value in shown if (key := value if name == KEY_NAME else _bearer(value))]
    offered = scope.get("subprotocols", ())  # browsers can set no header on a WebSocket
    keys += [name.removeprefix(KEY_SUBPROTOCOL) for name in offered if name.startswith(KEY_SUBPROTOCOL)]
    return keys


def _bearer(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
