"""The remote engine: OpenAI, Azure, or any server of the protocol at the far end of every transport of ours."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import anyio

from vivavoce.connect import backoff
from vivavoce.engines.refusals import expired
from vivavoce.engines.remote.options import SessionDialect, Settings, whole
from vivavoce.engines.remote.reconnecting import Reconnecting
from vivavoce.engines.remote.relay import Connect, Relay, UpstreamServer
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce.protocol.settings import DEFAULT
from vivavoce.session.line import Line

__all__ = ["Connect", "Remote", "Settings", "UpstreamServer"]


@dataclass
class Remote:
    """An engine that lets somebody far away answer, and goes on with them when the connection breaks.

    `connect` reaches them, `session` is how a conversation is held until its client says otherwise, `name` what
    logs and errors call them. `transcriber` is their model that writes down what a caller says, where nobody
    names one. `wait` is the seconds to wait after so many calls that failed.
    """

    connect: Connect
    name: str = "the far end"
    session: Session = DEFAULT
    limits: Limits = field(default_factory=Limits)
    transcriber: str = ""
    wait: Callable[[int], float] = backoff

    @property
    def end(self) -> UpstreamServer:
        """Who answers."""
        return UpstreamServer(self.name, self.connect, SessionDialect(self.transcriber))

    async def converse(self, line: Line, session: Settings | None = None) -> None:
        """Hold one conversation, as `session` wants it. Cancelling it ends all that it started."""
        await self.hold(line, session, [self.end])

    async def hold(self, line: Line, session: Settings | None, ends: Iterable[UpstreamServer]) -> None:
        """Hold one conversation with the first of these who can be reached, then with the next."""
        limits = self.limits
        relay = Relay(line, whole(self.session, session, tools=limits.tools), limits)
        async with line:
            with anyio.move_on_after(limits.conversation_minutes * 60) as life:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._have_answered, relay, ends, tasks.cancel_scope)
                    await relay.hear()
                    tasks.cancel_scope.cancel()
            if life.cancelled_caught:
                await line.send(expired(limits))

    async def _have_answered(
        self, relay: Relay, ends: Iterable[UpstreamServer], talk: anyio.CancelScope
    ) -> None:
        lost = await Reconnecting(relay, self.limits, self.wait).make(ends)
        details = e.ErrorDetails(
            type="server_error", code="upstream_unreachable", message=f"Nobody answers: {lost.why}."
        )
        await relay.line.send(e.ErrorEvent(error=details))
        talk.cancel()
