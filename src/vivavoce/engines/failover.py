"""Failover from an upstream server to the cascade, in the middle of a conversation if need be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf

import anyio

from vivavoce.engines.cascade.engine import Cascade
from vivavoce.engines.remote.engine import Remote
from vivavoce.engines.remote.relay import UpstreamServer
from vivavoce.engines.sessions import for_cascade
from vivavoce.protocol.session import AnySession
from vivavoce.session.line import Line, open_line


@dataclass
class Failover:
    """An engine in which `first` answers; when it is down, `then` continues the same conversation.

    A conversation that `then` has taken over stays with it. An upstream server that failed is not tried again
    for `limits.upstream_cooldown_seconds`, so that not every caller waits for it.
    """

    first: Remote
    then: Cascade
    _down_until: float = field(default=-inf, init=False)

    async def converse(self, line: Line, session: AnySession | None = None) -> None:
        """Serve one conversation, with the client's `session`. Cancelling ends all tasks of it."""
        connect = partial(self._connect, line.in_real_time)
        cascade = UpstreamServer("the cascade", connect, adapt=for_cascade, engine="cascade")
        if anyio.current_time() < self._down_until:
            servers = [replace(cascade, reason=f"{self.first.name} was down a moment ago")]
        else:
            servers = [replace(self.first.server, on_failure=self._cool_down), cascade]
        await self.first.serve(line, session, servers)

    def _cool_down(self) -> None:
        self._down_until = anyio.current_time() + self.first.limits.upstream_cooldown_seconds

    @asynccontextmanager
    async def _connect(self, in_real_time: bool, _: AnySession) -> AsyncIterator[Line]:
        ours, cascades = open_line(self.first.limits.line_depth)
        cascades.in_real_time = in_real_time
        async with anyio.create_task_group() as tasks, ours:
            tasks.start_soon(self.then.converse, cascades)
            yield ours
            tasks.cancel_scope.cancel()
