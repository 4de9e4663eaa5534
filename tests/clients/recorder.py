"""A relay that stands between a client and our server, changes nothing, and writes every event down.

A client is given the relay's address instead of the server's. Path, query, headers, subprotocols, frames and
close codes pass as they are, and so does a refused handshake. Other HTTP requests are not relayed.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.from_thread import start_blocking_portal
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from clients.rules import Direction, check

__all__ = ["Call", "Recorder", "recording"]

OF_THE_HANDSHAKE = {"host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version"}
OF_THE_HANDSHAKE |= {"sec-websocket-extensions", "sec-websocket-protocol"}
"""What each WebSocket settles for itself."""


@dataclass
class Call:
    """One WebSocket: how it was asked for, and what was said on it, in order."""

    path: str
    headers: dict[str, str]
    subprotocol: Subprotocol | None = None
    score: list[tuple[Direction, dict[str, Any]]] = field(default_factory=list)

    @property
    def beta(self) -> bool:
        """Whether the client asked for the beta dialect, in one of the ways in which clients do."""
        asked = self.headers.get("openai-beta"), self.headers.get("sec-websocket-protocol", "")
        return (
            asked[0] == "realtime=v1" or "openai-beta.realtime-v1" in asked[1] or "api-version=2" in self.path
        )

    def said(self, by: Direction, *kinds: str) -> list[dict[str, Any]]:
        """Return the events of one side, all or of these types."""
        return [event for who, event in self.score if who == by and (not kinds or event.get("type") in kinds)]


@dataclass
class Recorder:
    """The relay. `errors` are the codes of the errors that a test provokes; any other is one too many."""

    upstream: str
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _put_through: dict[ServerConnection, tuple[ClientConnection, Call]] = field(default_factory=dict)

    @property
    def websocket_url(self) -> str:
        """The address with a WebSocket's scheme, for clients that do not find it themselves."""
        return self.url.replace("http", "ws", 1)

    def call(self, part: str) -> Call:
        """Return the one call with this in its address."""
        (found,) = [call for call in self.calls if part in call.path]
        return found

    def check(self) -> None:
        """Hold everything that the server said against the protocol's types and order."""
        errors = tuple(self.errors) if len(self.calls) == 1 else None
        for call in self.calls:
            check(call.score, beta=call.beta, errors=errors)
        if errors is None:
            codes = [e["error"]["code"] for call in self.calls for e in call.said("server", "error")]
            assert sorted(codes) == sorted(self.errors)

    async def _ring(self, near: ServerConnection, request: Request) -> Response | None:
        """Connect to the server as the client asks for it; hand its refusal on if it refuses."""
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        offered = [Subprotocol(one.strip()) for one in headers.get("sec-websocket-protocol", "").split(",")]
        try:
            far = await connect(
                f"{self.upstream}{request.path}",
                subprotocols=offered if offered != [""] else None,
                additional_headers={name: v for name, v in headers.items() if name not in OF_THE_HANDSHAKE},
                user_agent_header=None,
                compression=None,
                max_size=None,
                ping_interval=None,
                proxy=None,
            )
        except InvalidStatus as refusal:
            answer = refusal.response
            return Response(answer.status_code, answer.reason_phrase, Headers(answer.headers), answer.body)
        call = Call(request.path, headers, far.subprotocol)
        self.calls.append(call)
        self._put_through[near] = far, call
        return None

    def _subprotocol(self, near: ServerConnection, offered: object) -> Subprotocol | None:
        return self._put_through[near][1].subprotocol

    async def _relay(self, near: ServerConnection) -> None:
        far, call = self._put_through.pop(near)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_carry, call, "client", near, far)
            tasks.start_soon(_carry, call, "server", far, near)


async def _carry(
    call: Call,
    by: Direction,
    source: ServerConnection | ClientConnection,
    target: ServerConnection | ClientConnection,
) -> None:
    try:
        while True:
            frame = await source.recv()
            call.score.append((by, _read(frame)))
            await target.send(frame)
    except ConnectionClosed:
        code = source.close_code if source.close_code not in (None, 1005, 1006) else 1000
        await target.close(code or 1000, source.close_reason or "")


def _read(frame: str | bytes) -> dict[str, Any]:
    """Return the event in a frame; what is none is written down as an event without a type."""
    try:
        event = json.loads(frame)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


@asynccontextmanager
async def _relaying(upstream: str) -> AsyncIterator[Recorder]:
    address = urlsplit(upstream)
    recorder = Recorder(f"ws://{address.netloc}")
    async with serve(
        recorder._relay,
        "127.0.0.1",
        0,
        process_request=recorder._ring,
        select_subprotocol=recorder._subprotocol,
        compression=None,
        max_size=None,
        ping_interval=None,
        server_header=None,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        recorder.url = f"http://127.0.0.1:{port}{address.path}"
        yield recorder


@contextmanager
def recording(upstream: str) -> Iterator[Recorder]:
    """Stand before the server at this address, in a thread, until the block is left."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_relaying(upstream)) as recorder:
        yield recorder
