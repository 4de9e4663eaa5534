"""Measures turn-taking on recordings: may people finish, how long do they wait, can they interrupt?

The folder is read by `clips`. Categories: `noise` is nobody speaking, `backchannel` an `uh-huh`, `meeting` is
left out, all else is an utterance, `pause` one with pauses inside. Time is that of the audio, and evidence
comes as late as is written here: the figures are the same on every machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.cascade.input_turns import (
    FIRST_LISTEN_MS,
    INTERRUPTION_LEAD_MS,
    LEAD_MS,
    NEXT_LISTEN_MS,
)
from vivavoce.engines.cascade.leveled_detector import LeveledDetector
from vivavoce.errors import UnknownLanguageError
from vivavoce.providers.base import (
    FRAME_BYTES,
    FRAME_MS,
    Transcriber,
    TurnDetector,
    VoiceActivityModel,
)
from vivavoce.turn_taking import (
    InterruptionDismissed,
    InterruptionSuspected,
    Paused,
    SpeechStarted,
    SpeechStopped,
    TurnRules,
    TurnTaking,
)
from vivavoce_bench.clips import Clip, read

BYTES_PER_MS = INPUT_RATE * 2 // 1000
TAIL_MS = 2500
"""of room tone put after a recording, so that its last word can be seen to be the last"""
EVIDENCE_MS = 100
"""milliseconds that the turn detector and the transcriber take"""
PARTIAL_MS = 40
"""milliseconds that the transcript of a few words during an answer takes"""
LEFT_OUT = "meeting"
NEVER = float("inf")


@dataclass(frozen=True)
class Closed:
    """How long after the end of this utterance its turn was closed; less than 0 is too early, None never."""

    clip: str
    category: str
    wait_ms: float | None


@dataclass(frozen=True)
class Over:
    """When, after its onset, this recording over an answer held it, and stopped it; None is never."""

    clip: str
    category: str
    held_ms: float | None
    stopped_ms: float | None


@dataclass(frozen=True)
class TurnReport:
    """Turns by the name of the rule that closed them, and what was said over answers."""

    turns: Mapping[str, Sequence[Closed]]
    over: Sequence[Over]


@dataclass(frozen=True)
class DecodedClip:
    """One recording at `INPUT_RATE`, with the probability of speech in every frame."""

    clip: Clip
    audio: bytes
    probabilities: Sequence[float]

    def between(self, begin_ms: float, end_ms: float) -> bytes:
        """Return the audio from one time to another."""
        return self.audio[int(max(0, begin_ms)) * BYTES_PER_MS : int(end_ms) * BYTES_PER_MS]


@dataclass
class Evidence:
    """Asks the models, never twice about the same audio: the rules differ, the evidence does not."""

    turn: TurnDetector | None
    transcriber: Transcriber
    _finished: dict[bytes, float | None] = field(default_factory=dict)
    _words: dict[bytes, str] = field(default_factory=dict)

    async def finished(self, audio: bytes) -> float | None:
        """Return how likely it is that the caller has finished, if there is a turn detector."""
        if audio not in self._finished:
            self._finished[audio] = await self.turn.predict_end_of_turn(audio) if self.turn else None
        return self._finished[audio]

    async def words(self, audio: bytes) -> str:
        """Return the transcript, empty if the transcriber does not understand it."""
        if audio not in self._words:
            try:
                self._words[audio] = (await self.transcriber.transcribe(audio)).text
            except UnknownLanguageError:
                self._words[audio] = ""
        return self._words[audio]


async def run(
    clips: Sequence[Clip], vad: VoiceActivityModel, turn: TurnDetector | None, transcriber: Transcriber
) -> TurnReport:
    """Play every recording alone and over an answer. Raises `ConfigError` if one cannot be read."""
    decoded_clips = [_decode(clip, vad) for clip in clips if clip.category != LEFT_OUT]
    spoken = [decoded for decoded in decoded_clips if decoded.clip.category not in ("noise", "backchannel")]
    evidence = Evidence(turn, transcriber)
    turns: dict[str, Sequence[Closed]] = {}
    for eagerness in ("medium", "low", "high"):
        rules = TurnRules(eagerness=eagerness)
        turns[eagerness] = [await _close(decoded, rules, evidence) for decoded in spoken]
    for silence_ms in (500, 1000):
        rules = TurnRules(silence_ms=silence_ms)
        turns[f"silence of {silence_ms} ms"] = [await _close(decoded, rules, None) for decoded in spoken]
    return TurnReport(turns, [await _speak_over(decoded, evidence) for decoded in decoded_clips])


def _decode(clip: Clip, vad: VoiceActivityModel) -> DecodedClip:
    if clip.path is None:
        raise RuntimeError("a recording of a folder is a file")
    audio = read(clip.path, INPUT_RATE) + _room_tone()
    probability = LeveledDetector(vad.detector()).probability
    frames = range(0, len(audio) - FRAME_BYTES + 1, FRAME_BYTES)
    return DecodedClip(clip, audio, [probability(audio[at : at + FRAME_BYTES]) for at in frames])


def _room_tone() -> bytes:
    """Return very quiet noise (-76 dB), always the same: audio that breaks off confuses the detector."""
    random = Random(0)  # noqa: S311 (no secret)
    samples = (round(random.gauss(0, 5)) for _ in range(TAIL_MS * INPUT_RATE // 1000))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


async def _close(decoded: DecodedClip, rules: TurnRules, evidence: Evidence | None) -> Closed:
    """Play a recording until its first turn is closed."""
    taking, start_ms, due_ms = TurnTaking(rules), 0.0, NEVER
    judge = partial(taking.judge_pause, 0, finished=None, words=None)
    for probability in decoded.probabilities:
        change = taking.on_frame(probability, FRAME_MS, assistant_speaks=False)
        if change is None and taking.now_ms + FRAME_MS > due_ms:
            change, at_ms, due_ms = judge(), due_ms, NEVER
        else:
            at_ms = taking.now_ms
        match change:
            case SpeechStarted(start_ms=start):
                start_ms = start
            case Paused(pause=pause) if evidence:
                audio = decoded.between(start_ms - LEAD_MS, taking.now_ms)
                finished, words = await evidence.finished(audio), await evidence.words(audio)
                judge = partial(taking.judge_pause, pause, finished=finished, words=words)
                due_ms = taking.now_ms + EVIDENCE_MS
            case SpeechStopped():
                return Closed(decoded.clip.name, decoded.clip.category, at_ms - decoded.clip.speech_end * 1000)
            case _:
                pass
    return Closed(decoded.clip.name, decoded.clip.category, None)


async def _speak_over(decoded: DecodedClip, evidence: Evidence) -> Over:
    """Play a recording over an answer that never ends, until it is stopped."""
    clip, onset_ms = decoded.clip, decoded.clip.speech_start * 1000
    taking, held_ms, due_ms = TurnTaking(TurnRules()), None, NEVER
    judge = partial(taking.judge_interruption, 0, "")
    suspected, listen_ms = InterruptionSuspected(0, 0), NEVER
    for probability in decoded.probabilities:
        change = taking.on_frame(probability, FRAME_MS, assistant_speaks=True)
        at_ms = taking.now_ms
        if change is None and taking.now_ms + FRAME_MS > due_ms:
            change, at_ms, due_ms = judge(), due_ms, NEVER
        match change:
            case SpeechStarted():
                return Over(clip.name, clip.category, held_ms, at_ms - onset_ms)
            case InterruptionSuspected(at_ms=at):
                suspected, listen_ms = change, at + FIRST_LISTEN_MS
                held_ms = at - onset_ms if held_ms is None else held_ms
            case InterruptionDismissed():
                listen_ms = due_ms = NEVER
            case _:
                pass
        if taking.now_ms >= listen_ms:
            words = await evidence.words(decoded.between(suspected.at_ms - INTERRUPTION_LEAD_MS, taking.now_ms))
            judge = partial(taking.judge_interruption, suspected.interruption, words)
            due_ms, listen_ms = taking.now_ms + PARTIAL_MS, listen_ms + NEXT_LISTEN_MS
    return Over(clip.name, clip.category, held_ms, None)
