"""The remote engine: OpenAI, Azure, or another server of the protocol answers our callers."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import inf

import anyio

from vivavoce.connect.reconnect import Reconnecting, reconnect_delay
from vivavoce.engines.remote.relay import Connect, Relay, UpstreamServer
from vivavoce.engines.sessions import expired, for_server, initial_session
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import AnySession, Session
from vivavoce.protocol.settings import DEFAULT
from vivavoce.session.line import Line

log = logging.getLogger(__name__)

CONNECT_ATTEMPTS = 3
"""attempts before the conversation has begun, while a caller is waiting"""
LOSSES_PER_MINUTE = 5
"""after this many losses in a minute, the first attempt to reconnect is not made at once"""


@dataclass
class Remote:
    """An engine that relays conversations to an upstream server, and reconnects when the connection breaks.

    `connect` opens a line to it, `session` contains the settings of a conversation whose client requests none,
    `name` is for logs and errors. `transcriber` is the upstream transcription model, unless the client names
    one. `delay` returns the seconds to wait after a number of failed attempts.
    """

    connect: Connect
    name: str = "the upstream server"
    session: Session = DEFAULT
    limits: Limits = field(default_factory=Limits)
    transcriber: str = ""
    delay: Callable[[int], float] = reconnect_delay

    @property
    def server(self) -> UpstreamServer:
        """The upstream server."""
        return UpstreamServer(self.name, self.connect, partial(for_server, transcriber=self.transcriber))

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        """Serve one conversation, with the client's `session`. Cancelling ends all tasks of it."""
        await self.serve(line, session, [self.server])

    async def serve(self, line: Line, session: AnySession | None, servers: Iterable[UpstreamServer]) -> None:
        """Serve one conversation with the first of these servers that can be reached, then with the next."""
        limits = self.limits
        relay = Relay(line, initial_session(self.session, session, tools=limits.tools), limits)
        async with line:
            with anyio.move_on_after(limits.conversation_minutes * 60) as life:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._answer, relay, servers, tasks.cancel_scope)
                    await relay.receive()
                    tasks.cancel_scope.cancel()
            if life.cancelled_caught:
                await line.send(expired(limits))

    async def _answer(
        self, relay: Relay, servers: Iterable[UpstreamServer], conversation: anyio.CancelScope
    ) -> None:
        """Use each server for as long as it can be reached; then end the conversation."""
        for server in servers:
            error = await self._keep_connected(relay, server)
            relay.reason = f"{server.name}: {error.message}"
            log.warning("%s", relay.reason)
            if error.retryable:  # an error about this session does not affect other conversations
                server.on_failure()
        message = f"No upstream server answers: {relay.reason or 'there is none'}."
        details = e.ErrorDetails(type="server_error", code="upstream_unreachable", message=message)
        await relay.line.send(e.ErrorEvent(error=details))
        conversation.cancel()

    async def _keep_connected(self, relay: Relay, server: UpstreamServer) -> ProviderError:
        """Connect to one server, and reconnect as the limits allow; return the error that ended this."""
        reconnecting = Reconnecting(
            CONNECT_ATTEMPTS,
            reconnect_seconds=self.limits.upstream_reconnect_seconds,
            losses_per_minute=LOSSES_PER_MINUTE,
            delay=self.delay,
            was_connected=relay.begun,
        )

        async def connect() -> ProviderError:
            error = await self._connect(relay, server, reconnecting.connected)
            if reconnecting.is_connected:
                log.warning("%s was lost: %s", server.name, error.message)
                await relay.on_lost(error.message)
            return error

        return await reconnecting.run(connect)

    async def _connect(
        self, relay: Relay, server: UpstreamServer, connected: Callable[[], None]
    ) -> ProviderError:
        """Connect once, and relay until the line breaks; return why it failed or was lost."""
        deadline = anyio.current_time() + self.limits.upstream_connect_seconds
        with anyio.CancelScope(deadline=deadline) as scope:
            try:
                async with server.connect(relay.session) as upstream:
                    if error := await relay.begin(server, upstream):
                        return error
                    connected()
                    scope.deadline = inf
                    return await relay.run(server, upstream)
            except ProviderError as error:
                return error
        return server.lost("it does not answer (limits.upstream_connect_seconds)")
