"""HTTP errors in OpenAI's format, for its clients; as problem+json (RFC 9457) where none of these come."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from vivavoce.errors import LANGUAGE_NOT_SUPPORTED, ProtocolError, ProviderError, UnknownLanguageError
from vivavoce.runtime import Runtime

RETRY_AFTER = {"retry-after": "5"}
STATUSES = {
    "call_id_not_found": 404,
    "conversation_not_found": 404,
    "call_not_accepted": 409,
    "call_not_ringing": 409,
    "no_speech": 422,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
    "connection_lost": 502,
    "no_sound": 502,
    "provider_error": 502,
    "server_error": 502,
    "upstream_unreachable": 502,
    "call_ended": 503,
    "conversation_unavailable": 503,
    "server_busy": 503,
    "session_expired": 503,
}
"""HTTP status by the code of a `ProtocolError`; others are 400"""
PROBLEM_PATHS = ("/v1/history",)
"""beginnings of paths that are no API of OpenAI's, and answer errors as problem+json"""
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class HttpError(ProtocolError):
    """An error with its HTTP status; `retry` adds a header that tells the client to try again later."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.status, self.headers = status, headers or (RETRY_AFTER if retry else {})


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error (RFC 9457). `detail` says what is wrong and what to do; `code` is for programs."""

    type: str
    title: str
    status: int
    detail: str
    code: str | None
    param: str | None


def require_ready(runtime: Runtime) -> None:
    """Raise `HttpError` while the models are loading."""
    if not runtime.ready:
        message = "The models are still loading; /readyz shows the progress."
        raise HttpError(503, message, code="not_ready", retry=True)


def invalid_request(param: str | None, message: str, *, code: str = "invalid_value") -> HttpError:
    """Return the error for an invalid request; `param` names the invalid part."""
    return HttpError(400, message, code=code, param=param)


def needs_pyav(feature: str, param: str) -> HttpError:
    """Return the error for a feature that needs PyAV, which is not installed."""
    message = f"{feature} needs PyAV on the server; to install it there: pip install 'vivavoce[local]'."
    return HttpError(501, message, code="not_installed", param=param)


def error_body(status: int, message: str, code: str | None, param: str | None = None) -> Mapping[str, object]:
    """Return the body of an error."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def status_of(error: ProtocolError) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, HttpError) else STATUSES.get(error.code, 400)


def error_response(error: Exception, path: str) -> Response:
    """Return the response for an error at a path; on a WebSocket it rejects the handshake."""
    respond = _problem if path.startswith(PROBLEM_PATHS) else _response
    match error:
        case HttpError():
            return respond(error.status, error.message, error.code, error.param, error.headers)
        case ProtocolError():
            status = status_of(error)
            headers = RETRY_AFTER if status in (429, 503) else None
            return respond(status, error.message, error.code, error.param, headers)
        case UnknownLanguageError():
            return respond(400, error.message, LANGUAGE_NOT_SUPPORTED)
        case ProviderError():
            headers = RETRY_AFTER if error.retryable else None
            return respond(502, str(error), "provider_error", headers=headers)
        case HTTPException():
            return respond(error.status_code, f"{error.detail.rstrip('.')}.", None, headers=error.headers)
        case ClientDisconnect():  # nothing can be sent any more, and it is no server error
            return Response(status_code=400)
        case _:
            return respond(500, "Internal server error; other requests are not affected.", "internal_error")


def _response(
    status: int,
    message: str,
    code: str | None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return JSONResponse(error_body(status, message, code, param), status, dict(headers or {}))


def _problem(
    status: int,
    message: str,
    code: str | None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    kind, title = f"/docs#{code}" if code else "about:blank", HTTPStatus(status).phrase
    problem = Problem(type=kind, title=title, status=status, detail=message, code=code, param=param)
    return Response(msgspec.json.encode(problem), status, headers, "application/problem+json")


async def handle_error(request: Request, error: Exception) -> Response:
    """Answer an exception, as a Starlette exception handler."""
    return error_response(error, request.scope["path"])


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = dict.fromkeys(
    (ProtocolError, ProviderError, HTTPException, ClientDisconnect), handle_error
)
