"""A caller on `RealtimeClient`: plays recordings in real time, and records events with their times."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import anyio

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.client import ConnectionChanged, RealtimeClient
from vivavoce.client.microphone_feed import FRAME_SECONDS, MicrophoneFeed
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.session import Session
from vivavoce_bench.clips import ROOM_TONE, Clip
from vivavoce_bench.measures import Arrival, Interruption, MeasuredTurn, first_audible, interruption_of, turn_of

ANSWER_SECONDS = 25.0
"""seconds after which a caller stops waiting for an answer"""
PAUSE_SECONDS = 0.3
"""seconds between the end of an answer and the next question"""
LIMITS = Limits(connect_attempts=1, reconnect_attempts=0)
"""no reconnection: a reconnected call would distort the measurement"""

Dial = Callable[[], RealtimeClient]
"""Creates the client of one call."""


def arrival_of(event: e.Event | ConnectionChanged, at: float) -> Arrival:
    """Return what is measured of an event that arrived at this time."""
    if isinstance(event, ConnectionChanged):
        return Arrival(at, event.name)
    kind = str(event.__struct_config__.tag)
    match event:
        case e.ResponseOutputAudioDelta(response_id=response, delta=audio):
            seconds = len(audio) / 2 / OUTPUT_RATE
            return Arrival(at, kind, response, seconds=seconds, audible=first_audible(audio))
        case e.ResponseCreated(response=made) | e.ResponseDone(response=made):
            return Arrival(at, kind, made.id, status=made.status)
        case e.ResponseOutputAudioTranscriptDelta() | e.ResponseFunctionCallArgumentsDone():
            return Arrival(at, kind, event.response_id)
        case e.TranscriptionCompleted(transcript=text):
            return Arrival(at, kind, text=text)
        case e.ErrorEvent(error=error):
            return Arrival(at, kind, text=error.message)
        case _:
            return Arrival(at, kind)


class BenchCaller:
    """One conversation from the caller's view."""

    def __init__(self, client: RealtimeClient) -> None:
        self.arrivals: list[Arrival] = []
        self._feed = MicrophoneFeed(client.append_input_audio, ROOM_TONE)
        self._changed = anyio.Event()
        client.on("server.*", self._on_event)
        client.on("connection.closed", self._on_event)

    def _on_event(self, event: e.Event | ConnectionChanged) -> None:
        self.arrivals.append(arrival_of(event, anyio.current_time()))
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def lag(self) -> float:
        """The greatest delay of a sent frame, in seconds."""
        return self._feed.lag

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Start to send audio."""
        tasks.start_soon(self._feed.run)

    def play(self, clip: Clip) -> float:
        """Start to play a recording, and return when its first sample is sent."""
        return self._feed.play(clip.frames)

    async def ask(self, clip: Clip) -> MeasuredTurn:
        """Play a recording, wait for the end of the answer, and measure it."""
        mark, earlier = len(self.arrivals), {one.response for one in self.arrivals if one.response}
        end = self.play(clip) + clip.speech_end
        await anyio.sleep_until(end)
        await self._until(lambda: _is_answered(self.arrivals[mark:], earlier))
        await anyio.sleep_until(self._played_until(mark) + PAUSE_SECONDS)
        return turn_of(self.arrivals[mark:], end, earlier=earlier)

    async def interrupt(
        self, question: Clip, interruption: Clip, after: float, watch: float
    ) -> Interruption | None:
        """Ask, and speak `after` seconds into the answer; None if there was no answer to interrupt."""
        mark = len(self.arrivals)
        await anyio.sleep_until(self.play(question) + question.speech_end)
        if not await self._until(lambda: any(one.audible is not None for one in self.arrivals[mark:])):
            return None
        await anyio.sleep(after)
        mark, now = len(self.arrivals), anyio.current_time()
        buffered = max(0.0, self._played_until(0) - now)
        playing = Arrival(now, "response.output_audio.delta", seconds=buffered, audible=0.0)
        start = self.play(interruption)
        await anyio.sleep_until(start + interruption.speech_end + watch)
        return interruption_of([playing, *self.arrivals[mark:]], start + interruption.speech_start)

    async def play_and_watch(self, clip: Clip, watch: float) -> list[Arrival]:
        """Play a recording, and return all events until `watch` seconds after it."""
        mark = len(self.arrivals)
        start = self.play(clip)
        await anyio.sleep_until(start + len(clip.frames) * FRAME_SECONDS + watch)
        return self.arrivals[mark:]

    async def _until(self, is_true: Callable[[], bool]) -> bool:
        """Wait until a condition on the events is true; return whether it became true in time."""
        with anyio.move_on_after(ANSWER_SECONDS):
            while not is_true():
                await self._changed.wait()
        return is_true()

    def _played_until(self, mark: int) -> float:
        until = 0.0
        for one in self.arrivals[mark:]:
            if one.seconds:
                until = max(until, one.at) + one.seconds
        return until


def _is_answered(arrivals: Sequence[Arrival], earlier: set[str]) -> bool:
    """Return whether an answer has ended, and no response is in progress or due after a tool call."""
    begun = {one.response for one in arrivals if one.type == "response.created"} - earlier
    ended = {one.response: one.status for one in arrivals if one.type == "response.done"}
    calls = {one.response for one in arrivals if one.type == "response.function_call_arguments.done"}
    is_over = any(one.type == "connection.closed" for one in arrivals)
    done = [each for each, status in ended.items() if each not in calls | earlier and status != "cancelled"]
    return is_over or (begun <= set(ended) and bool(done))


@asynccontextmanager
async def calling(dial: Dial, session: Session | None = None) -> AsyncIterator[BenchCaller]:
    """Connect, set up the session, and send audio until the block is left. Raises `ProviderError`."""
    client = dial()
    caller = BenchCaller(client)
    async with client, anyio.create_task_group() as tasks:
        if session is not None:
            with suppress(ProtocolError):  # an assistant of the server keeps its own instructions
                await client.update_session(session)
        caller.start(tasks)
        yield caller
        tasks.cancel_scope.cancel()
