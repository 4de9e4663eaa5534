"""How HTTP says no: OpenAI's shape of an error, so that OpenAI's clients understand it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from vivavoce.errors import ProtocolError, ProviderError

__all__ = [
    "HANDLERS",
    "RETRY_AFTER",
    "Refused",
    "failed",
    "needs_pyav",
    "not_ready",
    "ours",
    "refusal",
    "wrong",
]

RETRY_AFTER = {"retry-after": "5"}
STATUSES = {
    "call_id_not_found": 404,
    "call_not_accepted": 409,
    "call_not_ringing": 409,
    "rate_limit_exceeded": 429,
    "server_busy": 503,
}
"""With which status a `ProtocolError` is told; others are the client's to mend, 400."""
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


def wrong(param: str | None, message: str, *, code: str = "invalid_value") -> Refused:
    """What was sent cannot be worked on; `param` names the part of it."""
    return Refused(400, message, code=code, param=param)


def needs_pyav(what: str, param: str) -> Refused:
    """PyAV is not installed here."""
    message = f"{what} needs PyAV on the server; its owner writes: pip install 'vivavoce[local]'."
    return Refused(501, message, code="not_installed", param=param)


def failed(error: ProviderError) -> Mapping[str, object]:
    """Return the body that says that a model failed, for an answer whose status has been sent already."""
    return _body(502, str(error), "provider_error", None)


def _answer(
    status: int,
    message: str,
    code: str | None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return JSONResponse(_body(status, message, code, param), status, dict(headers or {}))


def _body(status: int, message: str, code: str | None, param: str | None) -> Mapping[str, object]:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def _refused(_: Request, error: Exception) -> Response:
    return refusal(cast("Refused", error))


async def _wrong(_: Request, error: Exception) -> Response:
    fault = cast("ProtocolError", error)
    status = STATUSES.get(fault.code, 400)
    return _answer(status, fault.message, fault.code, fault.param, RETRY_AFTER if status == 503 else None)


async def _failed(_: Request, error: Exception) -> Response:
    failure = cast("ProviderError", error)
    return _answer(502, str(failure), "provider_error", headers=RETRY_AFTER if failure.retryable else None)


async def _http(_: Request, error: Exception) -> Response:
    http = cast("HTTPException", error)
    return _answer(http.status_code, f"{http.detail.rstrip('.')}.", None, headers=http.headers)


async def _left(_: Request, __: Exception) -> Response:
    """Who left before their request was whole hears nothing any more; it is nobody's fault."""
    return Response(status_code=400)


async def ours(_: Request, __: Exception) -> Response:
    """Answer an error of ours; it is raised again, so that it is seen."""
    return _answer(500, "An error of the server's; others are not harmed by it.", "internal_error")


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Refused: _refused,
    ProtocolError: _wrong,
    ProviderError: _failed,
    HTTPException: _http,
    ClientDisconnect: _left,
}
