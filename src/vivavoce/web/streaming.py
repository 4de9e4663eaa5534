"""Whoever reads an answer while it is made: they may leave, and may not keep us waiting for ever."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from starlette.types import Message, Receive, Send

from vivavoce.limits import Limits

__all__ = ["begin", "tell", "while_they_read"]

log = logging.getLogger(__name__)


async def while_they_read(
    receive: Receive, send: Send, limits: Limits, work: Callable[[Send], Awaitable[None]]
) -> None:
    """Do the work, which sends an answer. Drop it when the client leaves, or does not read what was sent.

    The request's body must have been read before.
    """

    async def watch(scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            await work(partial(_send_in_time, send, limits))
            tasks.cancel_scope.cancel()
    except ExceptionGroup as failures:  # of one: who watches does not fail
        failure = failures.exceptions[0]
        if not isinstance(failure, _NotRead):
            raise failure from failure.__cause__
        log.info("a client took longer than limits.send_seconds to read; its answer is dropped")


class _NotRead(Exception):
    """What was sent waits for longer than it may."""


async def _send_in_time(send: Send, limits: Limits, message: Message) -> None:
    try:
        with anyio.fail_after(limits.send_seconds):
            await send(message)
    except TimeoutError as error:
        raise _NotRead from error


async def begin(send: Send, kind: str) -> None:
    """Say that there is an answer, and of which media type."""
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def tell(send: Send, body: bytes, *, more: bool = True) -> None:
    """Send a part of the answer; the last has no `more`."""
    await send({"type": "http.response.body", "body": body, "more_body": more})
