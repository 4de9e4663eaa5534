"""How HTTP says no: OpenAI's shape of an error, so that OpenAI's clients understand it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vivavoce.errors import ProtocolError, ProviderError

__all__ = ["HANDLERS", "RETRY_AFTER", "Refused", "not_ready", "refusal"]

RETRY_AFTER = {"retry-after": "5"}
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class Refused(ProtocolError):
    """The client's fault, or our being busy, with the HTTP status that says so."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, retry: bool = False
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.status, self.headers = status, RETRY_AFTER if retry else {}


def not_ready() -> Refused:
    """The models are still loading."""
    return Refused(503, "The models are still loading; /readyz says how far.", code="not_ready", retry=True)


def refusal(error: Refused) -> Response:
    """Return the answer for an error; on a WebSocket it answers the handshake."""
    return _answer(error.status, error.message, error.code, error.param, error.headers)


def _answer(
    status: int,
    message: str,
    code: str | None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status, dict(headers or {}))


async def _refused(_: Request, error: Exception) -> Response:
    return refusal(cast("Refused", error))


async def _failed(_: Request, error: Exception) -> Response:
    failure = cast("ProviderError", error)
    return _answer(502, str(failure), "provider_error", headers=RETRY_AFTER if failure.retryable else None)


async def _http(_: Request, error: Exception) -> Response:
    wrong = cast("HTTPException", error)
    return _answer(wrong.status_code, f"{wrong.detail}.", None, headers=wrong.headers)


async def _ours(_: Request, __: Exception) -> Response:
    return _answer(500, "An error of the server's; others are not harmed by it.", "internal_error")


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Refused: _refused,
    ProviderError: _failed,
    HTTPException: _http,
    Exception: _ours,
}
