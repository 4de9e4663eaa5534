"""Limits for HTTP requests: their number, and the size and duration of their bodies; streamed responses."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache, partial
from typing import TypeVar, cast

import anyio
import msgspec
from msgspec import inspect
from starlette.requests import HTTPConnection, Request
from starlette.types import Message, Receive, Send

from vivavoce.errors import first_failure
from vivavoce.limits import Limits
from vivavoce.protocol.validation import invalid, missing, unknown, validate
from vivavoce.runtime import Runtime
from vivavoce.web.errors import HttpError, require_ready

log = logging.getLogger(__name__)

_SHOWN_CHARS = 64
"""characters of a field's name that an error repeats"""


class Admission:
    """Admits at most `limits.http_requests` requests at once, once the models are loaded.

    It is shared by all endpoints that use the models.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._active = runtime, 0

    @contextmanager
    def admit(self, *, needs_models: bool = True) -> Iterator[None]:
        """Count a request for as long as the block lasts. Raises `HttpError` if it cannot be admitted.

        `needs_models` is whether it uses the models of this server, which has none if another one answers.
        """
        limit = self._runtime.config.limits.http_requests
        require_ready(self._runtime)
        if needs_models and not self._runtime.config.has_cascade:
            message = (
                "Calls are answered by an upstream server here, so no model is loaded on this one. "
                "To load them, set [remote] failover = true, or engine = 'cascade'."
            )
            raise HttpError(501, message, code="not_configured")
        if self._active >= limit:
            message = f"All {limit} places (limits.http_requests) are taken; try again in a moment."
            raise HttpError(503, message, code="server_busy", retry=True)
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1


# bodies


@asynccontextmanager
async def limited_body(request: Request, limits: Limits, max_bytes: int, name: str) -> AsyncIterator[Request]:
    """Yield the request with a body that can be read within this block.

    Raises `HttpError` as soon as the body exceeds `max_bytes` or takes too long; `name` is the limit's name.
    """
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise body_too_large(max_bytes, name)
        return message

    if int(request.headers.get("content-length", "0")) > max_bytes:
        raise body_too_large(max_bytes, name)
    try:
        with anyio.fail_after(limits.body_seconds):
            yield Request(request.scope, receive)
    except TimeoutError as error:
        message = f"The body did not arrive within {limits.body_seconds:g} seconds (limits.body_seconds)."
        raise HttpError(408, message, code="body_too_slow") from error


async def read_bytes(request: Request, limits: Limits, name: str, max_bytes: int | None = None) -> bytes:
    """Return the complete body, of at most `max_bytes`; `name` is the limit's name. Raises `HttpError`."""
    max_bytes = getattr(limits, name) if max_bytes is None else max_bytes
    async with limited_body(request, limits, max_bytes, name) as body:
        return await body.body()


def media_type(request: Request) -> str:
    """Return the media type of a body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_media_type(request: Request, required: str) -> None:
    """Raise `HttpError` for a body of another media type."""
    if media_type(request) != required:
        raise HttpError(415, f"The body must be {required}.", code="unsupported_media_type")


def body_too_large(max_bytes: int, name: str) -> HttpError:
    """Return the error for a body that exceeds a limit."""
    message = f"The body is larger than the {max_bytes:,} bytes that are allowed (limits.{name})."
    return HttpError(413, message, code="body_too_large")


# fields that come as text: of a form, or of the query

T = TypeVar("T")

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def read_query(request: HTTPConnection, kind: type[T]) -> T:
    """Return the query as a struct. Raises `ProtocolError` that names the field."""
    texts: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        texts.setdefault(name, []).append(value)
    return convert_fields(texts, kind)


def convert_fields(texts: Mapping[str, Sequence[str]], kind: type[T]) -> T:
    """Return a struct of fields that are texts, each read by its type; blank ones count as absent.

    Of a field that is no list, the last one counts. Raises `ProtocolError` that names the field.
    """
    known, values = fields_of(cast("Hashable", kind)), dict[str, object]()
    for name, given in texts.items():
        if name not in known:
            raise unknown(name[:_SHOWN_CHARS])
        if filled := [text.strip() for text in given if text.strip()]:
            values[name] = _converted(name, filled, known[name].type)
    for name, field in known.items():
        if field.required and name not in values:
            raise missing(name)
    return msgspec.convert(values, kind)


@cache
def fields_of(kind: Hashable) -> Mapping[str, inspect.Field]:
    """Return the fields of a struct by their names, without the descriptions of their types."""
    info = cast("inspect.StructType", inspect.type_info(kind))
    return {
        field.encode_name: inspect.Field(
            field.name, field.encode_name, _undescribed(field.type), required=field.required
        )
        for field in info.fields
    }


def _undescribed(kind: inspect.Type) -> inspect.Type:
    match kind:
        case inspect.Metadata(type=inner):
            return _undescribed(inner)
        case inspect.UnionType(types=types):
            return inspect.UnionType(tuple(map(_undescribed, types)))
        case inspect.VarTupleType(item_type=item):
            return inspect.VarTupleType(_undescribed(item), kind.min_length, kind.max_length)
        case _:
            return kind


def _converted(name: str, texts: Sequence[str], kind: inspect.Type) -> object:
    """Return what JSON would have for a field, if it is valid."""
    value: object = texts[-1]
    match kind:
        case inspect.VarTupleType(item_type=item, max_length=most):
            if most is not None and len(texts) > most:
                raise invalid(name, f"it is there {len(texts)} times; {most} are allowed.")
            return [validate(text, item, name, _any_length) for text in texts]
        case inspect.BoolType():
            value = _BOOLEANS.get(texts[-1].lower(), value)
        case inspect.IntType() | inspect.FloatType():
            with suppress(ValueError):
                value = float(texts[-1])
    return validate(value, kind, name, _any_length)


def _any_length(text: str, param: str) -> None:
    """Accept any text: the size of the request bounds them all, and some types do."""


# responses


async def respond_while_connected(
    receive: Receive, send: Send, limits: Limits, respond: Callable[[Send], Awaitable[None]]
) -> None:
    """Run `respond`, which sends a response; cancel it if the client disconnects or does not read in time.

    The request's body must have been read before.
    """

    async def watch(scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            await respond(partial(_send_in_time, send, limits))
            tasks.cancel_scope.cancel()
    except ExceptionGroup as failures:  # of one: `watch` does not fail
        failure = first_failure(failures)
        if not isinstance(failure, _NotRead):
            raise failure from failure.__cause__
        log.info("a client took longer than limits.send_seconds to read; its response is dropped")


def identity_of(connection: HTTPConnection) -> str | None:
    """Return the person in whose name a request is made, who sees only what is hers; None for the owner."""
    identity: str | None = getattr(connection.state, "identity", None)
    return identity


class _NotRead(Exception):
    pass


async def _send_in_time(send: Send, limits: Limits, message: Message) -> None:
    try:
        with anyio.fail_after(limits.send_seconds):
            await send(message)
    except TimeoutError as error:
        raise _NotRead from error


async def start_response(send: Send, headers: str | Mapping[str, str]) -> None:
    """Send status 200 and headers, or only the media type."""
    headers = {"content-type": headers} if isinstance(headers, str) else headers
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": encoded})


async def send_chunk(send: Send, body: bytes, *, more: bool = True) -> None:
    """Send a part of the body; the last one has `more=False`."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def send_event(send: Send, event: Mapping[str, object]) -> None:
    """Send a server-sent event as a part of the body."""
    await send_chunk(send, b"data: " + msgspec.json.encode(event) + b"\n\n")
