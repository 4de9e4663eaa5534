"""The bodies of requests, as long as they may be, and as slow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.requests import Request
from starlette.types import Message

from vivavoce.limits import Limits
from vivavoce.web.errors import Refused

__all__ = ["bounded", "insist", "read", "too_large"]


@asynccontextmanager
async def bounded(request: Request, limits: Limits, most: int, name: str) -> AsyncIterator[Request]:
    """Give the request with a body that is to be read in this block.

    It is refused as soon as it is longer than `most` bytes, a limit called `name`, or does not come in time.
    """
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > most:
            raise too_large(most, name)
        return message

    if int(request.headers.get("content-length", "0")) > most:
        raise too_large(most, name)
    try:
        with anyio.fail_after(limits.body_seconds):
            yield Request(request.scope, receive)
    except TimeoutError as error:
        message = f"The body did not come within {limits.body_seconds:g} seconds (limits.body_seconds)."
        raise Refused(408, message, code="body_too_slow") from error


async def read(request: Request, limits: Limits, most: int, name: str) -> bytes:
    """Return the whole body. Raises `Refused` where it is longer than `most`, or slow."""
    async with bounded(request, limits, most, name) as body:
        return await body.body()


def insist(request: Request, kind: str) -> None:
    """Raise `Refused` for a body of another media type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
        raise Refused(415, f"The body must be {kind}.", code="unsupported_media_type")


def too_large(limit: int, name: str) -> Refused:
    """A body is longer than it may be."""
    message = f"The body is larger than the {limit:,} bytes that are allowed (limits.{name})."
    return Refused(413, message, code="body_too_large")
