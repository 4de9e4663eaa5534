"""Simulated conversations: the real engine and switchboard, with a scripted caller and scripted models.

    simulation = Simulation(replies=["Paris, of course."])
    timeline = await simulation.run(CallerSays(0.5, "What is the capital of France?"), until=6)

The steps define what the caller and the client do, and when; the timeline contains every event with its time.
On a `JumpingClock` a run takes milliseconds and is deterministic.
"""

import sys
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import inf

import anyio

from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.engines.cascade.context import Providers
from vivavoce.engines.cascade.engine import Cascade
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Message
from vivavoce.protocol.session import AnySession, Pcm, Session, input_settings
from vivavoce.protocol.settings import DEFAULT
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall, Transcript, WordTiming
from vivavoce.session.call import Caller, Recall
from vivavoce.session.formats import AudioEncoder
from vivavoce.session.line import Engine, HungUp, Line
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import ListenerFactory, MiddlewareFactory, Switchboard

# steps

_FRAME_MS = 20
_SECONDS_PER_CHAR = 0.06
_AMPLITUDE = 1000


@dataclass(frozen=True)
class CallerSays:
    """The caller says `words` from `at` seconds on; empty words are a noise that the VAD reports as speech.

    It lasts `seconds`, by default in proportion to the number of characters.
    """

    at: float
    words: str
    seconds: float | None = None

    @property
    def until(self) -> float:
        return self.at + (self.seconds if self.seconds is not None else len(self.words) * _SECONDS_PER_CHAR)


@dataclass(frozen=True)
class ClientSends:
    """The client sends an event `at` seconds, or one that a function makes from the timeline so far."""

    at: float
    event: "e.ClientEvent | Callable[[Timeline], e.ClientEvent]"


Step = CallerSays | ClientSends


@dataclass(frozen=True)
class Unresponsive:
    """Used instead of a reply or a failure: the provider never answers."""


# providers


@dataclass
class SimulatedCaller:
    """Encodes utterances as amplitudes: all samples of the n-th (from 1) have the value n * `_AMPLITUDE`."""

    utterances: Sequence[CallerSays] = ()

    def sample(self, at: float) -> int:
        """Return the value of all samples at `at` seconds."""
        for number, utterance in enumerate(self.utterances, 1):
            if utterance.at <= at < utterance.until:
                return number * _AMPLITUDE
        return 0

    def words(self, audio: bytes) -> str:
        """Return the words in 16-bit PCM at `INPUT_RATE`: of each utterance, the part that was recorded."""
        levels = Counter[int]()
        for sample, count in Counter(array("h", audio)).items():
            levels[round(sample / _AMPLITUDE)] += count
        words = []
        for number, utterance in enumerate(self.utterances, 1):
            seconds = levels[number] / INPUT_RATE
            share = min(1.0, seconds / (utterance.until - utterance.at) + 0.05) if seconds > 0.1 else 0.0
            all_words = utterance.words.split()
            words += all_words[: round(share * len(all_words))]
        return " ".join(words)


@dataclass
class _Vad:
    def detector(self) -> "_Vad":
        return self

    def probability(self, frame: bytes) -> float:
        return 1.0 if max(array("h", frame)) > _AMPLITUDE // 2 else 0.0


@dataclass
class _Transcriber:
    caller: SimulatedCaller
    delay: float
    failure: ProviderError | Unresponsive | None
    fails_from: float = inf
    supports_partials: bool = True
    requests: int = 0

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        self.requests += 1
        if isinstance(self.failure, Unresponsive):
            await anyio.sleep_forever()
        await anyio.sleep(self.delay)
        if anyio.current_time() >= self.fails_from:
            raise ProviderError("transcriber", "has failed")
        if isinstance(self.failure, ProviderError):
            raise self.failure
        return Transcript(self.caller.words(audio), language)


@dataclass
class _Turn:
    probability: float
    delay: float

    async def predict_end_of_turn(self, audio: bytes) -> float:
        await anyio.sleep(self.delay)
        return self.probability


Reply = str | ToolCall | ChatUsage | ProviderError | Unresponsive
Script = Callable[[ChatRequest], "Reply | Sequence[Reply]"]
"""Computes a reply from the request, for example from the outputs of tools."""


