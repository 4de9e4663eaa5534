"""A line to a server of the Realtime protocol over a WebSocket."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from vivavoce.connect.endpoint import Endpoint
from vivavoce.errors import ConfigError, ProtocolError, ProviderError, connection_problem
from vivavoce.limits import Limits
from vivavoce.session.line import EventQueue, HungUp, Line

log = logging.getLogger(__name__)
socket_log = logging.getLogger(f"{__name__}.socket")
socket_log.setLevel(logging.INFO)  # below, it would log the headers, and with them the key

CONNECT_SECONDS = 10
GOODBYE_SECONDS = 2
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NORMAL_CLOSURE = frozenset({1000, 1005})
"""close codes of a normal end (RFC 6455, section 7.4.1)"""
RETRYABLE_CODES = frozenset({1001, 1006, 1011, 1012, 1013, 1014})
"""Close codes after which another attempt may succeed: going away, internal error, or overload."""
RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The HTTP statuses after which another attempt may succeed."""
MESSAGE_TOO_BIG = 1009


class RemoteLine(Line):
    """Our end of a line to a remote server. It ends when the server hangs up, or the connection breaks.

    `lost` is set once it has ended: None if the server closed it normally, else the error, whose `retryable`
    tells whether to connect again. Sending after that raises `HungUp`.
    """

    lost: ProviderError | None = None


class _Error(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Error


class _Connect(open_websocket):
    """A connection that follows no redirects, because another server would receive the key."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@asynccontextmanager
async def connect(
    endpoint: Endpoint,
    *,
    depth: int = Limits.line_depth,
    message_bytes: int = Limits.message_bytes,
    seconds: float = CONNECT_SECONDS,
) -> AsyncIterator[RemoteLine]:
    """Connect to a server, and yield our end of the line. Leaving the block hangs up.

    `depth` is the number of events that may be queued per direction; a side that reads none for 40 seconds
    loses the connection. `message_bytes` limits the size of a server event, `seconds` the time to connect.
    Raises `ConfigError` if the address is invalid, `ProviderError` if the server cannot be reached or refuses.
    """
    socket = await open_socket(endpoint, message_bytes=message_bytes, seconds=seconds)
    try:
        up, down = EventQueue(depth), EventQueue(depth)
        ours, theirs = RemoteLine(up, down), Line(down, up)
        async with anyio.create_task_group() as tasks, ours:
            tasks.start_soon(_receive, socket, endpoint, theirs, ours)
            tasks.start_soon(_send, socket, endpoint, theirs)
            yield ours
            tasks.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
            await socket.close()


async def open_socket(
    endpoint: Endpoint,
    *,
    message_bytes: int = Limits.message_bytes,
    seconds: float = CONNECT_SECONDS,
    subprotocols: Sequence[Subprotocol] = (),
) -> ClientConnection:
    """Open a WebSocket. Raises `ConfigError` for an invalid address, `ProviderError` if it cannot be opened."""
    try:
        return await _Connect(
            endpoint.url,
            additional_headers=endpoint.headers,
            subprotocols=subprotocols or None,
            max_size=message_bytes,
            compression=None,
            open_timeout=seconds,
            ssl=endpoint.tls or (True if endpoint.url.startswith("wss:") else None),
            proxy=None if urlsplit(endpoint.url).hostname in LOOPBACK else True,
            logger=socket_log,
        )
    except InvalidStatus as refused:
        status, body = refused.response.status_code, refused.response.body or b""
        message = f"refuses the connection (HTTP {status})"
        with suppress(msgspec.DecodeError):
            message += f": {msgspec.json.decode(body, type=_Refusal).error.message}"
        raise _error(endpoint, message, retryable=status in RETRYABLE_STATUS) from refused
    except (InvalidURI, UnicodeError) as error:  # the latter of a name that no host can have
        raise ConfigError(f"{endpoint.name} is no address of a server.") from error
    except (OSError, InvalidHandshake) as error:
        why = f"cannot be reached ({connection_problem(error)})"
        raise _error(endpoint, why, retryable=True) from error


def _error(endpoint: Endpoint, message: str, *, retryable: bool) -> ProviderError:
    """Return an error with the endpoint's keys removed, since a server may repeat them."""
    for secret in endpoint.secrets:
        message = message.replace(secret, "…")
    return ProviderError(endpoint.name, message, retryable=retryable)


async def _receive(socket: ClientConnection, endpoint: Endpoint, theirs: Line, ours: RemoteLine) -> None:
    read = endpoint.dialect.reader()
    async with theirs:
        try:
            while True:
                message = await socket.recv()
                try:
                    events = read(message)
                except ProtocolError as error:  # invalid events of a server are ignored
                    log.warning("%s: %s", endpoint.name, error.message)
                    continue
                for event in events:
                    await theirs.send(event)
        except ConnectionClosed as closed:
            ours.lost = _loss(endpoint, closed)
            if ours.lost is not None:
                log.warning("%s", ours.lost)
        except HungUp:
            return


def _loss(endpoint: Endpoint, closed: ConnectionClosed) -> ProviderError | None:
    """Return why the connection was closed, or None if the server closed it normally."""
    if closed.sent is not None and closed.sent.code == MESSAGE_TOO_BIG:
        return _error(endpoint, "sent more in one message than limits.message_bytes", retryable=False)
    if closed.rcvd is None:
        return _error(endpoint, f"the connection broke ({closed})", retryable=True)
    code, reason = closed.rcvd.code, closed.rcvd.reason
    if code in NORMAL_CLOSURE:
        return None
    message = f"hung up ({code})" + (f": {reason}" if reason else "")
    return _error(endpoint, message, retryable=code in RETRYABLE_CODES)


async def _send(socket: ClientConnection, endpoint: Endpoint, theirs: Line) -> None:
    try:
        async for event in theirs:
            text = endpoint.dialect.encode_client(event)
            if text is not None:
                await socket.send(text)
    except (ConnectionClosed, HungUp):
        return
