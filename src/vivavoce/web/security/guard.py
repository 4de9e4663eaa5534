"""Access control by `Host`, `Origin` and key, for HTTP and WebSockets; headers that let browsers apply it.

Any web page can open a WebSocket to this machine, and any host name can resolve to it (DNS rebinding).
Therefore pages of other origins are rejected by their `Origin`, and unknown host names by their `Host`.
"""

import hmac
import re
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.addresses import is_loopback
from vivavoce.config.schema import ServerTable
from vivavoce.transports.websocket import PATHS
from vivavoce.web.errors import HttpError, error_response
from vivavoce.web.security.carriers import CarrierAccess
from vivavoce.web.security.client_secrets import PREFIX, ClientSecrets
from vivavoce.web.security.sign_in import BrowserCookies, cookie_name

SECRET_PATHS = ("v1/realtime/client_secrets", "v1/realtime/sessions", "v1/realtime/transcription_sessions")
KEY_SUBPROTOCOL = "openai-insecure-api-key."
API_KEY, KEY = "api-key", "key"
"""Azure's header for the key, and in its preview the query parameter; in the query, `key` is the same"""
KEY_PARAMETERS = frozenset({API_KEY, "authorization"})
"""headers, and in Azure's preview query parameters, with a key: browsers cannot set headers on a WebSocket"""
IDENTITY = "openai-safety-identifier"
"""OpenAI's header by which whoever holds a key names the person for whom it makes a request"""
IDENTITY_CHARS = 255
"""characters of an identity, as many as a subject of OpenID Connect may have"""
OPEN_PATHS = frozenset(
    {
        *("/", "/manifest.webmanifest", "/worker.js", "/authority.crt"),
        *("/docs", "/openapi.json", "/healthz", "/readyz", "/v1/status", "/v1/sign-in"),
    }
)
KEY_PATHS = frozenset(
    {"/v1/sign-in/codes", *(f"/{path}" for path in SECRET_PATHS), *(f"/openai/{path}" for path in SECRET_PATHS)}
)
"""paths that give out secrets: a browser that has signed in may not, so that it lets nobody else in"""
CALL_PATHS = frozenset({*PATHS, *(f"{path}/calls" for path in PATHS)})
"""paths where calls begin, by WebSocket or by WebRTC"""
SAFE_METHODS = frozenset({"GET", "HEAD"})
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), display-capture=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
CACHE_CONTROL = "no-cache"
"""of responses that say nothing else: a browser may keep them, and asks each time whether they are current"""
EXPOSED = (
    "Accept-Ranges, Content-Disposition, Content-Range, ETag, Link, Location, Retry-After, "
    "X-AI-Response, X-AI-Response-Complete, X-Conversation-Id, X-Transcript"
)
"""headers that a page of an allowed origin may read, such as a call's URL, and when to retry"""
PREFLIGHT = {"access-control-allow-methods": "GET, POST, DELETE, OPTIONS", "access-control-max-age": "600"}


