"""An upstream server for tests: an engine in this process, whose line breaks, stalls or is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

import anyio
import msgspec

from clients.rules import check
from clients.rules.score import Direction, Event
from vivavoce.engines.failover import Failover
from vivavoce.engines.remote.engine import Remote
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import encode
from vivavoce.protocol.session import AnySession
from vivavoce.session.line import Engine, HungUp, Line, open_line
from vivavoce.testing.simulation import Simulation, Timeline

DOWN = ProviderError("far.example.org", "cannot be reached", retryable=True)


@dataclass
class UpstreamDouble:
    """Connects to an engine. Times are in seconds from the first connection.

    At each of `breaks` the line breaks; from `stalls` to `up`, no event passes. Connections are refused by
    `refuses`, in order, and all between `down` and `up`.
    """

    engine: Engine
    breaks: tuple[float, ...] = ()
    stalls: float = inf
    refuses: list[ProviderError | None] = field(default_factory=list)
    down: float = inf
    up: float = inf
    connections: list[float] = field(default_factory=list)
    sessions: list[AnySession] = field(default_factory=list)
    received: list[list[e.Event]] = field(default_factory=list)
    began: float | None = None

    @property
    def now(self) -> float:
        if self.began is None:
            self.began = anyio.current_time()
        return anyio.current_time() - self.began

    @asynccontextmanager
    async def connect(self, session: AnySession) -> AsyncIterator[Line]:
        self.connections.append(self.now)
        self.sessions.append(session)
        refusal = self.refuses.pop(0) if self.refuses else None
        if refusal or self.down <= self.now < self.up:
            raise refusal or DOWN
        received: list[e.Event] = []
        self.received.append(received)
        (near, ours), (theirs, engines) = open_line(), open_line()
        async with anyio.create_task_group() as tasks, near:
            tasks.start_soon(self._relay, ours, theirs, engines, received)
            yield near
            tasks.cancel_scope.cancel()

    async def _relay(self, ours: Line, theirs: Line, engines: Line, received: list[e.Event]) -> None:
        breaks = next((at for at in self.breaks if at > self.now), inf)
        async with ours, theirs:
            with anyio.move_on_after(breaks - self.now):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.engine.converse, engines)
                    tasks.start_soon(self._pump, ours, theirs, received)
                    await self._pump(theirs, ours, [])
                    tasks.cancel_scope.cancel()

    async def _pump(self, source: Line, sink: Line, received: list[e.Event]) -> None:
        async for event in source:
            if self.stalls <= self.now < self.up:
                await anyio.sleep_forever()
            received.append(event)
            try:
                await sink.send(event)
            except HungUp:
                return


def remote(simulation: Simulation, **faults: object) -> UpstreamDouble:
    """Make the simulation's engine an upstream server."""
    upstream = UpstreamDouble(simulation.engine, **faults)
    simulation.engine = Remote(
        upstream.connect,
        "far.example.org",
        simulation.session,
        simulation.limits,
        delay=lambda attempt: 0.5 * attempt,
    )
    return upstream


def failing_over(simulation: Simulation, then: Simulation, **faults: object) -> UpstreamDouble:
    """Make the simulation's engine an upstream server, with that of another to fail over to.

    Both receive the same audio.
    """
    then.engine.providers.transcriber.caller = simulation.caller
    upstream, first = remote(simulation, **faults), simulation.engine
    simulation.engine = Failover(first, then.engine)
    return upstream


def check_rules(timeline: Timeline, errors: tuple[str, ...] | None = ()) -> None:
    """Complain about every event that is out of its place. Who takes over may answer what was asked before."""
    said: list[tuple[Direction, Event]] = []
    for heard in timeline.entries:
        match heard.event:
            case e.EngineChanged(engine="remote" | "cascade"):
                said.append(("client", {"type": "response.create"}))
            case e.OwnEvent():
                pass
            case event:
                said.append((heard.source, msgspec.json.decode(encode(event))))
    check(said, errors=errors)


def engines(timeline: Timeline) -> list[tuple[str, str]]:
    """Who answered, and why, whenever that changed."""
    return [(event.engine, event.reason) for event in timeline.of(e.EngineChanged)]
