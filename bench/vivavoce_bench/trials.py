"""The trials: callers who ask, many at once, callers who interrupt, and callers who are only to be heard."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
import httpx
from msgspec import UNSET

from vivavoce.errors import ProviderError
from vivavoce.protocol.session import InputSettings, ServerVad, Session, SessionAudio
from vivavoce_bench.caller import BenchCaller, calling
from vivavoce_bench.clips import Clip
from vivavoce_bench.machine import Cost
from vivavoce_bench.measures import STAGES, Interruption, Note, Turn, word_errors
from vivavoce_bench.server import Called

__all__ = [
    "BargeIn",
    "Heard",
    "HearingReport",
    "Level",
    "Manner",
    "barge_in",
    "hearing",
    "level",
    "questions",
    "warm_up",
]

Tell = Callable[[str], None]

STAGGER_SECONDS = 6.0
"""over so long the callers of one level come in, so that they do not all fall silent together"""
AFTER_SECONDS = 2.0
"""so long an answer is let speak before it is interrupted"""
WATCH_SECONDS = 2.5
"""so long a caller waits for what should not come, or may come late"""
HEARD_AT_ONCE = 3
ANSWERED = frozenset({"response.created", "response.output_audio.delta"})
LONG = "Tell a very long story, at great length, in many sentences."


@dataclass(frozen=True)
class Manner:
    """How the callers want their conversations held; what is None is left as the server has it."""

    silence_ms: int | None = None
    instructions: str | None = None
    answers: bool = True

    def session(self) -> Session | None:
        """Return the `session.update` that says so, if anything is to be said."""
        detection = ServerVad(
            silence_duration_ms=UNSET if self.silence_ms is None else self.silence_ms,
            create_response=self.answers,
        )
        if self.silence_ms is None and self.answers:
            return Session(instructions=self.instructions) if self.instructions else None
        audio = SessionAudio(input=InputSettings(turn_detection=detection))
        return Session(audio=audio, instructions=self.instructions or UNSET)


# asking


@dataclass(frozen=True)
class Level:
    """So many conversations at once: their turns, and what they cost.

    `cpu` is CPU seconds of the server per minute of one conversation, `megabytes` what the server held while
    all were connected, `client_cpu` seconds of CPU per second that the bench itself took, `lag` the
    latest, in seconds, that any frame was sent.
    """

    conversations: int
    turns: Sequence[Turn]
    cpu: float | None
    megabytes: float | None
    client_cpu: float
    lag: float


def questions(clips: Sequence[Clip]) -> list[Clip]:
    """Return the recordings that latency is measured with: short, without inner pauses, ends agreed upon."""
    kinds = {"", "command", "read", "conversational"}
    fit = [clip for clip in clips if clip.category in kinds and clip.surely and 1 <= _spoken(clip) <= 4.5]
    return fit or [clip for clip in clips if clip.category not in ("noise", "backchannel", "meeting")]


def _spoken(clip: Clip) -> float:
    return clip.speech_end - clip.speech_start


async def warm_up(called: Called, clips: Sequence[Clip], manner: Manner) -> None:
    """Hold one conversation of one turn that is not counted."""
    async with calling(called.dial, manner.session()) as caller:
        await caller.ask(clips[0])


async def level(
    called: Called, conversations: int, clips: Sequence[Clip], turns: int, manner: Manner, tell: Tell
) -> Level:
    """Hold so many conversations at once, each of so many turns. They hang up together."""
    done: list[Turn] = []
    callers: list[BenchCaller] = []
    seconds: list[float] = []
    all_done = anyio.Event()
    before, own_before, began = called.cost(), _own_cpu(), anyio.current_time()

    async def converse(number: int) -> None:
        await anyio.sleep(STAGGER_SECONDS * number / conversations)
        since = anyio.current_time()
        async with calling(called.dial, manner.session()) as caller:
            callers.append(caller)
            for turn in range(turns):
                clip = clips[(number + turn) % len(clips)]
                done.append(await caller.ask(clip))
                if len(done) % conversations == 0:
                    tell(f"{conversations} at once: {len(done)} of {conversations * turns} turns")
            if len(done) == conversations * turns:
                all_done.set()
            await all_done.wait()
            seconds.append(anyio.current_time() - since)
            if len(seconds) == 1:
                after.append(called.cost())

    after: list[Cost | None] = []
    async with anyio.create_task_group() as tasks:
        for number in range(conversations):
            tasks.start_soon(converse, number)
    now = after[0] if after else None
    return Level(
        conversations,
        done,
        cpu=(now.cpu_seconds - before.cpu_seconds) / sum(seconds) * 60 if now and before else None,
        megabytes=now.megabytes if now else None,
        client_cpu=(_own_cpu() - own_before) / (anyio.current_time() - began),
        lag=max(caller.lag for caller in callers),
    )


def _own_cpu() -> float:
    times = os.times()
    return times.user + times.system


# interrupting


@dataclass(frozen=True)
class BargeIn:
    """What came of one sound over an answer; `outcome` is None when there was no answer to speak over."""

    clip: str
    backchannel: bool
    outcome: Interruption | None


async def barge_in(
    called: Called, clips: Sequence[Clip], times: int, manner: Manner, tell: Tell
) -> list[BargeIn]:
    """Speak over long answers: with questions, which should stop them, and with `uh-huh`, which should not."""
    asked = questions(clips)
    feedback = [clip for clip in clips if clip.category == "backchannel"]
    trials = [(asked[i % len(asked)], asked[(i + 1) % len(asked)]) for i in range(times)]
    trials += [(asked[i % len(asked)], clip) for i, clip in enumerate(feedback)]
    long = Manner(manner.silence_ms, LONG)
    found = []
    for number, (question, interruption) in enumerate(trials, start=1):
        async with calling(called.dial, long.session()) as caller:
            outcome = await caller.interrupt(question, interruption, AFTER_SECONDS, WATCH_SECONDS)
        found.append(BargeIn(interruption.name, interruption.category == "backchannel", outcome))
        tell(f"barge-in: {number} of {len(trials)}")
    return found


# hearing


@dataclass(frozen=True)
class Heard:
    """One recording: what is said in it, what the server wrote down, and its transcriber when asked alone."""

    clip: str
    category: str
    said: str
    heard: str
    alone: str | None

    @property
    def errors(self) -> tuple[int, int]:
        """Word errors of the whole path, and words said."""
        return word_errors(self.said, self.heard)

    @property
    def errors_alone(self) -> tuple[int, int]:
        """Word errors of the transcriber alone, and words said."""
        return word_errors(self.said, self.alone or "")


@dataclass(frozen=True)
class HearingReport:
    """Words heard, and which recordings without speech were answered or written down all the same."""

    heard: Sequence[Heard]
    silent: Sequence[str]
    answered: Sequence[str]
    invented: Sequence[str]


async def hearing(called: Called, clips: Sequence[Clip], manner: Manner, tell: Tell) -> HearingReport:
    """Let the server hear every recording, and noise and silence besides."""
    spoken = [clip for clip in clips if clip.transcript and clip.language.startswith("en")]
    noises = [SILENCE, *(clip for clip in clips if clip.category == "noise")]
    heard: list[Heard] = []
    quiet: dict[str, Sequence[Note]] = {}
    at_once = anyio.CapacityLimiter(HEARD_AT_ONCE)
    listening = Manner(manner.silence_ms if manner.silence_ms is not None else 500, answers=False)

    async def hear(clip: Clip) -> None:
        async with at_once, calling(called.dial, listening.session()) as caller:
            notes = await caller.overhear(clip, WATCH_SECONDS)
        heard.append(
            Heard(clip.name, clip.category, clip.transcript, _words(notes), await _alone(called, clip))
        )
        tell(f"hearing: {len(heard)} of {len(spoken)}")

    async def hear_noise(clip: Clip) -> None:
        async with at_once, calling(called.dial, manner.session()) as caller:
            quiet[clip.name] = await caller.overhear(clip, WATCH_SECONDS)
        tell(f"noise: {len(quiet)} of {len(noises)}")

    async with anyio.create_task_group() as tasks:
        for clip in spoken:
            tasks.start_soon(hear, clip)
        for clip in noises:
            tasks.start_soon(hear_noise, clip)
    return HearingReport(
        sorted(heard, key=lambda one: one.clip),
        sorted(quiet),
        sorted(name for name, notes in quiet.items() if any(note.type in ANSWERED for note in notes)),
        sorted(f"{name}: {words}" for name, notes in quiet.items() if (words := _words(notes))),
    )


def _words(notes: Sequence[Note]) -> str:
    return " ".join(note.text for note in notes if note.type == STAGES["transcript"] and note.text)


SILENCE = Clip("silence", None, category="noise", speech_end=8)


async def _alone(called: Called, clip: Clip) -> str | None:
    """Return what the server's transcriber writes when it is given the whole recording at once."""
    if called.url is None or clip.path is None:
        return None
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        sound = await anyio.Path(clip.path).read_bytes()
        form = {"model": "default", "response_format": "json"}
        answer = await client.post(
            f"{called.url}/v1/audio/transcriptions", files={"file": (clip.path.name, sound)}, data=form
        )
    if answer.status_code != httpx.codes.OK:
        raise ProviderError("viva serve", f"{clip.name} was not written down: {answer.text[:200]}")
    return str(answer.json()["text"])
