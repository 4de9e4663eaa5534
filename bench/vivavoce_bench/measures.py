"""From what a caller heard and when, the numbers: pure arithmetic.

Times are seconds of the caller's clock. Sound is 16-bit little-endian mono PCM at `OUTPUT_RATE`.
"""

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.text.en.numbers import numeral

__all__ = [
    "AUDIBLE",
    "STAGES",
    "Interruption",
    "Note",
    "Spread",
    "Turn",
    "first_audible",
    "interruption_of",
    "normalised",
    "slope",
    "turn_of",
    "word_errors",
]

AUDIBLE = 500
"""Amplitude from which a sample can be heard: -36 dBFS."""

STAGES = {
    "turn closed": "input_audio_buffer.speech_stopped",
    "transcript": "conversation.item.input_audio_transcription.completed",
    "answer begun": "response.created",
    "first words": "response.output_audio_transcript.delta",
    "first sound": "response.output_audio.delta",
}


@dataclass(frozen=True)
class Note:
    """One server event, as it arrived. `text` is a transcript or what is wrong; `status` a response's.

    Sound is `seconds` long and can be heard from `audible` seconds on, if at all.
    """

    at: float
    type: str
    response: str = ""
    text: str = ""
    status: str = ""
    seconds: float = 0.0
    audible: float | None = None


@dataclass(frozen=True)
class Spread:
    """How some measurements spread."""

    values: Sequence[float]

    def at(self, percent: float) -> float | None:
        """Return the percentile, between neighbours in proportion; None of nothing."""
        if not self.values:
            return None
        ordered = sorted(self.values)
        place = (len(ordered) - 1) * percent / 100
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        return low + (high - low) * (place - math.floor(place))


def first_audible(sound: bytes, threshold: int = AUDIBLE) -> float | None:
    """Return the second at which `sound` can first be heard, or None."""
    samples = array("h", sound[: len(sound) // 2 * 2])
    for index, sample in enumerate(samples):
        if sample > threshold or sample < -threshold:
            return index / OUTPUT_RATE
    return None


@dataclass(frozen=True)
class Turn:
    """One question and what came of it, in seconds after the true end of speech; None: it never came."""

    latency: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    spoken_over: bool = False
    closed_early: bool = False
    transcript: str = ""
    failed: str = ""


def turn_of(notes: Iterable[Note], end: float, *, earlier: Iterable[str] = ()) -> Turn:
    """Measure one turn. `end` is when the caller's speech truly ended; `earlier` are answers to other turns.

    The answer is the first that can be heard and is not cancelled before that; a client plays sound without
    gaps from when it arrives, so its first audible sample is heard at its place in what is played.
    """
    others = set(earlier)
    notes = [note for note in notes if not note.response or note.response not in others]
    heard_at, answer = _heard(notes)
    if answer is None:
        problems = [note.text for note in notes if note.type == "error" or note.status == "failed"]
        return Turn(
            closed_early=_closed_early(notes, end),
            transcript=_transcript(notes),
            failed=problems[0] if problems else "no answer",
        )
    stages = {
        stage: at - end
        for stage, kind in STAGES.items()
        if (at := _last_before(notes, kind, answer, heard_at)) is not None
    }
    return Turn(
        latency=heard_at - end,
        stages=stages,
        spoken_over=heard_at < end,
        closed_early=_closed_early(notes, end),
        transcript=_transcript(notes),
    )


def _heard(notes: Sequence[Note]) -> tuple[float, str | None]:
    played_until: dict[str, float] = {}
    for note in notes:
        if note.type == STAGES["first sound"]:
            begins = max(note.at, played_until.get(note.response, 0.0))
            if note.audible is not None:
                return begins + note.audible, note.response
            played_until[note.response] = begins + note.seconds
    return math.inf, None


def _last_before(notes: Sequence[Note], kind: str, answer: str, until: float) -> float | None:
    """Return when the last event of a kind came that led to the answer; its own first, where it has its own."""
    own = [note.at for note in notes if note.type == kind and note.response == answer]
    if own:
        return own[0]
    others = [note.at for note in notes if note.type == kind and not note.response]
    return max((at for at in others if at <= until), default=others[0] if others else None)


def _closed_early(notes: Sequence[Note], end: float) -> bool:
    return any(note.type == STAGES["turn closed"] and note.at < end for note in notes)


def _transcript(notes: Sequence[Note]) -> str:
    return " ".join(note.text for note in notes if note.type == STAGES["transcript"] and note.text)


@dataclass(frozen=True)
class Interruption:
    """What came of speech over an answer, in seconds after its true onset; None: it did not happen."""

    noticed: float | None
    quiet: float | None
    last_sound_sent: float | None
    stopped: bool


def interruption_of(notes: Sequence[Note], onset: float) -> Interruption:
    """Measure how an answer gave way.

    `noticed` is when `speech_started` came, `quiet` when the last audible sound of the answer was played: a
    client plays without gaps, and drops what it holds on `speech_started`.
    """
    started = next(
        (n.at for n in notes if n.type == "input_audio_buffer.speech_started" and n.at >= onset), None
    )
    stopped = any(n.type == "response.done" and n.status == "cancelled" and n.at >= onset for n in notes)
    if started is None:
        return Interruption(None, None, None, stopped)
    until = played = 0.0
    sent = None
    for note in notes:
        if note.type != STAGES["first sound"] or note.at > started:
            continue
        begins = max(note.at, until)
        until = begins + note.seconds
        if note.audible is not None:
            played = until
        sent = note.at
    quiet = max(min(started, played), onset) - onset
    return Interruption(started - onset, quiet, None if sent is None else sent - onset, stopped)


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Return how much y grows with x (least squares); None for fewer than two xs."""
    if len({x for x, _ in points}) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


FILLERS = {"um", "uh", "uhm", "er", "erm", "mm", "hmm", "mhm"}
SPELT = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "i'm": "i am",
    "what's": "what is",
    "don't": "do not",
    "it's": "it is",
    "i'd": "i would",
    "we're": "we are",
    "there's": "there is",
    "let's": "let us",
    "pm": "p m",
    "okay": "ok",
}


def normalised(text: str) -> list[str]:
    """Return the words as people say them: lower case, no punctuation or fillers, numbers in words."""
    text = text.lower().replace("’", "'").replace("y'know", "yknow")
    text = re.sub(r"(\d+):(\d\d)", r"\1 \2", text)
    words: list[str] = []
    for word in re.findall(r"[^\W_]+(?:'[^\W_]+)*", text):
        words += _spelt(word)
    return [word for word in words if word not in FILLERS]


def _spelt(word: str) -> list[str]:
    if word.isdecimal():
        return re.findall(
            r"[a-z]+", numeral(int(word)) if int(word) < 100 else " ".join(map(numeral, map(int, word)))
        )
    if match := re.fullmatch(r"(\d+)([a-z]+)", word):
        return _spelt(match[1]) + _spelt(match[2])
    return SPELT.get(word, word).split()


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Return how many words were missed, added or mistaken, and how many were said."""
    reference, hypothesis = normalised(said), normalised(heard)
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, start=1):
        above, row[0] = row[0], i
        for j, other in enumerate(hypothesis, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1], len(reference)
