"""The caller's half of a turn: heard, thought about in every pause, answered when it is over."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.dates import unix_now
from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.idle_timeout import IdleTimeout
from vivavoce.engines.cascade.input_audio import InputAudioStream
from vivavoce.engines.cascade.partial_transcripts import PartialTranscripts
from vivavoce.engines.cascade.responses import Draft, Responses
from vivavoce.engines.cascade.settings import InputProcessing
from vivavoce.engines.cascade.transcripts import STRETCH_MS, PendingTranscript, Transcripts, said
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol import events as e
from vivavoce.providers.base import TurnDetector
from vivavoce.session.formats import bytes_per_ms, check_samples
from vivavoce.turn_taking import (
    Change,
    InterruptionDismissed,
    InterruptionSuspected,
    Paused,
    Resumed,
    SpeechStarted,
    SpeechStopped,
)

__all__ = ["InputTurns"]

log = logging.getLogger(__name__)

_LEAST_COMMIT_MS = 100
LEAD_MS = 350
"""Sound before a turn that the transcriber is given: with less it makes more mistakes at the beginning."""
INTERRUPTION_LEAD_MS = 200
"""The same for what is said over us."""
FIRST_LISTEN_MS = 192
NEXT_LISTEN_MS = 96
"""When to find out what is being said over us: after a stir, and again."""
_SYLLABLE_MS = 250


@dataclass
class PauseAnalysis(PendingTranscript):
    """What is found out in a pause: the words so far, and whether they are all."""

    pause: int = 0
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    finished: float | None = None


@dataclass
class InputTurn:
    """The caller's turn under way."""

    item_id: str
    start_ms: float
    heard_from_ms: float
    captions: PartialTranscripts
    pondering: PauseAnalysis | None = None
    resumed_ms: float | None = None
    draft: Draft | None = None
    drafts: int = 0