@dataclass
class _Chat:
    replies: Sequence[Reply | Sequence[Reply] | Script]
    first_word_delay: float
    word_delay: float
    requests: list[ChatRequest] = field(default_factory=list)
    prefills: list[ChatRequest] = field(default_factory=list)
    context_tokens: int = sys.maxsize
    supports_images: bool = False
    summarizes: bool = False
    supported_options: frozenset[str] = frozenset()

    def context_budget(self, request: ChatRequest) -> int:
        return self.context_tokens

    async def prefill(self, request: ChatRequest) -> None:
        self.prefills.append(request)
        if isinstance(self.replies[0], ProviderError):
            raise self.replies[0]

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        self.requests.append(request)
        turns = sum(isinstance(i, Message) and i.role == "user" for i in request.items)
        scripted = self.replies[min(max(turns, 1), len(self.replies)) - 1]
        reply = scripted(request) if callable(scripted) else scripted
        words = 0
        await anyio.sleep(self.first_word_delay)
        for part in reply if isinstance(reply, Sequence) and not isinstance(reply, str) else [reply]:
            match part:
                case Unresponsive():
                    await anyio.sleep_forever()
                case ProviderError():
                    raise part
                case ToolCall():
                    yield part
                case ChatUsage():
                    yield part
                    return
                case str():
                    for word in part.split():
                        if request.max_tokens is not None and words >= request.max_tokens:
                            yield ChatUsage(10, words, finish="length")
                            return
                        words += 1
                        yield word + " "
                        await anyio.sleep(self.word_delay)
        yield ChatUsage(10, words)


@dataclass
class _Synthesizer:
    delay: float
    word_timings: bool
    failure: ProviderError | Unresponsive | None
    seconds_per_char: float = _SECONDS_PER_CHAR
    chunk: int = OUTPUT_RATE // 10
    texts: list[str] = field(default_factory=list)

    async def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        self.texts.append(text)
        if isinstance(self.failure, Unresponsive):
            await anyio.sleep_forever()
        await anyio.sleep(self.delay)
        if isinstance(self.failure, ProviderError):
            raise self.failure
        at = 0
        for word in text.split():
            if self.word_timings:
                yield WordTiming(at)
            samples = round((len(word) + 1) * self.seconds_per_char / speed * OUTPUT_RATE)
            at += len(word) + 1
            for begin in range(0, samples, self.chunk):
                yield array("h", [_AMPLITUDE] * min(self.chunk, samples - begin)).tobytes()


# the simulation


@dataclass
class Timeline:
    """Every event of a conversation, with its time in seconds from the beginning."""

    entries: list[ObservedEvent] = field(repr=False)  # asyncio prints what a task returns, all of it
    started_at: float

    @property
    def events(self) -> list[e.Event]:
        """All events, in order."""
        return [entry.event for entry in self.entries]

    def of(self, *types: type[e.Event]) -> list[e.Event]:
        """The events of some types."""
        return [event for event in self.events if isinstance(event, types)]

    def at(self, type: type[e.Event], nth: int = 0) -> float:
        """The time in seconds at which the nth event (from 0) of a type was sent."""
        return [entry.at - self.started_at for entry in self.entries if isinstance(entry.event, type)][nth]

    @property
    def answer_id(self) -> str:
        """The id of the assistant's first message."""
        items = (event.item for event in self.events if isinstance(event, e.ResponseOutputItemAdded))
        return next(item.id or "" for item in items if isinstance(item, Message))

    def __str__(self) -> str:
        """Format the timeline as text: one line per event, with the duration of audio summed up."""
        lines, audio = [], 0
        for entry in self.entries:
            match entry.event:
                case e.InputAudioBufferAppend():
                    continue
                case e.ResponseOutputAudioDelta(delta=delta):
                    audio += len(delta)
                    continue
                case event:
                    summary = _summary(event)
                    if isinstance(event, e.ResponseDone) and audio:
                        summary, audio = f"{summary}, {audio / 2 / OUTPUT_RATE:.1f} s of audio", 0
                    name = event.__struct_config__.tag
                    lines.append(f"{entry.at - self.started_at:6.2f}  {name}  {summary}".rstrip())
        return "\n".join(lines)


