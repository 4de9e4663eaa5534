"""A line to any server that speaks the Realtime protocol, over a WebSocket."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.line import HungUp, Line, open_line
from vivavoce.protocol.events import Event
from vivavoce.protocol.wire import decode_server, encode

__all__ = ["connect", "realtime_url"]

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
GOODBYE_SECONDS = 2
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def realtime_url(url: str) -> str:
    """Return where the protocol is spoken: `http://host:1/v1` and `ws://host:1` mean `ws://host:1/v1/realtime`.

    Raises `ConfigError` for what is no such address.
    """
    scheme, place, path, query, _ = urlsplit(url)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if scheme not in schemes or not place:
        raise ConfigError(
            f"{url!r} is no address of a server; write for example ws://127.0.0.1:8765/v1/realtime."
        )
    path = path.rstrip("/") or "/v1"
    if not path.endswith("/realtime"):
        path += "/realtime"
    return urlunsplit((schemes[scheme], place, path, query, ""))


@asynccontextmanager
async def connect(url: str, *, key: str | None = None, depth: int = 32) -> AsyncIterator[Line]:
    """Call a server and give our end of the line. Leaving the block hangs up.

    `key` is shown as a bearer. The line ends when the server leaves. Raises `ConfigError` for what is no
    address, `ProviderError` if the server cannot be reached or refuses.
    """
    socket = await _open(realtime_url(url), key)
    try:
        near, far = open_line(depth)
        async with anyio.create_task_group() as tasks, near:
            tasks.start_soon(_hear, socket, far)
            tasks.start_soon(_say, socket, far)
            yield near
            tasks.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
            await socket.close()


async def _open(url: str, key: str | None) -> ClientConnection:
    place = urlsplit(url)
    try:
        return await open_socket(
            url,
            additional_headers={"Authorization": f"Bearer {key}"} if key else None,
            max_size=None,
            compression=None,
            open_timeout=CONNECT_SECONDS,
            proxy=None if place.hostname in LOOPBACK else True,
        )
    except InvalidStatus as refused:
        raise ProviderError(place.netloc, _reason(refused)) from refused
    except InvalidURI as error:
        raise ConfigError(f"{url!r} is no address of a server.") from error
    except (OSError, InvalidHandshake) as error:
        raise ProviderError(place.netloc, f"cannot be reached ({_why(error)})", retryable=True) from error


def _why(error: Exception) -> str:
    return "it does not answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _reason(refused: InvalidStatus) -> str:
    """Return the server's own words, if it has some."""
    status = refused.response.status_code
    try:
        message = msgspec.json.decode(refused.response.body or b"", type=_Refusal).error.message
    except msgspec.DecodeError:
        return f"refuses the line (HTTP {status})"
    return f"refuses the line (HTTP {status}): {message}"


class _Error(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Error


async def _hear(socket: ClientConnection, far: Line) -> None:
    async with far:
        try:
            async for message in socket:
                if (event := _read(message)) is not None:
                    await far.send(event)
        except (ConnectionClosed, HungUp):
            return


def _read(message: str | bytes) -> Event | None:
    """Return an event; what another server says otherwise than the protocol is passed over."""
    try:
        return decode_server(message)
    except ProtocolError as error:
        log.warning("%s", error.message)
        return None


async def _say(socket: ClientConnection, far: Line) -> None:
    try:
        async for event in far:
            await socket.send(encode(event))
    except (ConnectionClosed, HungUp):
        return
