"""Listening: a socket, uvicorn behind it, and a goodbye at the end."""

import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn

from vivavoce.errors import ConfigError
from vivavoce.limits import Limits
from vivavoce.web.app import Web
from vivavoce.web.websocket import WebSocketProtocol

__all__ = ["listen", "serving"]

GOODBYE_SECONDS = 5
PING_SECONDS = 20


def listen(host: str, port: int) -> socket.socket:
    """Take a port, or say why that cannot be. Port 0 takes any free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        raise ConfigError(
            f"Port {port} of {host} cannot be had ({error.strerror}); write --port with another number, or 0."
        ) from error
    return listening


@asynccontextmanager
async def serving(web: Web, listening: socket.socket) -> AsyncIterator[str]:
    """Serve on a socket; give the URL. Leaving the block ends all conversations (1001) and stops listening."""
    server = _Server(_uvicorn(web, web.runtime.config.limits))
    logging.getLogger("uvicorn.error").addFilter(_is_worth_saying)
    with listening:  # uvicorn closes it as well, unless an exception cancels it
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            await server.answering.wait()  # uvicorn that is stopped before it has begun closes nothing
            try:
                yield _url(listening)
            finally:
                with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
                    await web.hang_up()
                server.should_exit = True


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Keep uvicorn from calling it an error that a WebSocket was refused, or that an answer breaks off.

    The one is how we say no; the other, how we tell of a failure in the middle of a sound.
    """
    return not record.getMessage().startswith("ASGI callable returned without completing ")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self.answering.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever serves: conversations are to be ended with a goodbye."""
        yield


def _uvicorn(web: Web, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        web.application,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        ws=WebSocketProtocol,
        ws_max_size=limits.message_bytes,
        ws_per_message_deflate=False,  # sound does not get smaller, and costs 5 µs an event
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )


def _url(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"
