"""A caller who never puts the microphone down: says recordings in real time, and notes what comes back."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from vivavoce.protocol.session import Session
from vivavoce_bench.clips import FRAME_SECONDS, HUSHED, Clip
from vivavoce_bench.measures import Interruption, Note, Turn, interruption_of, turn_of
from vivavoce_bench.wires import Dial, Wire

__all__ = ["BenchCaller", "calling"]

PATIENCE = 25.0
"""seconds after which a caller gives up waiting for an answer"""
BREATH = 0.3
"""seconds between an answer's end and the next question"""


class BenchCaller:
    """One conversation, as its caller knows it. `lag` is how late a frame was sent at worst."""

    def __init__(self, wire: Wire) -> None:
        self.notes: list[Note] = []
        self.lag = 0.0
        self._wire = wire
        self._to_say: deque[bytes] = deque()
        self._began = anyio.current_time()
        self._ticks = 0
        self._news = anyio.Event()

    # the two tasks

    async def speak(self) -> None:
        """Send a frame every 20 ms by an absolute schedule: what is to be said, else the hush of a room."""
        while True:
            due = self._began + (self._ticks + 1) * FRAME_SECONDS
            await anyio.sleep_until(due)
            self.lag = max(self.lag, anyio.current_time() - due)
            frame = self._to_say.popleft() if self._to_say else HUSHED[self._ticks % len(HUSHED)]
            self._ticks += 1
            await self._wire.say(frame)

    async def listen(self) -> None:
        """Write down what comes."""
        async for note in self._wire.notes():
            self.notes.append(note)
            self._tell()
        self.notes.append(Note(anyio.current_time(), "hung up"))
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    # what a caller does

    def say(self, frames: Sequence[bytes]) -> float:
        """Begin to say this now, and return when its first sample is spoken."""
        start = self._began + (self._ticks + len(self._to_say)) * FRAME_SECONDS
        self._to_say.extend(frames)
        return start

    async def update(self, session: Session) -> None:
        """Say how the conversation is to be held, and wait until that is so."""
        mark = len(self.notes)
        await self._wire.update(session)
        await self.until(lambda: any(n.type in ("session.updated", "error") for n in self.notes[mark:]))

    async def ask(self, clip: Clip) -> Turn:
        """Say a recording, hear the whole answer, and measure."""
        mark, earlier = len(self.notes), {note.response for note in self.notes if note.response}
        end = self.say(clip.frames) + clip.speech_end
        await anyio.sleep_until(end)
        await self.until(lambda: _is_answered(self.notes[mark:], earlier))
        await self._hear_out(mark)
        return turn_of(self.notes[mark:], end, earlier=earlier)

    async def interrupt(
        self, question: Clip, interruption: Clip, after: float, watch: float
    ) -> Interruption | None:
        """Ask, and speak over the answer `after` seconds of it; None if there was no answer to speak over."""
        mark = len(self.notes)
        end = self.say(question.frames) + question.speech_end
        await anyio.sleep_until(end)
        if not await self.until(lambda: any(n.audible is not None for n in self.notes[mark:])):
            return None
        await anyio.sleep(after)
        mark = len(self.notes)
        playing = self._playing()
        start = self.say(interruption.frames)
        await anyio.sleep_until(start + interruption.speech_end + watch)
        return interruption_of([playing, *self.notes[mark:]], start + interruption.speech_start)

    async def overhear(self, clip: Clip, watch: float) -> list[Note]:
        """Say a recording and return all that comes until `watch` seconds after it."""
        mark = len(self.notes)
        start = self.say(clip.frames)
        await anyio.sleep_until(start + len(clip.frames) * FRAME_SECONDS + watch)
        return self.notes[mark:]

    async def until(self, true: Callable[[], bool], patience: float = PATIENCE) -> bool:
        """Wait until something is true of the notes; say whether it came to be."""
        with anyio.move_on_after(patience):
            while not true():
                await self._news.wait()
        return true()

    def _playing(self) -> Note:
        """Return one note for all the sound that is still to be played now."""
        now = anyio.current_time()
        return Note(
            now, "response.output_audio.delta", seconds=max(0.0, self._played_until(0) - now), audible=0.0
        )

    def _played_until(self, mark: int) -> float:
        until = 0.0
        for note in self.notes[mark:]:
            if note.seconds:
                until = max(until, note.at) + note.seconds
        return until

    async def _hear_out(self, mark: int) -> None:
        await anyio.sleep_until(self._played_until(mark) + BREATH)


def _is_answered(notes: Sequence[Note], earlier: set[str]) -> bool:
    """Say whether an answer has ended and none is under way, or is to follow the call of a tool."""
    begun = {n.response for n in notes if n.type == "response.created"} - earlier
    ended = {n.response: n.status for n in notes if n.type == "response.done" and n.response not in earlier}
    calls = {n.response for n in notes if n.type == "response.function_call_arguments.done"}
    hung_up = any(n.type == "hung up" for n in notes)
    answers = [status for response, status in ended.items() if response not in calls and status != "cancelled"]
    return hung_up or (begun <= set(ended) and bool(answers))


@asynccontextmanager
async def calling(dial: Dial, session: Session | None = None) -> AsyncIterator[BenchCaller]:
    """Call, and hold the line; leaving the block hangs up."""
    async with dial() as wire, anyio.create_task_group() as tasks:
        caller = BenchCaller(wire)
        tasks.start_soon(caller.listen)
        await caller.until(lambda: bool(caller.notes))
        if session is not None:
            await caller.update(session)
        tasks.start_soon(caller.speak)
        yield caller
        tasks.cancel_scope.cancel()
