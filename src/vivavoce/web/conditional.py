"""Conditional requests (RFC 9110, section 13): what a client has already is not sent again."""

from collections.abc import Mapping
from hashlib import sha256

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.web.errors import HttpError


def etag_of(content: bytes) -> str:
    """Return a strong entity tag: the same bytes have the same one."""
    return f'"{sha256(content).hexdigest()[:32]}"'


def json_response(request: Request, content: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with JSON, or 304 to a client that has it already."""
    body = msgspec.json.encode(content)
    etag = etag_of(body)
    fresh = Response(body, headers={**(headers or {}), "etag": etag}, media_type="application/json")
    return not_modified(request, etag) or fresh


def not_modified(request: Request, etag: str) -> Response | None:
    """Return the 304 for a client that has this already, compared weakly; None for all others."""
    known = _tags(request, "if-none-match")
    if "*" in known or etag in {tag.removeprefix("W/") for tag in known}:
        return Response(status_code=304, headers={"etag": etag})
    return None


def require_match(request: Request, etag: str) -> None:
    """Raise `HttpError` if a client's `If-Match`, compared strongly, means another state than this."""
    known = _tags(request, "if-match")
    if known and "*" not in known and etag not in known:
        message = "It has changed since (If-Match); GET it again, and decide anew."
        raise HttpError(412, message, code="changed_meanwhile")


def _tags(request: Request, header: str) -> set[str]:
    values = ",".join(request.headers.getlist(header))
    return {tag.strip() for tag in values.split(",") if tag.strip()}
