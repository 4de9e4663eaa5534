"""Legs of telephone calls whose caller is scripted, and calls over them in jumping time."""

from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from vivavoce.audio.rates import G711_RATE
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation, Timeline
from vivavoce.transports.telephony.call import TelephoneTransport
from vivavoce.transports.telephony.leg import CallDetails, KeyPressed, LegEvent, MarkPlayed
from vivavoce.transports.telephony.webhooks import Observe, ignore

FRAME = 320
QUESTION = CallerSays(0.5, "What is the capital of France?")
LONG = "There was once a lighthouse by the sea, and in it lived a keeper with his dog and a lamp."


@dataclass(frozen=True)
class Presses:
    """The caller presses a key."""

    at: float
    key: str


@dataclass(frozen=True)
class Holds:
    """No audio comes from the caller between two times."""

    at: float
    until: float


Doing = CallerSays | Presses | Holds


@dataclass
class FakeLeg:
    """A leg that keeps what it is sent, with its time. With `has_clock`, it plays it by a clock of its own."""

    steps: Sequence[Doing] = ()
    until: float = 5
    has_clock: bool = False
    has_marks: bool = False
    keep_alive_seconds: float | None = None
    name: str = "fake"
    rate: int = G711_RATE
    frame_bytes: int = FRAME
    details: CallDetails = field(default_factory=lambda: CallDetails("uuid-1", "+1555"))
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    cleared: list[float] = field(default_factory=list)
    events: list[e.Event] = field(default_factory=list)
    referred: list[tuple[float, str]] = field(default_factory=list)
    answered_at: float | None = None
    hung_up_at: float | None = None
    refusal: ProtocolError | None = None
    switchboard: Switchboard | None = None
    slowness: float = 1
    """how many times longer the peer takes to play than it should"""

    def __post_init__(self) -> None:
        self.began = anyio.current_time()
        self._queue: list[bytes | str] = []
        self.heard: list[tuple[float, bytes]] = []
        """what was played, when it began"""
        self._inbox: deque[LegEvent | None] = deque()
        self._arrived = anyio.Event()

    @property
    def now(self) -> float:
        return anyio.current_time() - self.began

    async def receive(self) -> AsyncIterator[LegEvent]:
        while True:
            while not self._inbox:
                self._arrived = anyio.Event()
                await self._arrived.wait()
            if (event := self._inbox.popleft()) is None:
                return
            yield event

    async def answer(self) -> None:
        self.answered_at = self.now

    async def send_audio(self, audio: bytes) -> None:
        self.sent.append((self.now, audio))
        if self.has_clock:
            self._queue += [audio[at : at + FRAME] for at in range(0, len(audio), FRAME)]

    async def send_mark(self, name: str) -> None:
        self._queue.append(name)

    async def clear(self) -> None:
        self.cleared.append(self.now)
        marks = [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        for mark in marks:  # as Twilio does: all at once
            self.put(MarkPlayed(mark))

    async def on_event(self, event: e.Event) -> None:
        self.events.append(event)

    async def hang_up(self, refusal: ProtocolError | None = None) -> None:
        self.hung_up_at, self.refusal = self.now, refusal

    async def refer(self, target: str) -> None:
        self.referred.append((self.now, target))

    def put(self, event: LegEvent | None) -> None:
        """Have something come from the peer; None hangs up."""
        self._inbox.append(event)
        self._arrived.set()

    async def act(self) -> None:
        """Do what the caller does, then hang up."""
        said = [step for step in self.steps if isinstance(step, CallerSays)]
        keys = sorted((step for step in self.steps if isinstance(step, Presses)), key=lambda step: step.at)
        holds = [step for step in self.steps if isinstance(step, Holds)]
        for frame in range(round(self.until * 50)):
            at = frame / 50
            await anyio.sleep_until(self.began + at)
            while keys and keys[0].at <= at:
                self.put(KeyPressed(keys.pop(0).key))
            level = next((n for n, one in enumerate(said, 1) if one.at <= at < one.until), 0)
            if not any(hold.at <= at < hold.until for hold in holds):
                self.put(array("h", [1000 * level] * (self.rate // 50)).tobytes())
        self.put(None)

    async def play(self) -> None:
        """Play what is queued, until cancelled."""
        while True:
            await anyio.sleep(0.02 * self.slowness)
            while self._queue and isinstance(self._queue[0], str):
                self.put(MarkPlayed(str(self._queue.pop(0))))
            if self._queue:
                audio = self._queue.pop(0)
                assert isinstance(audio, bytes)
                self.heard.append((self.now, audio))


def seconds(audio: Sequence[tuple[float, bytes]]) -> float:
    """Return the length of the audio that is no silence, at 8 kHz."""
    return sum(sum(map(bool, array("h", one))) for _, one in audio) / G711_RATE


def truncations(timeline: Timeline) -> list[int]:
    """Return how much was heard of each answer that was interrupted, in ms."""
    return [one.audio_end_ms for one in timeline.of(e.ConversationItemTruncate)]  # type: ignore[attr-defined]


async def hold_call(
    leg: FakeLeg,
    simulation: Simulation,
    on_caller: Callable[[Caller], object] = lambda caller: None,
    observe: Observe = ignore,
    **limits: Any,
) -> Timeline:
    """Run one call until it ends; return all events."""
    simulation.caller.utterances = [step for step in leg.steps if isinstance(step, CallerSays)]
    timeline = Timeline([], leg.began)

    def listener(caller: Caller) -> Callable[[ObservedEvent], None]:
        on_caller(caller)
        return timeline.entries.append

    switchboard = Switchboard(
        simulation.engine,
        limits=Limits(**limits),
        listeners=[listener],
        middleware=simulation.middleware,
    )
    leg.switchboard = switchboard
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leg.act)
        tasks.start_soon(leg.play)
        try:
            transport = TelephoneTransport(switchboard.connect, Limits(**limits), observe=observe)
            await transport.accept(leg)
        except ProtocolError:
            assert leg.refusal
        tasks.cancel_scope.cancel()
    return timeline
