"""A cable to a server, which can be cut."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute, SocketStream


class Cable:
    """Carries bytes to `host` and `port` and back. Once it is cut, it takes a new connection to go on."""

    def __init__(self, host: str, port: int) -> None:
        self._there = host, port
        self._cut = anyio.Event()
        self.connections = 0

    def cut(self) -> None:
        """Break every connection, in the middle of whatever passes."""
        self._cut.set()
        self._cut = anyio.Event()

    async def carry(self, near: SocketStream) -> None:
        """Carry one connection until it ends or is cut."""
        self.connections += 1
        async with near, await anyio.connect_tcp(*self._there) as far, anyio.create_task_group() as tasks:
            tasks.start_soon(_pump, near, far, tasks.cancel_scope)
            tasks.start_soon(_pump, far, near, tasks.cancel_scope)
            await self._cut.wait()
            tasks.cancel_scope.cancel()


async def _pump(source: ByteReceiveStream, target: ByteSendStream, connection: anyio.CancelScope) -> None:
    try:
        async for piece in source:
            await target.send(piece)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    connection.cancel()


@asynccontextmanager
async def laid_to(url: str) -> AsyncIterator[tuple[Cable, str]]:
    """Lay a cable to a server; give it, and the address at our end."""
    server = urlsplit(url)
    assert server.hostname
    assert server.port
    cable = Cable(server.hostname, server.port)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, cable.carry)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (no database is near)
        yield cable, server._replace(netloc=f"127.0.0.1:{port}").geturl()
        cable.cut()
        tasks.cancel_scope.cancel()
