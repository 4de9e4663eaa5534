"""The HTTP server: a listening socket, uvicorn, and an orderly shutdown."""

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.types import ASGIApp

from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.web.app import Web
from vivavoce.web.websocket import WebSocketProtocol

HEAD_BYTES = 128 * 1024
"""bytes of a request's first line and headers; more is refused before we see it, and without a reason"""
SHUTDOWN_SECONDS = 5
PING_SECONDS = 20


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """Listen on a port; 0 is any free one. Raises `ConfigError`, which names the option for it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        problem = f"Port {port} of {host} is not available ({error.strerror})"
        raise ConfigError(f"{problem}; choose another with {option} (0 is any).") from error
    return listening


@asynccontextmanager
async def serving(web: Web, listening: socket.socket) -> AsyncIterator[str]:
    """Serve on a socket, and yield the URL. Leaving the block ends all calls (1001), and closes the socket."""
    tls, limits = web.tls.context if web.tls else None, web.runtime.config.limits
    async with serving_application(web.application, listening, limits, web.hang_up, tls) as url:
        yield url


@asynccontextmanager
async def serving_application(
    application: ASGIApp,
    listening: socket.socket,
    limits: Limits,
    hang_up: Callable[[], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serve an ASGI application on a socket, and yield the URL. Leaving the block awaits `hang_up`."""
    server = _Server(_uvicorn(application, limits, tls))
    logging.getLogger("uvicorn.error").addFilter(_is_an_error)
    with listening:  # uvicorn closes it as well, unless an exception cancels it
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            await server.started_up.wait()  # uvicorn closes nothing if it is stopped before it has started
            try:
                yield _url(listening, "https" if tls else "http")
            finally:
                with anyio.move_on_after(SHUTDOWN_SECONDS, shield=True):
                    await hang_up()
                server.should_exit = True


def _is_an_error(record: logging.LogRecord) -> bool:
    """Keep uvicorn from logging rejected WebSockets and aborted responses as errors.

    Both are intended: an aborted response tells a client about a failure in the middle of audio.
    """
    return not record.getMessage().startswith("ASGI callable returned without completing ")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, and set `started_up`."""
        await super().startup(sockets)
        self.started_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller of `serving`, so that calls are ended first."""
        yield


def _uvicorn(application: ASGIApp, limits: Limits, tls: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws=WebSocketProtocol,
        ws_max_size=limits.message_bytes,
        ws_per_message_deflate=False,  # audio does not get smaller, and it costs 5 µs an event
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_context_factory=(lambda config, default: tls) if tls else None,
    )


def _url(listening: socket.socket, scheme: str) -> str:
    host, port, *_ = listening.getsockname()
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}"
