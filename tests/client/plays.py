"""Clients on a stage: they speak as plays have it, and a line may break under them."""

from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from vivavoce import RealtimeClient
from vivavoce.connect import RemoteLine
from vivavoce.errors import ProviderError
from vivavoce.session.line import EventQueue, HungUp, Line
from vivavoce.testing.simulation import CallerSays, Simulation

FRAME_SECONDS = 0.02
SAMPLES = 480


async def speak(client: RealtimeClient, simulation: Simulation, *sayings: CallerSays, until: float) -> None:
    """Say these things, with silence between them, from now on until so many seconds are over."""
    began = anyio.current_time()
    simulation.caller.utterances = sayings
    for frame in range(round(until / FRAME_SECONDS)):
        at = frame * FRAME_SECONDS
        await anyio.sleep_until(began + at)
        await client.append_input_audio(sound(simulation.caller.sample(at)))


def sound(level: int, seconds: float = FRAME_SECONDS) -> bytes:
    """Sound of one level, at 24 kHz."""
    return array("h", [level] * round(seconds * 24_000)).tobytes()


@dataclass
class Network:
    """Connects to an engine, and breaks: `break_off` ends the line, `troubles` come before the next."""

    simulation: Simulation
    troubles: list[ProviderError] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    _line: RemoteLine | None = None
    _far: Line | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[RemoteLine]:
        """Give a line, as `dial` does, unless there is trouble."""
        self.calls.append(anyio.current_time())
        if self.troubles:
            raise self.troubles.pop(0)
        up, down = EventQueue(32), EventQueue(32)
        near, far = RemoteLine(up, down), Line(down, up)
        self._line, self._far = near, far
        async with anyio.create_task_group() as tasks, near:
            tasks.start_soon(_converse, self.simulation, far)
            yield near
            tasks.cancel_scope.cancel()

    async def break_off(self, error: ProviderError | None = None) -> None:
        """End the line: as the network does, or by a server that has an error to tell."""
        assert self._line is not None
        assert self._far is not None
        self._line.lost = error or broken()
        async with self._far:
            pass
        await anyio.wait_all_tasks_blocked()

    async def hang_up(self) -> None:
        """End the line as a server does that has said all."""
        assert self._far is not None
        async with self._far:
            pass
        await anyio.wait_all_tasks_blocked()


async def _converse(simulation: Simulation, far: Line) -> None:
    async with far:
        try:
            await simulation.engine.converse(far)
        except* HungUp:
            pass


def broken(*, retryable: bool = True) -> ProviderError:
    """What a network says."""
    return ProviderError("far.example", "the connection broke", retryable=retryable)


def said(client: RealtimeClient) -> Sequence[str]:
    """Who has said what."""
    return [f"{entry.role}: {entry.words.strip()}" for entry in client.items if entry.role]


def logged(client: RealtimeClient, by: str = "client") -> list[str]:
    """The names of what one side has said, but for its sound."""
    names = [one.type for one in client.log if one.source == by]
    return [name for name in names if name != "input_audio_buffer.append"]
