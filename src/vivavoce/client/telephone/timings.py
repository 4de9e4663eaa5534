"""The timings of a call, from what was said and what was heard. No I/O.

All times are seconds since the call began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from vivavoce.audio.audible import audible_in
from vivavoce.client.telephone.playout_queue import Played, PlayoutQueue

STILL_SECONDS = 0.1
"""an answer that is audible so shortly before the end of an interruption has not stopped"""


@dataclass(frozen=True)
class SpokenRecording:
    """A recording that was played, or keys that were pressed, and between which times."""

    what: str
    start: float
    end: float
    interrupts: bool = False


@dataclass(frozen=True)
class Hole:
    """A time within an answer in which nothing arrived to be played."""

    at: float
    seconds: float


@dataclass(frozen=True)
class TurnTimings:
    """What came back after something was said.

    `first_sound` is the time from the true end of the caller's speech to the first audible sound; it is
    negative if the caller was interrupted, and None if nothing came. `first_frame` is that to the first frame,
    audible or not. `answer` is how long the answer was audible. `quiet`, after an interruption, is the time
    from its true beginning until the interrupted answer was quiet; None if it never was before its end.
    """

    said: SpokenRecording
    first_frame: float | None
    first_sound: float | None
    answer: float
    holes: Sequence[Hole]
    quiet: float | None


@dataclass(frozen=True)
class _Sound:
    """Audible sound of one chunk: when it was first heard, and until when."""

    start: float
    end: float
    played: Played


def turns(said: Sequence[SpokenRecording], queue: PlayoutQueue) -> list[TurnTimings]:
    """Return the timings of each turn. `said` is in order."""
    sounds = [sound for one in queue.played if (sound := _sound(one, queue.rate))]
    nexts = [*(one.start for one in said[1:]), inf]
    return [_turn(one, until, sounds, queue) for one, until in zip(said, nexts, strict=False)]


def _sound(played: Played, rate: int) -> _Sound | None:
    found = audible_in(played.audio, rate)
    if found is None:
        return None
    begins = played.start / rate
    # a late frame that a jitter buffer has covered cannot be heard before it arrived
    return _Sound(max(begins + found[0], played.arrived), begins + found[1], played)


def _turn(said: SpokenRecording, until: float, sounds: Sequence[_Sound], queue: PlayoutQueue) -> TurnTimings:
    since = said.end if said.interrupts else said.start
    answer = [sound for sound in sounds if since <= sound.start < until]
    frames = [one.arrived for one in queue.played if since <= one.arrived < until]
    return TurnTimings(
        said=said,
        first_frame=frames[0] - said.end if frames else None,
        first_sound=answer[0].start - said.end if answer else None,
        answer=min(answer[-1].end, until) - answer[0].start if answer else 0.0,
        holes=_holes(answer, queue) if answer else [],
        quiet=_quiet(said, sounds) if said.interrupts else None,
    )


def _holes(answer: Sequence[_Sound], queue: PlayoutQueue) -> list[Hole]:
    first, last = answer[0].played.start, answer[-1].played.start
    frames = [one for one in queue.played if first <= one.start <= last]
    gaps = [(before.end, after.start - before.end) for before, after in pairwise(frames)]
    return [Hole(at / queue.rate, gap / queue.rate) for at, gap in gaps if gap]


def _quiet(said: SpokenRecording, sounds: Sequence[_Sound]) -> float | None:
    # the answer to an interruption cannot begin before its end, so what is heard until then is the old one
    heard = [min(sound.end, said.end) for sound in sounds if said.start <= sound.end and sound.start < said.end]
    last = max(heard, default=said.start)
    return None if said.end - last < STILL_SECONDS else last - said.start
