"""The caller's turns: analysed in each pause, committed and answered when they are over."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.dates import unix_now
from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.input_audio import InputAudioStream
from vivavoce.engines.cascade.response_task import ResponseTask
from vivavoce.engines.cascade.responses import Responses
from vivavoce.engines.cascade.settings import InputProcessing
from vivavoce.engines.cascade.transcripts import STRETCH_MS, PartialTranscripts, PendingTranscript, Transcripts
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Item, Message
from vivavoce.providers.base import TurnDetector
from vivavoce.session.formats import bytes_per_ms, check_samples, in_pieces
from vivavoce.turn_taking import (
    Change,
    InterruptionDismissed,
    InterruptionSuspected,
    Paused,
    Resumed,
    SpeechStarted,
    SpeechStopped,
)

log = logging.getLogger(__name__)

_MIN_COMMIT_MS = 100
LEAD_MS = 350
"""Audio before a turn that is transcribed too, since transcribers make mistakes at an abrupt beginning."""
INTERRUPTION_LEAD_MS = 200
"""the same for speech over a response"""
FIRST_LISTEN_MS = 192
NEXT_LISTEN_MS = 96
"""when to transcribe speech during a response: after an interruption is suspected, and then repeatedly"""
_SYLLABLE_MS = 250
_SILENT_CALLER = "The caller has said nothing for a while. Ask in a few words whether they are still there."


@dataclass
class PauseAnalysis(PendingTranscript):
    """The analysis of a pause: the transcript so far, and the probability that the turn is over."""

    pause: int = 0
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    end_of_turn: float | None = None


@dataclass
class InputTurn:
    """The caller's turn in progress."""

    item_id: str
    start_ms: float
    audio_start_ms: float
    """where the audio for the transcriber begins, a little before the turn"""
    partials: PartialTranscripts
    analysis: PauseAnalysis | None = None
    resumed_ms: float | None = None
    draft: ResponseTask | None = None
    draft_count: int = 0


