"""A caller who says recordings and presses keys in real time, waits for answers, and notes what he hears."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio

from vivavoce.audio.audible import speech_in
from vivavoce.client.microphone_feed import FRAME_SECONDS, MicrophoneFeed, frames_of
from vivavoce.client.telephone.codecs import Codec
from vivavoce.client.telephone.peer import HUNG_UP, CallOptions, CallRecord, Dial, TelephonePeer
from vivavoce.client.telephone.playout_queue import PlayoutQueue
from vivavoce.client.telephone.timings import SpokenRecording
from vivavoce.errors import ProviderError, first_failure

KEY_SECONDS = 0.1
"""how long a key is pressed, and until the next one"""
ANSWER_SECONDS = 20.0
"""seconds after which a caller does not wait for an answer any more"""
CALL_SECONDS = 600.0
"""the longest call"""
HANG_UP_SECONDS = 3.0
PAUSE_SECONDS = 1.0
"""how long an answer may pause and not be over"""


@dataclass(frozen=True)
class Recording:
    """What a caller says: 16-bit PCM at the rate of the call."""

    name: str
    audio: bytes


@dataclass(frozen=True)
class Script:
    """What a caller does: say each recording, press the keys, and interrupt the last answer.

    Before each he waits until it has been quiet for `pause` seconds. `after` is how many seconds into the last
    answer he says the `interruption`.
    """

    recordings: Sequence[Recording] = ()
    keys: str = ""
    interruption: Recording | None = None
    after: float = 1.5
    pause: float = 2.0
    answer_seconds: float = ANSWER_SECONDS


@dataclass
class OutgoingCall:
    """A call that was made. Times are seconds since it began."""

    record: CallRecord
    codec: Codec
    said: list[SpokenRecording] = field(default_factory=list)
    spoken: bytearray = field(default_factory=bytearray)
    """what the caller said, 16-bit PCM at the rate of the call"""
    seconds: float = 0.0
    lag: float = 0.0
    """the greatest delay of a frame that was sent: how late this machine was"""
    hung_up: bool = False
    """whether the server ended the call"""

    @property
    def heard(self) -> bytes:
        """What the caller heard, as long as the call was."""
        return self.record.queue.track(self.seconds)


class TelephoneCaller:
    """Makes one call."""

    def __init__(self, peer: TelephonePeer, codec: Codec) -> None:
        self._peer, self._codec = peer, codec
        self._frame_bytes = 2 * round(codec.rate * FRAME_SECONDS)
        self._feed = MicrophoneFeed(self._say, [bytes(self._frame_bytes)])
        queue = PlayoutQueue(codec.rate, peer.queue_seconds)
        self.call = OutgoingCall(CallRecord(queue, self._feed.began), codec)
        self.patience = anyio.CancelScope()
        """cancelled, it ends the call, and `follow` returns what there is"""
        self._is_pressing = self._hangs_up = False

    async def follow(self, script: Script) -> OutgoingCall:
        """Do what the script says, and hang up; the call ends earlier if the server ends it."""
        ended = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, ended)
            tasks.start_soon(self._speak)
            tasks.start_soon(self._act, script, ended)
            self.patience.deadline = anyio.current_time() + CALL_SECONDS
            with self.patience:
                await ended.wait()
            if anyio.current_time() >= self.patience.deadline:
                self.call.record.problem(f"The call was ended after {CALL_SECONDS:g} s.")
            self.call.seconds, self.call.lag = self.call.record.now, self._feed.lag
            tasks.cancel_scope.cancel()
        return self.call

    async def _listen(self, ended: anyio.Event) -> None:
        try:
            await self._peer.listen(self.call.record)
        except* ProviderError as errors:
            if not self._hangs_up:
                self.call.record.problem(f"{first_failure(errors)}.")
        except* HUNG_UP:
            pass
        if not self._hangs_up:
            self.call.hung_up = True
            ended.set()

    async def _speak(self) -> None:
        with suppress(*HUNG_UP):
            await self._feed.run()

    async def _say(self, frame: bytes) -> None:
        self.call.spoken += frame
        if not (self._is_pressing and self._peer.keys_pause_audio):
            await self._peer.send(self._codec.encode(frame))

    async def _act(self, script: Script, ended: anyio.Event) -> None:
        with suppress(*HUNG_UP):  # then `_listen` ends the call
            for recording in script.recordings:
                await self._until_quiet(script.pause)
                await self._until_answer(await self._say_all(recording), script.answer_seconds)
            if script.keys:
                await self._until_quiet(script.pause)
                await self._until_answer(await self._press(script.keys), script.answer_seconds)
            if script.interruption:
                await self._interrupt(script.interruption, script.after)
                await self._until_answer(self.call.said[-1].end, script.answer_seconds)
            await self._until_quiet(script.pause)
            self._hangs_up = True
            try:
                with anyio.move_on_after(HANG_UP_SECONDS):
                    await self._peer.hang_up()
            except ProviderError as error:
                self.call.record.problem(f"{error}.")
            ended.set()

    async def _say_all(self, recording: Recording, *, interrupts: bool = False) -> float:
        """Say a recording, and return when its speech has ended."""
        first = self._feed.play(frames_of(recording.audio, self._frame_bytes)) - self._feed.began
        start, end = speech_in(recording.audio, self._codec.rate)
        self.call.said.append(SpokenRecording(recording.name, first + start, first + end, interrupts))
        await anyio.sleep_until(self._feed.began + first + end)
        return first + end

    async def _press(self, keys: str) -> float:
        """Press keys, and return when the last one was let go."""
        start = end = self.call.record.now
        for key in keys:
            self._is_pressing = True
            await anyio.sleep(KEY_SECONDS)
            self._is_pressing = False
            await self._peer.press(key)  # it is reported when it is let go
            end = self.call.record.now
            await anyio.sleep(KEY_SECONDS)
        self.call.said.append(SpokenRecording(f"keys {keys}", start, end))
        return end

    async def _interrupt(self, interruption: Recording, after: float) -> None:
        await anyio.sleep(after)
        queue = self.call.record.queue
        if queue.audible_until + PAUSE_SECONDS < self.call.record.now:
            self.call.record.problem("The answer was over before it was interrupted.")
        await self._say_all(interruption, interrupts=True)

    async def _until_answer(self, since: float, seconds: float) -> None:
        """Wait until something audible is played that begins or lasts after this time."""
        record = self.call.record
        with anyio.move_on_after(seconds):
            while record.queue.audible_until <= since:
                await record.changed.wait()

    async def _until_quiet(self, seconds: float) -> None:
        """Wait until nothing audible was played for so many seconds."""
        record = self.call.record
        while (until := record.began + record.queue.audible_until + seconds) > anyio.current_time():
            with anyio.CancelScope(deadline=until):
                await record.changed.wait()


async def make_call(
    dial: Dial,
    url: str,
    options: CallOptions,
    script: Script,
    until: Callable[[anyio.CancelScope], Coroutine[object, object, None]] | None = None,
) -> OutgoingCall:
    """Call a URL, follow the script, and return the call.

    `until` is run beside it with a scope that ends the call when it is cancelled. Raises `ProviderError` if the
    server cannot be reached, or refuses.
    """
    try:
        async with dial(url, options) as peer, anyio.create_task_group() as tasks:
            caller = TelephoneCaller(peer, options.codec)
            if until is not None:
                tasks.start_soon(until, caller.patience)
            call = await caller.follow(script)
            tasks.cancel_scope.cancel()
    except HUNG_UP as error:
        raise ProviderError(urlsplit(url).netloc.rpartition("@")[2], "hung up at once") from error
    return call
