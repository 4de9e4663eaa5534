"""Figures from the events that a caller received, with their times. No I/O.

Times are seconds of the caller's clock. Audio is 16-bit little-endian mono PCM at `OUTPUT_RATE`.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vivavoce.audio.audible import audible_in
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.protocol.events import ResponseOutputAudioDelta

STAGES = {
    "turn closed": "input_audio_buffer.speech_stopped",
    "transcript": "conversation.item.input_audio_transcription.completed",
    "answer begun": "response.created",
    "first words": "response.output_audio_transcript.delta",
    "first sound": "response.output_audio.delta",
}


@dataclass(frozen=True)
class Arrival:
    """One server event as it arrived. `text` is a transcript or an error; `status` that of a response.

    Its audio is `seconds` long and audible from `audible` seconds on, if at all.
    """

    at: float
    type: str
    response: str = ""
    text: str = ""
    status: str = ""
    seconds: float = 0.0
    audible: float | None = None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the percentile, interpolated between neighbours; None for no values."""
    return float(np.percentile(values, percent)) if values else None


def audio_delta(response: str, item: str, audio: bytes) -> ResponseOutputAudioDelta:
    """Return the event for a delta of an answer's audio."""
    return ResponseOutputAudioDelta(
        response_id=response, item_id=item, output_index=0, content_index=0, delta=audio
    )


def first_audible(audio: bytes) -> float | None:
    """Return the second at which `audio` becomes audible, or None."""
    found = audible_in(audio, OUTPUT_RATE)
    return found[0] if found else None


def transcript_of(arrivals: Iterable[Arrival]) -> str:
    """Return what was transcribed."""
    return " ".join(one.text for one in arrivals if one.type == STAGES["transcript"] and one.text)


@dataclass(frozen=True)
class MeasuredTurn:
    """One question and its answer, in seconds after the true end of speech; None if it never came."""

    latency: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    spoken_over: bool = False
    closed_early: bool = False
    transcript: str = ""
    failed: str = ""


def turn_of(arrivals: Iterable[Arrival], end: float, *, earlier: Iterable[str] = ()) -> MeasuredTurn:
    """Measure one turn. `end` is when the caller's speech truly ended; `earlier` are answers to other turns.

    The answer is the first that becomes audible and is not cancelled before; a client plays audio without gaps
    from when it arrives, so the first audible sample is heard at its place in what is played.
    """
    others = set(earlier)
    arrivals = [one for one in arrivals if not one.response or one.response not in others]
    early = any(one.type == STAGES["turn closed"] and one.at < end for one in arrivals)
    heard_at, answer = _first_heard(arrivals)
    if answer is None:
        problems = [one.text for one in arrivals if one.type == "error" or one.status == "failed"]
        failed = problems[0] if problems else "no answer"
        return MeasuredTurn(closed_early=early, transcript=transcript_of(arrivals), failed=failed)
    times = {stage: _time_of(arrivals, kind, answer, heard_at) for stage, kind in STAGES.items()}
    stages = {stage: at - end for stage, at in times.items() if at is not None}
    return MeasuredTurn(heard_at - end, stages, heard_at < end, early, transcript_of(arrivals))


def _first_heard(arrivals: Sequence[Arrival]) -> tuple[float, str | None]:
    """Return when the first audible sample is played, and of which response it is."""
    played_until: dict[str, float] = {}
    for one in arrivals:
        if one.type == STAGES["first sound"]:
            begins = max(one.at, played_until.get(one.response, 0.0))
            if one.audible is not None:
                return begins + one.audible, one.response
            played_until[one.response] = begins + one.seconds
    return math.inf, None


def _time_of(arrivals: Sequence[Arrival], kind: str, answer: str, until: float) -> float | None:
    """Return when the answer's first event of a kind came; else, of no response, the last before `until`."""
    own = [one.at for one in arrivals if one.type == kind and one.response == answer]
    if own:
        return own[0]
    others = [one.at for one in arrivals if one.type == kind and not one.response]
    return max((at for at in others if at <= until), default=others[0] if others else None)


@dataclass(frozen=True)
class Interruption:
    """Reactions to speech during an answer, in seconds after its true onset; None if there were none."""

    noticed: float | None
    quiet: float | None
    last_sound_sent: float | None
    stopped: bool


def interruption_of(arrivals: Sequence[Arrival], onset: float) -> Interruption:
    """Measure how an answer was interrupted.

    `noticed` is when `speech_started` came, `quiet` when the last audible audio of the answer was played: a
    client plays without gaps, and drops what it has buffered on `speech_started`.
    """
    later = [one for one in arrivals if one.at >= onset]
    started = next((one.at for one in later if one.type == "input_audio_buffer.speech_started"), None)
    stopped = any(one.type == "response.done" and one.status == "cancelled" for one in later)
    if started is None:
        return Interruption(None, None, None, stopped)
    until = played = 0.0
    sent = None
    for one in arrivals:
        if one.type != STAGES["first sound"] or one.at > started:
            continue
        until = max(one.at, until) + one.seconds
        if one.audible is not None:
            played = until
        sent = one.at
    quiet = max(min(started, played), onset) - onset
    return Interruption(started - onset, quiet, None if sent is None else sent - onset, stopped)


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Return how much y grows with x (least squares); None for fewer than two xs."""
    if len({x for x, _ in points}) < 2:
        return None
    xs, ys = zip(*points, strict=True)
    return statistics.linear_regression(xs, ys).slope
