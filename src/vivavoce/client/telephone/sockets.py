"""WebSockets of telephone peers: messages are JSON objects in text, or audio in binary."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.typing import Subprotocol

from vivavoce.client.telephone.peer import CallOptions, CallRecord
from vivavoce.connect.endpoint import Endpoint
from vivavoce.connect.websocket import open_socket
from vivavoce.errors import ProviderError

Json = dict[str, object]


@asynccontextmanager
async def open_call(
    url: str,
    options: CallOptions,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[Subprotocol] = (),
) -> AsyncIterator[ClientConnection]:
    """Open a WebSocket, with the key as a bearer token unless there are `headers`, and close it afterwards.

    Raises `ProviderError` if it cannot be reached, or refuses.
    """
    if headers is None:
        headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    socket = await open_socket(Endpoint(url, headers, tls=options.tls), subprotocols=subprotocols)
    try:
        yield socket
    finally:
        await socket.close()


def encode(message: Mapping[str, object]) -> str:
    """Return a message as JSON text."""
    return msgspec.json.encode(message).decode()


async def frames(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """Yield messages until the server hangs up. Raises `ProviderError` if it breaks the connection."""
    host, port = socket.remote_address[:2]
    try:
        while True:
            yield await socket.recv()
    except ConnectionClosedError as error:
        raise ProviderError(f"{host}:{port}", f"broke the connection ({error})") from error
    except ConnectionClosed:
        return


async def messages(socket: ClientConnection, record: CallRecord) -> AsyncIterator[Json]:
    """Yield the JSON objects until the server hangs up; anything else is a problem, and left out."""
    async for frame in frames(socket):
        if isinstance(frame, bytes):
            record.problem("A message is binary, where only JSON is expected.")
        elif (message := read(frame, record)) is not None:
            yield message


def read(text: str, record: CallRecord) -> Json | None:
    """Return a JSON object, or None, and note the problem."""
    try:
        return msgspec.json.decode(text, type=Json)
    except msgspec.DecodeError:
        record.problem("A message is no JSON object.")
        return None
