"""The trials: questions, concurrent conversations, interruptions, and transcription."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
import httpx
from msgspec import UNSET

from vivavoce.errors import ProviderError
from vivavoce.protocol.session import InputSettings, ServerVad, Session, SessionAudio
from vivavoce.text.comparison import word_errors
from vivavoce_bench.caller import BenchCaller, calling
from vivavoce_bench.clips import Clip
from vivavoce_bench.machine import Cost, own_cpu
from vivavoce_bench.measures import Arrival, Interruption, MeasuredTurn, transcript_of
from vivavoce_bench.server import MeasuredServer

OnStatus = Callable[[str], None]

STAGGER_SECONDS = 6.0
"""seconds over which the callers of one level start, so that they do not all speak in step"""
AFTER_SECONDS = 2.0
"""seconds of an answer before it is interrupted"""
WATCH_SECONDS = 2.5
"""seconds that a caller waits for something that should not come, or may come late"""
HEARD_AT_ONCE = 3
ANSWERED = frozenset({"response.created", "response.output_audio.delta"})
LONG = "Tell a very long story, at great length, in many sentences."
SILENCE = Clip("silence", None, category="noise", speech_end=8)


@dataclass(frozen=True)
class Wanted:
    """The session settings of callers; None leaves the server's."""

    silence_ms: int | None = None
    instructions: str | None = None
    answers: bool = True

    @property
    def session(self) -> Session | None:
        """The `session.update` for it, if one is needed."""
        if self.silence_ms is None and self.answers:
            return Session(instructions=self.instructions) if self.instructions else None
        silence_ms = UNSET if self.silence_ms is None else self.silence_ms
        detection = ServerVad(silence_duration_ms=silence_ms, create_response=self.answers)
        audio = SessionAudio(input=InputSettings(turn_detection=detection))
        return Session(audio=audio, instructions=self.instructions or UNSET)


# questions


@dataclass(frozen=True)
class Level:
    """The turns of a number of concurrent conversations, and their cost.

    `cpu` is CPU seconds of the server per minute of one conversation, `megabytes` the server's memory while all
    were connected, `client_cpu` seconds of CPU per second that the bench itself used, `lag` the latest, in
    seconds, that any frame was sent.
    """

    conversations: int
    turns: Sequence[MeasuredTurn]
    cpu: float | None
    megabytes: float | None
    client_cpu: float
    lag: float
    minutes: float = 0.0
    """of all conversations together"""


def questions(clips: Sequence[Clip]) -> list[Clip]:
    """Return the recordings to measure latency with: short, without inner pauses, and with a certain end."""
    kinds = {"", "command", "read", "conversational"}
    fit = [
        clip
        for clip in clips
        if clip.category in kinds and clip.end_is_certain and 1 <= clip.speech_end - clip.speech_start <= 4.5
    ]
    return fit or [clip for clip in clips if clip.category not in ("noise", "backchannel", "meeting")]


async def warm_up(server: MeasuredServer, clips: Sequence[Clip], wanted: Wanted) -> None:
    """Run one conversation of one turn that is not measured."""
    async with calling(server.dial, wanted.session) as caller:
        await caller.ask(clips[0])


async def level(
    server: MeasuredServer,
    conversations: int,
    clips: Sequence[Clip],
    turns: int,
    wanted: Wanted,
    on_status: OnStatus,
) -> Level:
    """Run this many concurrent conversations of this many turns each. They hang up together."""
    done: list[MeasuredTurn] = []
    callers: list[BenchCaller] = []
    seconds: list[float] = []
    costs: list[Cost | None] = []
    all_done = anyio.Event()
    before, own_before, began = server.cost(), own_cpu(), anyio.current_time()

    async def converse(number: int) -> None:
        await anyio.sleep(STAGGER_SECONDS * number / conversations)
        since = anyio.current_time()
        async with calling(server.dial, wanted.session) as caller:
            callers.append(caller)
            for turn in range(turns):
                done.append(await caller.ask(clips[(number + turn) % len(clips)]))
                if len(done) % conversations == 0:
                    on_status(f"{conversations} at once: {len(done)} of {conversations * turns} turns")
            if len(done) == conversations * turns:
                costs.append(server.cost())  # while all are connected
                all_done.set()
            await all_done.wait()
            seconds.append(anyio.current_time() - since)

    async with anyio.create_task_group() as tasks:
        for number in range(conversations):
            tasks.start_soon(converse, number)
    after = costs[0]
    return Level(
        conversations,
        done,
        cpu=(after.cpu_seconds - before.cpu_seconds) / sum(seconds) * 60 if after and before else None,
        megabytes=after.megabytes if after else None,
        client_cpu=(own_cpu() - own_before) / (anyio.current_time() - began),
        lag=max(caller.lag for caller in callers),
        minutes=sum(seconds) / 60,
    )