@dataclass
class InputTurns:
    """Hears the caller and decides when to answer. Changes of the floor are worked off one by one, in order."""

    call: CascadeContext
    voice: Responses
    ear: InputAudioStream
    minutes: Transcripts
    now: Callable[[], int] = unix_now
    _turn: InputTurn | None = None
    _changes: deque[Change] = field(default_factory=deque)
    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)
    _stir: InterruptionSuspected | None = None
    _listen_at_ms: float = 0
    silence: IdleTimeout = field(init=False)

    def __post_init__(self) -> None:
        self.silence = IdleTimeout(self.call, self.voice, self.ear, self.minutes)

    # what the client says

    async def hear(self, sound: bytes) -> None:
        """Take in a frame of any length, in the session's format; others need not wait for the end of it."""
        check_samples(sound, self.ear.hearing.format, "audio")
        if self.ear.hearing.rules is None:
            self._record(sound)
            await self._tell_keys()
            return
        stretch = STRETCH_MS * bytes_per_ms(self.ear.hearing.format)
        for at in range(0, len(sound), stretch):
            if at:
                await anyio.lowlevel.checkpoint()
            await self._hear(sound[at : at + stretch])
            await self._tell_keys()

    def _record(self, sound: bytes) -> None:
        """Take in sound in manual turns. Only where nobody answers it is written down as it comes."""
        self.ear.record(sound)
        if self.call.transcription:
            self._turn = self._turn or self._turn_from(self.ear.tape.begin_ms, self.ear.tape.begin_ms)
            self._turn.captions.look()

    async def _tell_keys(self) -> None:
        """Tell which keys were pressed. Whoever presses keys is still there."""
        keys, self.ear.pressed = self.ear.pressed, ""
        for key in keys:
            self.silence.begin_anew()
            await self.call.line.send(e.DtmfEventReceived(event=key, received_at=self.now()))

    async def _hear(self, sound: bytes) -> None:
        for change in self.ear.hear(sound):
            if change is not None:
                self._changes.append(change)
                await self._work_off()
            self._drop_what_is_outdated()
            if self._stir and self.ear.floor.now_ms >= self._listen_at_ms:
                self._listen_at_ms += NEXT_LISTEN_MS
                self.call.tasks.start_soon(self._overhear, self._stir)
            if self._turn and not self._turn.pondering:
                self._turn.captions.look()
            await self.silence.watch(caller_speaks=self._turn is not None)

    async def commit(self) -> None:
        """The client says that the caller has finished."""
        async with self._one_at_a_time:
            since = self._turn.heard_from_ms if self._turn else 0.0
            sound = self.ear.tape.since(since)
            ms = len(sound) * 1000 / (2 * INPUT_RATE)
            if ms < _LEAST_COMMIT_MS:
                raise ProtocolError(
                    f"Error committing input audio buffer: buffer too small. Expected at least "
                    f"{_LEAST_COMMIT_MS}ms of audio, but buffer only has {ms:.2f}ms of audio.",
                    code="input_audio_buffer_commit_empty",
                )
            turn = self._turn or self._turn_from(since, since)
            self.minutes.keep(turn.item_id, turn.start_ms)
            self._forget_turn()
            self.ear.clear()
            await self.minutes.put_down(turn.item_id)
        self.call.tasks.start_soon(self.minutes.take_down, turn.captions, sound)

    async def clear(self) -> None:
        """Forget what was heard and not committed."""
        async with self._one_at_a_time:
            self._forget_turn()
            self.ear.clear()
            await self.call.send(e.InputAudioBufferCleared())

    def listen(self, hearing: InputProcessing) -> None:
        """The session was changed."""
        if hearing.rules != self.ear.hearing.rules:
            self._forget_turn()
        self.ear.listen(hearing)

    # changes of the floor

    async def _work_off(self) -> None:
        async with self._one_at_a_time:
            while self._changes:
                await self._changed(self._changes.popleft())

    def _weighed(self, change: Change | None) -> None:
        if change is not None:
            self._changes.append(change)
            self.call.tasks.start_soon(self._work_off)

    async def _changed(self, change: Change) -> None:
        self.silence.begin_anew()
        match change:
            case InterruptionSuspected(at_ms=at):
                self.voice.hold()
                self._stir, self._listen_at_ms = change, at + FIRST_LISTEN_MS
            case InterruptionDismissed():
                self._stir = None
                self.voice.go_on()
            case SpeechStarted(start_ms=start):
                await self._begins(start)
            case Paused(pause=pause) if self._turn:
                self._turn.resumed_ms = None
                self._turn.captions.stop()
                self._ponder(self._turn, pause)
            case Resumed(at_ms=at) if self._turn:
                self._turn.resumed_ms = at
                if self._turn.pondering:
                    self._turn.pondering.scope.cancel()
                    self._turn.pondering = None
            case SpeechStopped(end_ms=end):
                await self._ends(end)
            case _:
                pass

    async def _begins(self, start_ms: float) -> None:
        self._stir = None
        start = max(0.0, start_ms - self.ear.hearing.prefix_padding_ms)
        self._turn = self._turn_from(start, min(start, start_ms - LEAD_MS))
        if self.ear.hearing.interrupt_response:
            self.voice.hush("turn_detected")
        else:
            self.voice.go_on()
        await self.call.send(
            e.InputAudioBufferSpeechStarted(audio_start_ms=round(start), item_id=self._turn.item_id)
        )
        self.call.tasks.start_soon(self.voice.look_back)

    def _turn_from(self, start_ms: float, heard_from_ms: float) -> InputTurn:
        item_id = e.new_id("item")
        return InputTurn(
            item_id, start_ms, heard_from_ms, PartialTranscripts(self.call, self.ear, item_id, heard_from_ms)
        )

    async def _ends(self, end_ms: float) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        turn.captions.stop()
        await self.call.send(e.InputAudioBufferSpeechStopped(audio_end_ms=round(end_ms), item_id=turn.item_id))
        pondering = turn.pondering
        if pondering is None:
            pondering = PauseAnalysis()
            sound = self.ear.tape.since(turn.heard_from_ms)
            self.call.tasks.start_soon(self.minutes.find, pondering, sound)
        self.minutes.keep(turn.item_id, turn.start_ms)
        await self.minutes.put_down(turn.item_id)
        self.call.tasks.start_soon(self._answer, turn, pondering, (end_ms - turn.start_ms) / 1000)

    def _forget_turn(self) -> None:
        if self._turn:
            self._turn.captions.stop()
            self.voice.drop(self._turn.draft)
            if self._turn.pondering:
                self._turn.pondering.scope.cancel()
        self._turn = self._stir = None
        self.voice.go_on()

    # thinking in a pause

    def _ponder(self, turn: InputTurn, pause: int) -> None:
        turn.pondering = PauseAnalysis(pause=pause)
        sound = self.ear.tape.since(turn.heard_from_ms)
        self.call.tasks.start_soon(self._think_over, turn, turn.pondering, sound)

    def _drop_what_is_outdated(self) -> None:
        """Who goes on for more than a syllable has more to say than the draft knows."""
        turn = self._turn
        if turn is None or turn.draft is None or turn.resumed_ms is None:
            return
        if self.ear.floor.now_ms - turn.resumed_ms > _SYLLABLE_MS:
            self.voice.drop(turn.draft)
            turn.draft = None

    async def _think_over(self, turn: InputTurn, pondering: PauseAnalysis, sound: bytes) -> None:
        """Find out what was said, whether it was all, and begin an answer, all at once."""
        with pondering.scope:
            async with anyio.create_task_group() as tasks:
                if self.call.crew.turn and self._is_semantic():
                    tasks.start_soon(self._find_end, self.call.crew.turn, pondering, sound)
                await self.minutes.find(pondering, sound)
                self._judge(pondering)
                self._redraft(turn, pondering)
                if not pondering.failure:
                    await turn.captions.hear(pondering.words)

    async def _find_end(self, detector: TurnDetector, pondering: PauseAnalysis, sound: bytes) -> None:
        """Ask the turn detector; without its answer, words and silence decide."""
        with anyio.move_on_after(self.call.limits.turn_detection_seconds):
            try:
                pondering.finished = await detector.predict_end_of_turn(sound)
            except ProviderError as error:
                log.warning("%s", error)
        self._judge(pondering)

    def _judge(self, pondering: PauseAnalysis) -> None:
        words = pondering.words if pondering.known.is_set() and not pondering.failure else None
        self._weighed(self.ear.floor.judge(pondering.pause, finished=pondering.finished, words=words))

    def _redraft(self, turn: InputTurn, pondering: PauseAnalysis) -> None:
        """Keep the draft if it answers these words, else begin another, as far as the budget goes."""
        if self._draft_for(turn, pondering.words):
            return
        self.voice.drop(turn.draft)
        turn.draft = None
        wanted = self.ear.hearing.create_response and pondering.words and not self.voice.busy
        if wanted and turn.drafts < self.call.limits.drafts:
            turn.drafts += 1
            item = said(turn.item_id, pondering.words)
            turn.draft = self.voice.draft(pondering.words, item)

    def _draft_for(self, turn: InputTurn, words: str) -> Draft | None:
        draft = turn.draft
        if draft and draft.words == words and draft.edition == self.call.edition:
            return draft
        return None

    def _is_semantic(self) -> bool:
        return self.ear.hearing.rules is not None and self.ear.hearing.rules.silence_ms is None

    # when it is over

    async def _answer(self, turn: InputTurn, pondering: PauseAnalysis, seconds: float) -> None:
        """What was said was said: taking it down is never interrupted. Only the last thing said is answered."""
        await pondering.known.wait()
        await self.minutes.tell(turn.captions, pondering, seconds)
        draft = self._draft_for(turn, pondering.words)
        if draft is not turn.draft:
            self.voice.drop(turn.draft)
        if self.ear.hearing.create_response:
            await self.voice.free()
            if self._turn is None and self.call.conversation.last_said_id == turn.item_id:
                self._respond(draft, pondering)
                return
        self.voice.drop(draft)

    def _respond(self, draft: Draft | None, pondering: PauseAnalysis) -> None:
        if draft and not pondering.failure:
            self.voice.release(draft)
        elif not pondering.words and not pondering.failure:
            self.voice.say_nothing()
        else:
            self.voice.respond(given=self.minutes.everything_said)

    # over our voice

    async def _overhear(self, stir: InterruptionSuspected) -> None:
        """Find out what is being said over us; if it cannot be, its length decides."""
        try:
            words = await self.minutes.transcribe(self.ear.tape.since(stir.at_ms - INTERRUPTION_LEAD_MS))
        except ProviderError as error:
            log.warning("%s", error)
            return
        self._weighed(self.ear.floor.overheard(stir.stir, words))