@dataclass
class InputTurns:
    """Detects the caller's turns, and responds to them. Changes of turn-taking are handled one by one."""

    context: CascadeContext
    responses: Responses
    input_audio: InputAudioStream
    transcripts: Transcripts
    _turn: InputTurn | None = None
    _changes: deque[Change] = field(default_factory=deque)
    _lock: anyio.Lock = field(default_factory=anyio.Lock)
    _interruption: InterruptionSuspected | None = None
    _next_listen_ms: float = 0
    _idle_since_ms: float = 0

    # client events

    async def append(self, audio: bytes) -> None:
        """Handle `input_audio_buffer.append`. Long audio is split, so that other tasks may run."""
        check_samples(audio, self.input_audio.settings.format, "audio")
        if self.input_audio.settings.rules is None:
            self.input_audio.append(audio)
            if self.context.transcription:  # other sessions have no partial transcripts of manual turns
                start_ms = self.input_audio.buffer.start_ms
                self._turn = self._turn or self._create_turn(start_ms, start_ms)
                self._turn.partials.poll()
            await self._send_dtmf()
            return
        stretch = STRETCH_MS * bytes_per_ms(self.input_audio.settings.format)
        async for piece in in_pieces(audio, stretch):
            await self._process(piece)
            await self._send_dtmf()

    async def _send_dtmf(self) -> None:
        keys, self.input_audio.dtmf_keys = self.input_audio.dtmf_keys, ""
        for key in keys:
            self._idle_since_ms = self.input_audio.now_ms
            await self.context.line.send(e.DtmfEventReceived(event=key, received_at=unix_now()))

    async def _process(self, audio: bytes) -> None:
        for number, change in enumerate(self.input_audio.process(audio)):
            if number % 100 == 99:  # what was not committed may be long
                await anyio.lowlevel.checkpoint()
            if change is not None:
                self._changes.append(change)
                await self._handle_changes()
            self._discard_outdated_draft()
            if self._interruption and self.input_audio.now_ms >= self._next_listen_ms:
                self._next_listen_ms += NEXT_LISTEN_MS
                self.context.tasks.start_soon(self._judge_interruption, self._interruption)
            if self._turn and not self._turn.analysis:
                self._turn.partials.poll()
            await self._check_idle_timeout()

    async def commit(self) -> None:
        """Handle `input_audio_buffer.commit`. Raises `ProtocolError` if there is too little audio."""
        async with self._lock:
            start_ms = self._turn.audio_start_ms if self._turn else 0.0
            audio = self.input_audio.buffer.read(start_ms)
            ms = len(audio) * 1000 / (2 * INPUT_RATE)
            if ms < _MIN_COMMIT_MS:
                raise ProtocolError(
                    f"Error committing input audio buffer: buffer too small. Expected at least "
                    f"{_MIN_COMMIT_MS}ms of audio, but buffer only has {ms:.2f}ms of audio.",
                    code="input_audio_buffer_commit_empty",
                )
            turn = self._turn or self._create_turn(start_ms, start_ms)
            self.transcripts.store_audio(turn.item_id, turn.start_ms)
            self._drop_turn()
            self.input_audio.clear()
            await self.transcripts.commit(turn.item_id)
        self.context.tasks.start_soon(self.transcripts.transcribe_turn, turn.partials, audio)

    async def clear(self) -> None:
        """Handle `input_audio_buffer.clear`."""
        async with self._lock:
            self._drop_turn()
            self.input_audio.clear()
            await self.context.send(e.InputAudioBufferCleared())

    def configure(self, settings: InputProcessing) -> None:
        """Apply other settings from now on. A turn in progress goes on under them, or stays to be committed."""
        before, rules, kept = self.input_audio.settings.rules, settings.rules, self._turn
        if rules is not None and before is not None:
            self.input_audio.configure(settings)
            if rules != before and kept and kept.analysis:
                self._judge_pause(kept.analysis)
            return
        keep_from_ms = kept.audio_start_ms if kept else self.input_audio.turn_taking.speech_start_ms
        if rules != before:
            self._drop_turn()
        self.input_audio.configure(settings, keep_from_ms=keep_from_ms)
        if rules is None and before is not None:
            self._changes.clear()  # whether it is over is the client's to say now
            if kept:
                kept.analysis = kept.draft = None
                self._turn = kept

    # changes of turn-taking

    async def _handle_changes(self) -> None:
        async with self._lock:
            while self._changes:
                await self._on_change(self._changes.popleft())

    def _add_change(self, change: Change | None) -> None:
        if change is not None:
            self._changes.append(change)
            self.context.tasks.start_soon(self._handle_changes)

    async def _on_change(self, change: Change) -> None:
        self._idle_since_ms = self.input_audio.now_ms
        match change:
            case InterruptionSuspected(at_ms=at):
                self.responses.pause()
                self._interruption, self._next_listen_ms = change, at + FIRST_LISTEN_MS
                await self.context.line.send(e.InterruptionJudged(judgement="suspected"))
            case InterruptionDismissed():
                self._interruption = None
                self.responses.resume()
                await self.context.line.send(e.InterruptionJudged(judgement="dismissed"))
            case SpeechStarted(start_ms=start):
                await self._on_speech_started(start)
            case Paused(pause=pause) if self._turn:
                self._turn.resumed_ms = None
                self._turn.partials.stop()
                self._turn.analysis = PauseAnalysis(pause=pause)
                audio = self.input_audio.buffer.read(self._turn.audio_start_ms)
                self.context.tasks.start_soon(self._analyze_pause, self._turn, self._turn.analysis, audio)
            case Resumed(at_ms=at) if self._turn:
                self._turn.resumed_ms = at
                if self._turn.analysis:
                    self._turn.analysis.scope.cancel()
                    self._turn.analysis = None
            case SpeechStopped(end_ms=end):
                await self._on_speech_stopped(end)

    async def _on_speech_started(self, start_ms: float) -> None:
        self._interruption = None
        padded_ms = max(0.0, start_ms - self.input_audio.settings.prefix_padding_ms)
        self._turn = self._create_turn(padded_ms, min(padded_ms, start_ms - LEAD_MS))
        if self.input_audio.settings.interrupt_response:
            self.responses.interrupt("turn_detected")
        else:
            self.responses.resume()
        item_id, start = self._turn.item_id, round(padded_ms)
        await self.context.send(e.InputAudioBufferSpeechStarted(audio_start_ms=start, item_id=item_id))
        self.responses.read_ahead(idle=False)

    def _create_turn(self, start_ms: float, audio_start_ms: float) -> InputTurn:
        item_id = e.new_id("item")
        partials = PartialTranscripts(self.context, self.input_audio, item_id, audio_start_ms)
        return InputTurn(item_id, start_ms, audio_start_ms, partials)

    async def _on_speech_stopped(self, end_ms: float) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        turn.partials.stop()
        end, analysis = round(end_ms), turn.analysis
        await self.context.send(e.InputAudioBufferSpeechStopped(audio_end_ms=end, item_id=turn.item_id))
        if analysis is None:
            analysis = PauseAnalysis()
            audio = self.input_audio.buffer.read(turn.audio_start_ms)
            self.context.tasks.start_soon(self.transcripts.resolve, analysis, audio)
        self.transcripts.store_audio(turn.item_id, turn.start_ms)
        await self.transcripts.commit(turn.item_id)
        self.context.tasks.start_soon(self._finish_turn, turn, analysis, (end_ms - turn.start_ms) / 1000)

    def _drop_turn(self) -> None:
        if self._turn:
            self._turn.partials.stop()
            self.responses.discard(self._turn.draft)
            if self._turn.analysis:
                self._turn.analysis.scope.cancel()
        self._turn = self._interruption = None
        self.responses.resume()

    # in a pause

    async def _analyze_pause(self, turn: InputTurn, analysis: PauseAnalysis, audio: bytes) -> None:
        """Transcribe the turn so far, estimate whether it is over, and start a draft, concurrently."""
        detector, rules = self.context.providers.turn, self.input_audio.settings.rules
        with analysis.scope:
            async with anyio.create_task_group() as tasks:
                if detector and rules is not None and rules.silence_ms is None:
                    tasks.start_soon(self._predict_end, detector, analysis, audio)
                await self.transcripts.resolve(analysis, audio)
                self._judge_pause(analysis)
                self._update_draft(turn, analysis)
                if not analysis.failure:
                    await turn.partials.update(analysis.text)

    async def _predict_end(self, detector: TurnDetector, analysis: PauseAnalysis, audio: bytes) -> None:
        """Call the turn detector; without its result, words and silence decide."""
        with anyio.move_on_after(self.context.limits.turn_detection_seconds):
            try:
                analysis.end_of_turn = await detector.predict_end_of_turn(audio)
            except ProviderError as error:
                log.warning("%s", error)
        self._judge_pause(analysis)

    def _judge_pause(self, analysis: PauseAnalysis) -> None:
        words = analysis.text if analysis.known.is_set() and not analysis.failure else None
        turn_taking = self.input_audio.turn_taking
        self._add_change(turn_taking.judge_pause(analysis.pause, finished=analysis.end_of_turn, words=words))

    def _update_draft(self, turn: InputTurn, analysis: PauseAnalysis) -> None:
        """Keep the draft if it answers this transcript; else start another one, within the limit."""
        if self._valid_draft(turn, analysis):
            return
        self.responses.discard(turn.draft)
        turn.draft = None
        creates = self.input_audio.settings.create_response and not self.responses.in_progress
        if creates and analysis.text and turn.draft_count < self.context.limits.drafts:
            turn.draft_count += 1
            turn.draft = self.responses.start_draft(turn.item_id, analysis.text)

    def _valid_draft(self, turn: InputTurn, analysis: PauseAnalysis) -> ResponseTask | None:
        is_valid = turn.draft and turn.draft.answers == (analysis.text, self.context.revision)
        return turn.draft if is_valid else None

    def _discard_outdated_draft(self) -> None:
        """Discard the draft if the caller has continued for more than a syllable: it lacks the new words."""
        turn, now_ms = self._turn, self.input_audio.now_ms
        if turn and turn.draft and turn.resumed_ms is not None and now_ms - turn.resumed_ms > _SYLLABLE_MS:
            self.responses.discard(turn.draft)
            turn.draft = None

    # after a turn

    async def _finish_turn(self, turn: InputTurn, analysis: PauseAnalysis, seconds: float) -> None:
        """Publish the transcript, and respond, unless the caller has said something since."""
        await analysis.known.wait()
        await self.transcripts.publish(turn.partials, analysis, seconds)
        draft = self._valid_draft(turn, analysis)
        if draft is not turn.draft:
            self.responses.discard(turn.draft)
        if self.input_audio.settings.create_response:
            await self.responses.wait_until_done()
            if self._turn is None and self.context.conversation.last_turn_id == turn.item_id:
                if analysis.failure or (analysis.text and not draft):
                    self.responses.respond(self.transcripts.read_messages)
                elif draft:
                    self.responses.release(draft)
                else:
                    self.responses.respond_without_output()
                return
        self.responses.discard(draft)

    # during a response

    async def _judge_interruption(self, interruption: InterruptionSuspected) -> None:
        """Transcribe speech during a response, and judge it; if that fails, its length decides."""
        audio = self.input_audio.buffer.read(interruption.at_ms - INTERRUPTION_LEAD_MS)
        try:
            words = await self.transcripts.transcribe(audio)
        except ProviderError as error:
            log.warning("%s", error)
            return
        self._add_change(self.input_audio.turn_taking.judge_interruption(interruption.interruption, words))

    # idle timeout

    async def _check_idle_timeout(self) -> None:
        """Respond to an empty item if the caller is silent for `idle_timeout_ms`; responses do not count."""
        timeout_ms, now_ms = self.input_audio.settings.idle_timeout_ms, self.input_audio.now_ms
        if timeout_ms is None or self._turn or self.responses.in_progress or self.responses.audible:
            self._idle_since_ms = now_ms
            return
        if now_ms - self._idle_since_ms < timeout_ms:
            return
        item_id, start, end = e.new_id("item"), round(self._idle_since_ms), round(now_ms)
        self._idle_since_ms = now_ms
        await self.context.send(
            e.InputAudioBufferTimeoutTriggered(audio_start_ms=start, audio_end_ms=end, item_id=item_id)
        )
        await self.transcripts.commit_silence(item_id)
        note = Message(role="system", content=(InputText(text=_SILENT_CALLER),))

        async def read_items() -> Sequence[Item]:
            return (*await self.transcripts.read_messages(), note)

        self.responses.respond(read_items)
