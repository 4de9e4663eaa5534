"""Measures turn-taking on recordings of people: may they finish, how long do they wait, do they get a word in?

The folder is read by `clips`. Categories: `noise` is nobody speaking, `backchannel` an `uh-huh`, `meeting` is
left out, all else is an utterance, `pause` one with pauses inside. Time is that of the sound, and evidence
comes as late as is said here: the figures are the same on every machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
from rich.console import Console
from rich.table import Table

from vivavoce.audio.decode import NotAudio, TooLong, decode
from vivavoce.audio.rates import INPUT_RATE
from vivavoce.errors import ConfigError
from vivavoce.providers.base import FRAME_BYTES, FRAME_MS, Transcriber, TurnDetector, VoiceActivityModel
from vivavoce.turn_taking import (
    InterruptionDismissed,
    InterruptionSuspected,
    Paused,
    SpeechStarted,
    SpeechStopped,
    TurnRules,
    TurnTaking,
)
from vivavoce_bench.clips import Clip, clips_in

__all__ = ["Closed", "Over", "TurnReport", "run", "show"]

BYTES_PER_MS = INPUT_RATE * 2 // 1000
TAIL_MS = 2500
"""Room tone put after a recording, that its last word may be seen to be the last."""
LEAD_MS = 350
"""Sound before a turn that the models are given with it."""
EVIDENCE_MS = 100
"""How long the turn model and the transcriber take."""
OVERHEARD_LEAD_MS = 200
"""Sound before a stir that the transcriber is given with it."""
FIRST_LISTEN_MS, NEXT_LISTEN_MS, OVERHEARD_MS = 192, 96, 40
"""When the words said over us are asked for, and how long a few of them take."""


@dataclass(frozen=True)
class Closed:
    """How long after the end of this utterance its turn was closed; less than 0 is too early, None never."""

    clip: str
    category: str
    wait_ms: float | None


@dataclass(frozen=True)
class Over:
    """When, after its onset, this sound over our voice held us, and stopped us; None is never."""

    clip: str
    category: str
    held_ms: float | None
    stopped_ms: float | None


@dataclass(frozen=True)
class TurnReport:
    """Turns by the name of the rule that closed them, and what was said over us."""

    turns: Mapping[str, Sequence[Closed]]
    over: Sequence[Over]


@dataclass(frozen=True)
class Take:
    """One recording at `INPUT_RATE`, with what the detector says of every frame."""

    clip: Clip
    sound: bytes
    probabilities: Sequence[float]

    @property
    def start_ms(self) -> float:
        """When its speech begins."""
        return self.clip.speech_start * 1000

    @property
    def end_ms(self) -> float:
        """When its speech is over."""
        return self.clip.speech_end * 1000

    def between(self, begin_ms: float, end_ms: float) -> bytes:
        """Return the sound from one time to another."""
        return self.sound[int(max(0, begin_ms)) * BYTES_PER_MS : int(end_ms) * BYTES_PER_MS]


class Witness:
    """Asks the models, and asks none twice about the same sound: the rules differ, the evidence does not."""

    def __init__(self, turn: TurnDetector | None, transcriber: Transcriber) -> None:
        self._turn, self._transcriber = turn, transcriber
        self._finished: dict[bytes, float | None] = {}
        self._words: dict[bytes, str] = {}

    async def finished(self, sound: bytes) -> float | None:
        """Say how likely this is all, if anybody can."""
        if sound not in self._finished:
            self._finished[sound] = await self._turn.predict_end_of_turn(sound) if self._turn else None
        return self._finished[sound]

    async def words(self, sound: bytes) -> str:
        """Say what is said."""
        if sound not in self._words:
            self._words[sound] = (await self._transcriber.transcribe(sound)).text
        return self._words[sound]


async def run(
    folder: Path, *, vad: VoiceActivityModel, turn: TurnDetector | None, transcriber: Transcriber
) -> TurnReport:
    """Play every recording to the floor: alone, and over our voice. Raises `ConfigError` for a bad folder."""
    clips = [clip for clip in await anyio.to_thread.run_sync(clips_in, folder) if clip.category != _LEFT_OUT]
    takes = [await anyio.to_thread.run_sync(_take, clip, vad) for clip in clips]
    spoken = [take for take in takes if take.clip.category not in ("noise", "backchannel")]
    witness = Witness(turn, transcriber)
    turns: dict[str, Sequence[Closed]] = {}
    for eagerness in ("medium", "low", "high"):
        rules = TurnRules(eagerness=eagerness)
        turns[eagerness] = [await _close(take, rules, witness) for take in spoken]
    for silence_ms in (500, 1000):
        rules = TurnRules(silence_ms=silence_ms)
        turns[f"silence of {silence_ms} ms"] = [await _close(take, rules, None) for take in spoken]
    return TurnReport(turns, [await _speak_over(take, witness) for take in takes])


def show(report: TurnReport, console: Console | None = None) -> None:
    """Print the report as tables."""
    console = console or Console()
    table = Table("rule", "too early", "pause clips", "never", "wait p50 ms", "p95 ms", title="Turns closed")
    for rule, turns in report.turns.items():
        table.add_row(rule, _early(turns), _early(_of(turns, "pause")), str(_lost(turns)), *_waits(turns))
    console.print(table)
    medium = report.turns["medium"]
    table = Table("category", "clips", "too early", "wait p50 ms", "p95 ms", title="By kind (medium)")
    for category in sorted({turn.category for turn in medium}):
        turns = _of(medium, category)
        table.add_row(category, str(len(turns)), _early(turns), *_waits(turns))
    console.print(table)
    table = Table("over our voice", "clips", "held us", "stopped us", "p50 ms", "after hold", "p95 ms")
    for kind in ("utterance", "backchannel", "noise"):
        table.add_row(kind, *_overs([over for over in report.over if _kind(over.category) == kind]))
    console.print(table)


# reading

_LEFT_OUT = "meeting"
_LONGEST_S = 120


def _take(clip: Clip, vad: VoiceActivityModel) -> Take:
    if clip.path is None:
        raise RuntimeError("what is read from a folder is a file")
    try:
        sound = decode(clip.path.read_bytes(), rate=INPUT_RATE, max_seconds=_LONGEST_S)
    except (OSError, NotAudio, TooLong) as error:
        raise ConfigError(f"{clip.path} cannot be read as a recording: {error}.") from error
    sound += _room_tone()
    hear = vad.detector().probability
    frames = range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES)
    return Take(clip, sound, [hear(sound[at : at + FRAME_BYTES]) for at in frames])


def _room_tone() -> bytes:
    """Return a very quiet noise (-76 dB), always the same: sound that breaks off puzzles the detector."""
    random = Random(0)  # noqa: S311 (no secret)
    samples = (round(random.gauss(0, 5)) for _ in range(TAIL_MS * INPUT_RATE // 1000))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


# playing


async def _close(take: Take, rules: TurnRules, witness: Witness | None) -> Closed:
    """Play a recording until its first turn is closed."""
    floor, start_ms, due_ms = TurnTaking(rules), 0.0, float("inf")
    answer = partial(floor.judge, 0, finished=None, words=None)
    for probability in take.probabilities:
        change = floor.hear(probability, FRAME_MS, we_speak=False)
        if change is None and floor.now_ms + FRAME_MS > due_ms:
            change, at_ms, due_ms = answer(), due_ms, float("inf")
        else:
            at_ms = floor.now_ms
        match change:
            case SpeechStarted(start_ms=start):
                start_ms = start
            case Paused(pause=pause) if witness:
                sound = take.between(start_ms - LEAD_MS, floor.now_ms)
                finished, words = await witness.finished(sound), await witness.words(sound)
                answer = partial(floor.judge, pause, finished=finished, words=words)
                due_ms = floor.now_ms + EVIDENCE_MS
            case SpeechStopped():
                return Closed(take.clip.name, take.clip.category, at_ms - take.end_ms)
            case _:
                pass
    return Closed(take.clip.name, take.clip.category, None)


async def _speak_over(take: Take, witness: Witness) -> Over:
    """Play a recording over our voice, which never ends, until we are stopped."""
    floor, held_ms, due_ms = TurnTaking(TurnRules()), None, float("inf")
    answer = partial(floor.overheard, 0, "")
    stir, listen_ms = InterruptionSuspected(0, 0), float("inf")
    for probability in take.probabilities:
        change = floor.hear(probability, FRAME_MS, we_speak=True)
        at_ms = floor.now_ms
        if change is None and floor.now_ms + FRAME_MS > due_ms:
            change, at_ms, due_ms = answer(), due_ms, float("inf")
        match change:
            case SpeechStarted():
                return Over(take.clip.name, take.clip.category, held_ms, at_ms - take.start_ms)
            case InterruptionSuspected(at_ms=at):
                stir, listen_ms = change, at + FIRST_LISTEN_MS
                held_ms = at - take.start_ms if held_ms is None else held_ms
            case InterruptionDismissed():
                listen_ms = due_ms = float("inf")
            case _:
                pass
        if floor.now_ms >= listen_ms:
            words = await witness.words(take.between(stir.at_ms - OVERHEARD_LEAD_MS, floor.now_ms))
            answer = partial(floor.overheard, stir.stir, words)
            due_ms, listen_ms = floor.now_ms + OVERHEARD_MS, listen_ms + NEXT_LISTEN_MS
    return Over(take.clip.name, take.clip.category, held_ms, None)


# summing up


def _of(turns: Sequence[Closed], category: str) -> Sequence[Closed]:
    return [turn for turn in turns if turn.category == category]


def _early(turns: Sequence[Closed]) -> str:
    early = sum(turn.wait_ms is not None and turn.wait_ms < 0 for turn in turns)
    return f"{100 * early / len(turns):.1f} % ({early}/{len(turns)})" if turns else "-"


def _lost(turns: Sequence[Closed]) -> int:
    return sum(turn.wait_ms is None for turn in turns)


def _waits(turns: Sequence[Closed]) -> tuple[str, str]:
    waits = [turn.wait_ms for turn in turns if turn.wait_ms is not None and turn.wait_ms >= 0]
    return _percentile(waits, 50), _percentile(waits, 95)


def _overs(overs: Sequence[Over]) -> Sequence[str]:
    stopped = [over.stopped_ms for over in overs if over.stopped_ms is not None]
    held = sum(over.held_ms is not None for over in overs)
    slow = [over.stopped_ms - over.held_ms for over in overs if over.stopped_ms and over.held_ms]
    counts = str(len(overs)), str(held), str(len(stopped))
    return *counts, _percentile(stopped, 50), _percentile(slow, 50), _percentile(slow, 95)


def _kind(category: str) -> str:
    return category if category in ("backchannel", "noise") else "utterance"


def _percentile(values: Sequence[float], percent: int) -> str:
    if not values:
        return "-"
    return f"{sorted(values)[min(len(values) - 1, len(values) * percent // 100)]:.0f}"