# interruptions


@dataclass(frozen=True)
class BargeIn:
    """What one recording over an answer did; `outcome` is None when there was no answer to speak over."""

    clip: str
    backchannel: bool
    outcome: Interruption | None


async def barge_in(
    server: MeasuredServer, clips: Sequence[Clip], times: int, wanted: Wanted, on_status: OnStatus
) -> list[BargeIn]:
    """Speak over long answers: with questions, which should stop them, and with `uh-huh`, which should not."""
    asked = questions(clips)
    feedback = [clip for clip in clips if clip.category == "backchannel"]
    trials = [(asked[i % len(asked)], asked[(i + 1) % len(asked)]) for i in range(times)]
    trials += [(asked[i % len(asked)], clip) for i, clip in enumerate(feedback)]
    found = []
    for number, (question, interruption) in enumerate(trials, start=1):
        async with calling(server.dial, Wanted(wanted.silence_ms, LONG).session) as caller:
            outcome = await caller.interrupt(question, interruption, AFTER_SECONDS, WATCH_SECONDS)
        found.append(BargeIn(interruption.name, interruption.category == "backchannel", outcome))
        on_status(f"barge-in: {number} of {len(trials)}")
    return found


# transcription


@dataclass(frozen=True)
class Transcribed:
    """One recording: what is said in it, what the server transcribed, and its transcriber when asked alone."""

    clip: str
    category: str
    reference: str
    transcript: str
    alone: str | None

    def errors(self, *, alone: bool = False) -> tuple[int, int]:
        """Return the word errors of the whole path, or of the transcriber alone, and the words said."""
        return word_errors(self.reference, (self.alone or "") if alone else self.transcript)


@dataclass(frozen=True)
class HearingReport:
    """Transcripts, and which recordings without speech were answered or transcribed all the same."""

    transcribed: Sequence[Transcribed]
    silent: Sequence[str]
    answered: Sequence[str]
    invented: Sequence[str]


async def hearing(
    server: MeasuredServer, clips: Sequence[Clip], wanted: Wanted, on_status: OnStatus
) -> HearingReport:
    """Have the server transcribe all recordings, and also noise and silence."""
    spoken = [clip for clip in clips if clip.transcript and clip.language.startswith("en")]
    noises = [SILENCE, *(clip for clip in clips if clip.category == "noise")]
    transcribed: list[Transcribed] = []
    quiet: dict[str, Sequence[Arrival]] = {}
    at_once = anyio.CapacityLimiter(HEARD_AT_ONCE)
    unanswered = Wanted(wanted.silence_ms if wanted.silence_ms is not None else 500, answers=False)

    async def play(clip: Clip, session: Session | None) -> Sequence[Arrival]:
        async with at_once, calling(server.dial, session) as caller:
            return await caller.play_and_watch(clip, WATCH_SECONDS)

    async def play_speech(clip: Clip) -> None:
        transcript = transcript_of(await play(clip, unanswered.session))
        alone = await _transcribe(server, clip)
        transcribed.append(Transcribed(clip.name, clip.category, clip.transcript, transcript, alone))
        on_status(f"hearing: {len(transcribed)} of {len(spoken)}")

    async def play_noise(clip: Clip) -> None:
        quiet[clip.name] = await play(clip, wanted.session)
        on_status(f"noise: {len(quiet)} of {len(noises)}")

    async with anyio.create_task_group() as tasks:
        for clip in spoken:
            tasks.start_soon(play_speech, clip)
        for clip in noises:
            tasks.start_soon(play_noise, clip)
    return HearingReport(
        sorted(transcribed, key=lambda one: one.clip),
        sorted(quiet),
        sorted(name for name, arrivals in quiet.items() if any(one.type in ANSWERED for one in arrivals)),
        sorted(f"{name}: {words}" for name, arrivals in quiet.items() if (words := transcript_of(arrivals))),
    )


async def _transcribe(server: MeasuredServer, clip: Clip) -> str | None:
    """Return the transcript of the complete recording by the server's transcriber alone."""
    if server.url is None or clip.path is None:
        return None
    audio = await anyio.Path(clip.path).read_bytes()
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
        answer = await client.post(
            "/v1/audio/transcriptions",
            files={"file": (clip.path.name, audio)},
            data={"model": "default", "response_format": "json"},
        )
    if answer.status_code == httpx.codes.BAD_REQUEST and "unsupported_language" in answer.text:
        return ""
    if answer.status_code != httpx.codes.OK:
        raise ProviderError("viva serve", f"{clip.name} was not transcribed: {answer.text[:200]}")
    return str(answer.json()["text"])