def _summary(event: e.Event) -> str:
    match event:
        case e.ResponseDone(response=response):
            return response.status
        case e.ErrorEvent(error=error):
            return error.code or error.message
        case _:
            values = (getattr(event, name, "") for name in ("delta", "transcript", "text", "arguments"))
            return next((repr(value) for value in values if isinstance(value, str) and value), "")


@dataclass
class Simulation:
    """A conversation with the real engine and switchboard, whose providers are scripted.

    `replies` answer the caller's turns in order, the last one all further turns; each is text, a `ToolCall`, a
    `ProviderError`, `Unresponsive`, several of these, or a `Script` that computes them. Delays are in seconds.
    `end_of_turn` is the probability that the turn detector returns (None: there is no turn detector).
    `client_session` is the session that the client requests at first; audio is sent in its format. `continues`
    is the earlier conversation that it names. `middleware`, `listeners` and `recall` are passed to the
    switchboard. The attribute `engine` may be replaced.
    """

    replies: Sequence[Reply | Sequence[Reply] | Script] = ("Yes.",)
    session: Session = DEFAULT
    limits: Limits = field(default_factory=Limits)
    transcriber_delay: float = 0.1
    transcriber_failure: ProviderError | Unresponsive | None = None
    end_of_turn: float | None = None
    chat_delay: float = 0.2
    word_delay: float = 0.02
    synthesizer_delay: float = 0.1
    synthesizer_failure: ProviderError | Unresponsive | None = None
    word_timings: bool = False
    client_session: AnySession | None = None
    middleware: MiddlewareFactory | None = None
    listeners: Sequence[ListenerFactory] = ()
    continues: str | None = None
    recall: Recall | None = None

    def __post_init__(self) -> None:
        self.caller = SimulatedCaller()
        self.chat = _Chat(self.replies, self.chat_delay, self.word_delay)
        self.engine: Engine = Cascade(
            Providers(
                vad=_Vad(),
                transcriber=_Transcriber(self.caller, self.transcriber_delay, self.transcriber_failure),
                chat=self.chat,
                synthesizer=_Synthesizer(self.synthesizer_delay, self.word_timings, self.synthesizer_failure),
                turn=None if self.end_of_turn is None else _Turn(self.end_of_turn, 0.05),
            ),
            session=self.session,
            limits=self.limits,
        )

    async def run(self, *steps: Step, until: float) -> Timeline:
        """Run the steps, and return the timeline of all events. The caller hangs up after `until` seconds."""
        timeline = Timeline([], anyio.current_time())
        self.caller.utterances = [step for step in steps if isinstance(step, CallerSays)]
        switchboard = Switchboard(
            self.engine,
            limits=self.limits,
            listeners=[lambda caller: timeline.entries.append, *self.listeners],
            middleware=self.middleware,
            recall=self.recall,
        )
        caller = Caller("simulation", session=self.client_session, continues=self.continues)
        async with switchboard.connect(caller) as line, anyio.create_task_group() as tasks:
            tasks.start_soon(_drain, line)
            await self._act(line, steps, timeline, until)
            tasks.cancel_scope.cancel()
        return timeline

    async def _act(self, line: Line, steps: Sequence[Step], timeline: Timeline, until: float) -> None:
        encoder = AudioEncoder(
            input_settings(self.client_session).format or input_settings(self.session).format or Pcm()
        )
        sends = sorted((step for step in steps if isinstance(step, ClientSends)), key=lambda step: step.at)
        for frame in range(round(until * 1000 / _FRAME_MS)):
            at = frame * _FRAME_MS / 1000
            await anyio.sleep_until(timeline.started_at + at)
            try:
                while sends and sends[0].at <= at:
                    event = sends.pop(0).event
                    event = event if isinstance(event, e.ClientEvent) else event(timeline)
                    await line.send(event)
                    if isinstance(event, e.SessionUpdate) and (changed := input_settings(event.session).format):
                        encoder = AudioEncoder(changed)
                audio = encoder.push(_frame(self.caller.sample(at)))
                await line.send(e.InputAudioBufferAppend(audio=audio))
            except HungUp:
                return


@cache
def _frame(sample: int) -> bytes:
    return array("h", [sample] * (OUTPUT_RATE * _FRAME_MS // 1000)).tobytes()


async def _drain(line: Line) -> None:
    async for _ in line:
        pass