@dataclass(frozen=True)
class Guard:
    """ASGI middleware that passes on only permitted requests."""

    app: ASGIApp
    server: ServerTable
    keys: tuple[str, ...]
    secrets: ClientSecrets
    cookies: BrowserCookies
    carriers: CarrierAccess

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 401, 403 or 421."""
        if scope["type"] != "lifespan":
            asked = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
            if scope["query_string"]:
                asked += f"?{scope['query_string'].decode('latin-1')}"
            # some clients send duplicate and trailing slashes (`/v1//realtime/`)
            scope["path"] = "/" + "/".join(filter(None, scope["path"].split("/")))
            try:
                carrier = self._check(scope)
                if carrier:
                    receive = await self.carriers.admit(carrier, scope, receive, asked)
            except HttpError as error:
                return await error_response(error, scope["path"])(scope, receive, send)
        return await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> str | None:
        """Check a request. Returns the carrier whose signature has still to be checked, if it is from one."""
        keys, headers = _remove_keys(scope), Headers(scope=scope)
        origin, host = headers.get("origin"), headers.get("host", "")
        name = _split(f"//{host}").hostname or ""
        if self.server.is_local and not is_loopback(name) and name not in self.server.names:
            message = "This server is not known by the name in the Host header (server.hosts)."
            raise HttpError(421, message, code="unknown_host")
        is_safe = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        if not is_safe and origin is not None and not is_allowed_origin(self.server, origin, host):
            message = "Pages of this origin may not connect (server.origins)."
            raise HttpError(403, message, code="origin_not_allowed")
        if scope["path"] == "/v1/status":
            scope.setdefault("state", {})["admitted"] = (
                not self.keys or self._has_key(keys) or self._has_cookie(scope, origin, host)
            )
        elif scope["path"] not in OPEN_PATHS and not scope["path"].startswith("/static/"):
            carrier = self.carriers.carrier_of(scope["path"])
            if carrier and not self._has_key(keys):
                return carrier
            self._check_keys(keys, scope, origin, host)
        return None

    def _has_key(self, keys: Sequence[str]) -> bool:
        matches = [hmac.compare_digest(key.encode(), known.encode()) for key in keys for known in self.keys]
        return any(matches)

    def _has_cookie(self, scope: Scope, origin: str | None, host: str) -> bool:
        """Return whether a request is from our own page, in a browser that has signed in.

        Pages of other ports of this host are no other site to a browser, which sends the cookie for them, too.
        """
        connection = HTTPConnection(scope)
        value = connection.cookies.get(cookie_name(connection))
        is_ours = origin is None or _split(origin).netloc == host
        person = self.cookies.person(value) if value is not None and is_ours else None
        scope.setdefault("state", {})["person"] = person
        return person is not None

    def _check_keys(self, keys: Sequence[str], scope: Scope, origin: str | None, host: str) -> None:
        headers, state = Headers(scope=scope), scope.setdefault("state", {})
        if self._has_key(keys):
            state["identity"] = _identity(headers)
        elif scope["path"] not in KEY_PATHS and self._has_cookie(scope, origin, host):
            pass  # a page may not say who its user is
        elif secret := next((key for key in keys if key.startswith(PREFIX)), None):
            self._check_client_secret(secret, scope)
        elif self.keys:
            message = "The key is not valid for this server." if keys else "This server needs a key (bearer)."
            raise HttpError(401, message, code="invalid_api_key")
        elif "origin" not in headers:  # a program of this machine; a page may not say who its user is
            state["identity"] = _identity(headers)

    def _check_client_secret(self, secret: str, scope: Scope) -> None:
        """Bind a request to what its client secret is bound to, even if no key is required."""
        binding = self.secrets.binding(secret)
        if binding is None:
            message = "This client secret was not issued by this server, or has expired."
            raise HttpError(401, message, code="invalid_api_key")
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if scope["path"] not in CALL_PATHS or any(name == "call_id" for name, _ in query):
            message = "A client secret can only begin a Realtime call."
            raise HttpError(403, message, code="client_secret_not_allowed")
        scope["state"] |= {one.name: getattr(binding, one.name) for one in fields(binding)}


def _identity(headers: Headers) -> str | None:
    """Return the identity that a trusted request names, if any. Raises `HttpError` for what is none."""
    identity = headers.get(IDENTITY)
    if identity is None or re.fullmatch(rf"[!-~]{{1,{IDENTITY_CHARS}}}", identity):
        return identity
    message = f"OpenAI-Safety-Identifier must have 1 to {IDENTITY_CHARS} characters of ASCII without blanks."
    raise HttpError(400, message, code="invalid_value", param="OpenAI-Safety-Identifier")


def is_allowed_origin(server: ServerTable, origin: str, host: str) -> bool:
    """Return whether pages of this origin may connect: the server's own, local ones, and `server.origins`."""
    if origin in server.origins:
        return True
    page = _split(origin)
    return is_loopback(page.hostname or "") or page.netloc == host != ""


def _split(address: str) -> SplitResult:
    """Split an address; the parts of an invalid one are empty."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _remove_keys(scope: Scope) -> Sequence[str]:
    """Return the keys of a request; keys in the query are removed from it, because URLs are logged."""
    headers = Headers(scope=scope)
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    names = KEY_PARAMETERS | {KEY}
    in_query = [(name.lower(), value) for name, value in query if name.lower() in names]
    if in_query:
        rest = [(name, value) for name, value in query if name.lower() not in names]
        scope["query_string"] = urlencode(rest).encode()
    values = [(name, value) for name, value in headers.items() if name in KEY_PARAMETERS] + in_query
    keys = [key for name, value in values if (key := value if name in (API_KEY, KEY) else _key(value))]
    offered = scope.get("subprotocols", ())
    keys += [name.removeprefix(KEY_SUBPROTOCOL) for name in offered if name.startswith(KEY_SUBPROTOCOL)]
    return keys


def _key(authorization: str) -> str:
    """Return the key in `Authorization`: of the scheme Bearer, or as the password of Basic."""
    scheme, _, key = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return key.strip()
        case "basic":
            with suppress(ValueError):
                return b64decode(key, validate=True).decode(errors="replace").partition(":")[2]
    return ""


# browsers


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
                response.setdefault("cache-control", CACHE_CONTROL)
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
