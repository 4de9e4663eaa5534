"""A line to any server that speaks the Realtime protocol, over a WebSocket."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from vivavoce.connect.endpoint import Endpoint
from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol.dialects import Reader
from vivavoce.protocol.events import Event
from vivavoce.session.line import EventQueue, HungUp, Line

__all__ = ["RemoteLine", "connect"]

log = logging.getLogger(__name__)
socket_log = logging.getLogger(f"{__name__}.socket")
socket_log.setLevel(logging.INFO)  # below, it would tell the headers, and with them the key

CONNECT_SECONDS = 10
GOODBYE_SECONDS = 2
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
GOODBYES = frozenset({1000, 1005})
"""How a server leaves that has said all: by the usual code, or without any."""
PASSING = frozenset({1001, 1006, 1011, 1012, 1013, 1014})
"""Codes after which the same call may well succeed: the server goes away, broke, or is busy."""
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The same of HTTP."""
TOO_LARGE = 1009


class RemoteLine(Line):
    """Our end of a line to a server far away. It ends when the server hangs up, and when the connection breaks.

    `lost` tells them apart once it has ended: None if the server left as one does, else why, and whether to
    call again (`retryable`). What is sent after that raises `HungUp`.
    """

    lost: ProviderError | None = None


@asynccontextmanager
async def connect(
    place: Endpoint,
    *,
    depth: int = Limits.line_depth,
    message_bytes: int = Limits.message_bytes,
    seconds: float = CONNECT_SECONDS,
) -> AsyncIterator[RemoteLine]:
    """Call a server and give our end of the line. Leaving the block hangs up.

    `depth` bounds by how many events either side may run ahead; who does not hear them for long (40 seconds)
    loses the line. `message_bytes` bounds one event of the server's, `seconds` how long it may take to pick up.
    Raises `ConfigError` for what is no address, `ProviderError` if the server cannot be reached or refuses.
    """
    socket = await _open(place, message_bytes, seconds)
    try:
        up, down = EventQueue(depth), EventQueue(depth)
        near, far = RemoteLine(up, down), Line(down, up)
        async with anyio.create_task_group() as tasks, near:
            tasks.start_soon(_hear, socket, place, far, near)
            tasks.start_soon(_say, socket, place, far)
            yield near
            tasks.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
            await socket.close()


# calling


class _Call(open_websocket):
    """A call that is not put through to anybody else: they would be shown the key."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def _open(place: Endpoint, message_bytes: int, seconds: float) -> ClientConnection:
    try:
        return await _Call(
            place.url,
            additional_headers=place.headers,
            max_size=message_bytes,
            compression=None,
            open_timeout=seconds,
            proxy=None if urlsplit(place.url).hostname in LOOPBACK else True,
            logger=socket_log,
        )
    except InvalidStatus as refused:
        raise _refusal(place, refused) from refused
    except (InvalidURI, UnicodeError) as error:  # the latter of a name that no host can have
        raise ConfigError(f"{place.name} is no address of a server.") from error
    except (OSError, InvalidHandshake) as error:
        raise _trouble(place, f"cannot be reached ({_why(error)})", retryable=True) from error


def _why(error: Exception) -> str:
    return "it does not answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


class _Error(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Error


def _refusal(place: Endpoint, refused: InvalidStatus) -> ProviderError:
    """Return the server's own words, if it has some."""
    status = refused.response.status_code
    told = f"refuses the line (HTTP {status})"
    with suppress(msgspec.DecodeError):
        told += f": {msgspec.json.decode(refused.response.body or b'', type=_Refusal).error.message}"
    return _trouble(place, told, retryable=status in BUSY)


def _trouble(place: Endpoint, told: str, *, retryable: bool) -> ProviderError:
    """Return an error that does not repeat the key, though the server may."""
    for secret in place.secrets:
        told = told.replace(secret, "…")
    return ProviderError(place.name, told, retryable=retryable)


# carrying


async def _hear(socket: ClientConnection, place: Endpoint, far: Line, near: RemoteLine) -> None:
    read = place.dialect.reader()
    async with far:
        try:
            while True:
                for event in _understood(read, await socket.recv(), place):
                    await far.send(event)
        except ConnectionClosed as closed:
            near.lost = _loss(place, closed)
            if near.lost is not None:
                log.warning("%s", near.lost)
        except HungUp:
            return


def _understood(read: Reader, message: str | bytes, place: Endpoint) -> tuple[Event, ...]:
    """Return the events in a message; what another server says otherwise than the protocol is passed over."""
    try:
        return read(message)
    except ProtocolError as error:
        log.warning("%s: %s", place.name, error.message)
        return ()


def _loss(place: Endpoint, closed: ConnectionClosed) -> ProviderError | None:
    """Return why the connection was closed, or None if the server has hung up as one does."""
    if closed.sent is not None and closed.sent.code == TOO_LARGE:
        return _trouble(place, "said more at once than it may (limits.message_bytes)", retryable=False)
    if closed.rcvd is None:
        return _trouble(place, f"the connection broke ({closed})", retryable=True)
    code, reason = closed.rcvd.code, closed.rcvd.reason
    if code in GOODBYES:
        return None
    told = f"hung up ({code})" + (f": {reason}" if reason else "")
    return _trouble(place, told, retryable=code in PASSING)


async def _say(socket: ClientConnection, place: Endpoint, far: Line) -> None:
    try:
        async for event in far:
            text = place.dialect.encode_client(event)
            if text is not None:
                await socket.send(text)
    except (ConnectionClosed, HungUp):
        return
