"""A stage on which conversations are plays.

    stage = Stage(replies=["Paris, of course."])
    score = await stage.play(Say(0.5, "What is the capital of France?"), until=6)

A play is what the caller does and when; its score is every event with its time. On a `JumpingClock` it takes
milliseconds and is always the same.
"""

import sys
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from math import inf

import anyio
from msgspec import UNSET

from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.engines.cascade.engine import Cascade, Providers
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Message
from vivavoce.protocol.session import AudioFormat, Pcm, Session, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall, Transcript, WordTiming
from vivavoce.session.formats import Spoken
from vivavoce.session.line import Engine, HungUp, Line
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Caller, MiddlewareFactory, Switchboard

__all__ = ["Act", "Answer", "Do", "Forever", "React", "Say", "Score", "Script", "Stage"]


# what the caller does

_FRAME_MS = 20
_SECONDS_PER_CHAR = 0.06
_LOUD = 1000


@dataclass(frozen=True)
class Say:
    """From `at` seconds on the caller says these words; without words it is a noise like speech."""

    at: float
    words: str
    seconds: float | None = None

    @property
    def until(self) -> float:
        return self.at + (self.seconds if self.seconds is not None else len(self.words) * _SECONDS_PER_CHAR)


@dataclass(frozen=True)
class Do:
    """At this time the client sends an event."""

    at: float
    event: e.ClientEvent


@dataclass(frozen=True)
class Answer:
    """At this time the client sends an event about our first answer, made from its item's id."""

    at: float
    event: Callable[[str], e.ClientEvent]


@dataclass(frozen=True)
class React:
    """At this time the client sends an event about what has passed so far."""

    at: float
    event: "Callable[[Score], e.ClientEvent]"


Act = Say | Do | Answer | React


@dataclass(frozen=True)
class Forever:
    """In place of a reply or a transcript: a provider that never answers."""


# providers that know the play


@dataclass
class _Sayings:
    """Who says what is told by how loud it is: the n-th saying has samples of n times `_LOUD`."""

    sayings: Sequence[Say]

    def sample(self, at: float) -> int:
        for number, say in enumerate(self.sayings, 1):
            if say.at <= at < say.until:
                return number * _LOUD
        return 0

    def words(self, sound: bytes) -> str:
        """Return the words in sound at `INPUT_RATE`: as many of each saying as are there to be heard."""
        levels = Counter(round(sample / _LOUD) for sample in array("h", sound))
        heard = []
        for number, say in enumerate(self.sayings, 1):
            seconds = levels[number] / INPUT_RATE
            share = min(1.0, seconds / (say.until - say.at) + 0.05) if seconds > 0.1 else 0.0
            words = say.words.split()
            heard += words[: round(share * len(words))]
        return " ".join(heard)


@dataclass
class _Vad:
    def detector(self) -> "_Vad":
        return self

    def probability(self, frame: bytes) -> float:
        return 1.0 if max(array("h", frame)) > _LOUD // 2 else 0.0


@dataclass
class _Transcriber:
    sayings: _Sayings
    delay: float
    failure: ProviderError | Forever | None
    fails_from: float = inf
    supports_partials: bool = True
    asked: int = 0

    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        self.asked += 1
        if isinstance(self.failure, Forever):
            await anyio.sleep_forever()
        await anyio.sleep(self.delay)
        if anyio.current_time() >= self.fails_from:
            raise ProviderError("transcriber", "is deaf")
        if isinstance(self.failure, ProviderError):
            raise self.failure
        return Transcript(self.sayings.words(audio), language)


@dataclass
class _Turn:
    finished: float
    delay: float

    async def predict_end_of_turn(self, audio: bytes) -> float:
        await anyio.sleep(self.delay)
        return self.finished


Reply = str | ToolCall | ChatUsage | ProviderError | Forever
Script = Callable[[ChatRequest], "Reply | Sequence[Reply]"]
"""Replies to what it is asked, as a model does that reads what tools have said."""


