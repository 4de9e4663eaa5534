"""Signing in: a code or a key is exchanged for a browser's cookie; whoever has a key is given codes."""

import hmac

import anyio.to_thread
import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.config.schema import Config
from vivavoce.dates import unix_now
from vivavoce.protocol.codec import read_body
from vivavoce.web.errors import HttpError
from vivavoce.web.requests import read_bytes
from vivavoce.web.security.sign_in import BrowserCookies, SignInCodes, cookie_name
from vivavoce.web.security.tls import Tls, fingerprint, reachable_hosts


class SignInRequest(Struct, frozen=True):
    """The body of `POST /v1/sign-in`."""

    secret: str
    """a code of `POST /v1/sign-in/codes`, or a key"""


class SignInCode(Struct, frozen=True):
    """The response of `POST /v1/sign-in/codes`."""

    code: str
    """valid once; behind `#code=` in an address of the page, it signs a browser in"""
    expires_at: int
    addresses: list[str]
    """of the page, those first by which a phone is likely to reach it"""
    certificate: str | None = None
    """SHA-256 of the certificate, if the server has made it itself"""
    authority: str | None = None
    """SHA-256 of the authority's certificate that has signed it, which is at `/authority.crt`"""


class SignInEndpoint:
    """The endpoints with which a browser signs in, and out."""

    def __init__(self, config: Config, codes: SignInCodes, cookies: BrowserCookies, tls: Tls | None) -> None:
        self._config, self._codes, self._cookies, self._tls = config, codes, cookies, tls

    async def sign_in(self, request: Request) -> Response:
        """Exchange a code or a key for a cookie. Raises `HttpError` for one that is not valid."""
        body = await read_bytes(request, self._config.limits, "session_bytes")
        secret, keys = read_body(body, SignInRequest, self._config.limits).secret, self._config.secrets
        response = Response(status_code=204)
        if not keys:
            return response
        matches = [hmac.compare_digest(secret.encode(), key.encode()) for key in keys]
        if not any(matches) and not self._codes.redeem(secret):
            message = "This is no key, and no code that is still valid; `viva phone` prints another code."
            raise HttpError(401, message, code="invalid_api_key", param="secret")
        key = keys[matches.index(True)] if any(matches) else keys[0]
        response.set_cookie(
            cookie_name(request),
            await self._cookies.issue(key),
            max_age=self._cookies.seconds,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    async def sign_out(self, request: Request) -> Response:
        """Have the browser forget its cookie."""
        response = Response(status_code=204)
        response.delete_cookie(cookie_name(request), httponly=True, samesite="strict")
        return response

    async def code(self, request: Request) -> Response:
        """Return a new code, and the addresses of the page. Raises `HttpError` if nobody needs one."""
        if not self._config.secrets:
            message = "This server has no keys (VIVAVOCE_KEYS), so nobody has to sign in."
            raise HttpError(400, message, code="not_configured")
        issued = await self.issue(request.scope["server"][1])
        return Response(msgspec.json.encode(issued), media_type="application/json")

    async def issue(self, port: int) -> SignInCode:
        """Return a new code for a server on this port. Raises `ProtocolError` and `ConfigError`."""
        server, tls = self._config.server, self._tls
        code = self._codes.issue()
        if tls and tls.authority:  # the network may be another than when the server was started
            await anyio.to_thread.run_sync(tls.renew, server)
        return SignInCode(
            code,
            unix_now() + round(self._codes.seconds),
            [f"{'https' if tls else 'http'}://{host}:{port}" for host in reachable_hosts(server)],
            tls.fingerprint if tls and tls.authority else None,
            fingerprint(tls.authority) if tls and tls.authority else None,
        )

    async def authority(self, _: Request) -> Response:
        """Return the certificate of the server's own authority, which a phone may trust. Raises `HttpError`."""
        if self._tls is None or self._tls.authority is None:
            message = "This server has no certificate of its own making."
            raise HttpError(404, message, code="not_configured")
        return Response(self._tls.authority, media_type="application/x-x509-ca-cert")
