"""The bodies of requests, as long as they may be."""

from starlette.requests import Request
from starlette.types import Message

from vivavoce.web.answers import Refused

__all__ = ["bounded", "read", "too_large"]


def bounded(request: Request, limit: int, name: str) -> Request:
    """Return the request with a body that is refused as soon as it is longer than `limit`, called `name`."""
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise too_large(limit, name)
        return message

    if int(request.headers.get("content-length", "0")) > limit:
        raise too_large(limit, name)
    return Request(request.scope, receive)


async def read(request: Request, limit: int, name: str) -> bytes:
    """Return the whole body. Raises `Refused` as soon as it is longer than `limit`."""
    return await bounded(request, limit, name).body()


def too_large(limit: int, name: str) -> Refused:
    """A body is longer than it may be."""
    message = f"The body is larger than the {limit:,} bytes that are allowed (limits.{name})."
    return Refused(413, message, code="body_too_large")