@dataclass
class _Chat:
    replies: Sequence[Reply | Sequence[Reply] | Script]
    first_word: float
    next_word: float
    asked: list[ChatRequest] = field(default_factory=list)
    prepared: list[ChatRequest] = field(default_factory=list)
    reads: int = sys.maxsize
    supports_images: bool = False
    supported_options: frozenset[str] = frozenset()

    def context_budget(self, request: ChatRequest) -> int:
        return self.reads

    async def prefill(self, request: ChatRequest) -> None:
        self.prepared.append(request)
        if isinstance(self.replies[0], ProviderError):
            raise self.replies[0]

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        self.asked.append(request)
        turns = sum(isinstance(i, Message) and i.role == "user" for i in request.items)
        scripted = self.replies[min(max(turns, 1), len(self.replies)) - 1]
        reply = scripted(request) if callable(scripted) else scripted
        words = 0
        await anyio.sleep(self.first_word)
        for part in reply if isinstance(reply, Sequence) and not isinstance(reply, str) else [reply]:
            match part:
                case Forever():
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
                        await anyio.sleep(self.next_word)
        yield ChatUsage(10, words)


@dataclass
class _Synthesizer:
    first_sound: float
    marks: bool
    failure: ProviderError | Forever | None
    seconds_per_char: float = _SECONDS_PER_CHAR
    chunk: int = OUTPUT_RATE // 10
    said: list[str] = field(default_factory=list)

    async def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        self.said.append(text)
        if isinstance(self.failure, Forever):
            await anyio.sleep_forever()
        await anyio.sleep(self.first_sound)
        if isinstance(self.failure, ProviderError):
            raise self.failure
        at = 0
        for word in text.split():
            if self.marks:
                yield WordTiming(at)
            samples = round((len(word) + 1) * self.seconds_per_char / speed * OUTPUT_RATE)
            at += len(word) + 1
            for begin in range(0, samples, self.chunk):
                yield array("h", [_LOUD] * min(self.chunk, samples - begin)).tobytes()


# the stage


@dataclass
class Score:
    """Everything that passed, with its time in seconds from the beginning of the play."""

    heard: list[ObservedEvent]
    began: float

    @property
    def events(self) -> list[e.Event]:
        """All events, in order."""
        return [heard.event for heard in self.heard]

    def of(self, *kinds: type[e.Event]) -> list[e.Event]:
        """The events of some kinds."""
        return [event for event in self.events if isinstance(event, kinds)]

    def at(self, kind: type[e.Event], nth: int = 0) -> float:
        """When the nth event of a kind passed."""
        return [h.at - self.began for h in self.heard if isinstance(h.event, kind)][nth]

    @property
    def answer_id(self) -> str:
        """The id of the first message that we said."""
        items = (event.item for event in self.events if isinstance(event, e.ResponseOutputItemAdded))
        return next(item.id or "" for item in items if isinstance(item, Message))

    def __str__(self) -> str:
        """The score as text: one event a line, sound summed up."""
        lines, sound = [], 0
        for heard in self.heard:
            match heard.event:
                case e.InputAudioBufferAppend():
                    continue
                case e.ResponseOutputAudioDelta(delta=delta):
                    sound += len(delta)
                    continue
                case event:
                    note = _note(event)
                    if isinstance(event, e.ResponseDone) and sound:
                        note, sound = f"{note}, {sound / 2 / OUTPUT_RATE:.1f} s of sound", 0
                    name = event.__struct_config__.tag
                    lines.append(f"{heard.at - self.began:6.2f}  {name}  {note}".rstrip())
        return "\n".join(lines)


def _note(event: e.Event) -> str:
    match event:
        case e.ResponseDone(response=response):
            return response.status
        case e.ErrorEvent(error=error):
            return error.code or error.message
        case _:
            for name in ("delta", "transcript", "text", "arguments"):
                value = getattr(event, name, "")
                if isinstance(value, str) and value:
                    return repr(value)
            return ""


@dataclass
class Stage:
    """Where plays are played: the real engine and switchboard, with providers that follow a script.

    `replies` answer the caller's turns in order, the last one all further turns; each is text, a `ToolCall`, a
    `ProviderError`, `Forever`, several of these, or a `Script` that gives them. `wish` is what the caller asks
    for from the beginning. The sound comes in the format that the session is told. `middleware` is the
    switchboard's. The `engine` may be replaced.
    """

    replies: Sequence[Reply | Sequence[Reply] | Script] = ("Yes.",)
    session: Session = DEFAULT
    limits: Limits = field(default_factory=Limits)
    hears: float = 0.1
    hearing_fails: ProviderError | Forever | None = None
    finished: float | None = None
    thinks: float = 0.2
    next_word: float = 0.02
    speaks: float = 0.1
    speaking_fails: ProviderError | Forever | None = None
    marks: bool = False
    wish: Session | TranscriptionSession | None = None
    middleware: MiddlewareFactory | None = None

    def __post_init__(self) -> None:
        self.sayings = _Sayings(())
        self.chat = _Chat(self.replies, self.thinks, self.next_word)
        self.engine: Engine = Cascade(
            Providers(
                vad=_Vad(),
                transcriber=_Transcriber(self.sayings, self.hears, self.hearing_fails),
                chat=self.chat,
                synthesizer=_Synthesizer(self.speaks, self.marks, self.speaking_fails),
                turn=None if self.finished is None else _Turn(self.finished, 0.05),
            ),
            session=self.session,
            limits=self.limits,
        )

    async def play(self, *acts: Act, until: float) -> Score:
        """Play to the end and return the score. The caller hangs up after `until` seconds."""
        score = Score([], anyio.current_time())
        self.sayings.sayings = [act for act in acts if isinstance(act, Say)]
        switchboard = Switchboard(
            self.engine,
            limits=self.limits,
            listeners=[lambda caller: score.heard.append],
            middleware=self.middleware,
        )
        caller = Caller("stage", session=self.wish)
        async with switchboard.connect(caller) as line, anyio.create_task_group() as audience:
            audience.start_soon(_hear_out, line)
            await self._act(line, acts, score, until)
            audience.cancel_scope.cancel()
        return score

    async def _act(self, line: Line, acts: Sequence[Act], score: Score, until: float) -> None:
        voice = Spoken(_format(self.wish) or _format(self.session) or Pcm())
        deeds = sorted((act for act in acts if not isinstance(act, Say)), key=lambda deed: deed.at)
        for frame in range(round(until * 1000 / _FRAME_MS)):
            at = frame * _FRAME_MS / 1000
            await anyio.sleep_until(score.began + at)
            try:
                while deeds and deeds[0].at <= at:
                    deed = deeds.pop(0)
                    event = _deed(deed, score)
                    await line.send(event)
                    if isinstance(event, e.SessionUpdate) and (changed := _format(event.session)):
                        voice = Spoken(changed)
                sample = self.sayings.sample(at)
                sound = array("h", [sample] * (OUTPUT_RATE * _FRAME_MS // 1000)).tobytes()
                await line.send(e.InputAudioBufferAppend(audio=voice.push(sound)))
            except HungUp:
                return


def _format(session: Session | TranscriptionSession | None) -> AudioFormat | None:
    audio = session.audio if session else UNSET
    return (audio.input.format or None) if audio and audio.input else None


def _deed(deed: Do | Answer | React, score: Score) -> e.ClientEvent:
    match deed:
        case Do(event=event):
            return event
        case Answer(event=about):
            return about(score.answer_id)
        case React(event=about_all):
            return about_all(score)


async def _hear_out(line: Line) -> None:
    async for _ in line:
        pass
