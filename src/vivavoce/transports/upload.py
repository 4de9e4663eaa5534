"""Recordings in, spoken answers out: for clients that record a whole question, and play the answer later.

The transport is a client of the protocol itself. It sends a recording with turn detection off, commits it,
requests a response, and passes on its words and audio, until no tool is at work any more.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import anyio

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Message, purpose_of
from vivavoce.protocol.responses import VERBATIM, Failed, Response, response_purpose
from vivavoce.protocol.session import (
    InputSettings,
    OutputSettings,
    Pcm,
    Session,
    SessionAudio,
    TranscriptionSettings,
)
from vivavoce.session.line import HungUp, Line
from vivavoce.transports.base import Connect, Handshake, OpenCalls, run_until_first

SESSION = Session(
    output_modalities=("audio",),
    audio=SessionAudio(
        input=InputSettings(
            format=Pcm(),
            turn_detection=None,
            transcription=TranscriptionSettings(model="gpt-4o-mini-transcribe"),
        ),
        output=OutputSettings(format=Pcm()),
    ),
)
"""what this transport requests; an upstream server needs the name of a model, and the cascade ignores it"""
NO_SPEECH, NO_SOUND, CALL_ENDED = "no_speech", "no_sound", "call_ended"
"""codes of failures"""
SILENT = "There is no speech in this recording; is the microphone muted?"
NOT_CONTINUED = frozenset({"conversation_not_found", "conversation_unavailable"})
"""codes of errors about an earlier conversation"""
_APPENDED_BYTES = 2 * OUTPUT_RATE
_EVENTS_AHEAD = 16
_LATE_SECONDS = 5
"""how long a response that is to be cancelled is waited for: upstream servers begin one when they like"""

AnswerEvent = (
    e.TranscriptionCompleted
    | e.TranscriptionFailed
    | e.ResponseOutputAudioTranscriptDelta
    | e.ResponseOutputTextDelta
    | e.ResponseOutputAudioDelta
)
"""What a question is answered with: its transcript, then words and audio of the answer, as they are made."""


class UploadedQuestion:
    """A question, and the events that answer it. Who asks receives them in its block: the call waits for that.

    `content` is a recording as PCM at `OUTPUT_RATE`, or a text. `failure` is why there is no answer, or why it
    breaks off after the events that have come.
    """

    def __init__(self, content: bytes | str) -> None:
        self.content = content
        self.failure: ProtocolError | None = None
        self.answered, self.is_abandoned = anyio.Event(), False
        self._events, self._received = anyio.create_memory_object_stream[AnswerEvent](_EVENTS_AHEAD)

    async def receive(self) -> Sequence[AnswerEvent]:
        """Return the events that have come since, at least one; none once the answer is complete."""
        events: list[AnswerEvent] = []
        with suppress(anyio.EndOfStream, anyio.WouldBlock):
            events.append(await self._received.receive())
            while True:
                events.append(self._received.receive_nowait())
        return events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Read no more. If the answer is not complete, it is cancelled."""
        self.is_abandoned = not self.answered.is_set()
        self.finish()
        self._received.close()

    async def publish(self, event: AnswerEvent) -> None:
        """Pass on an event, waiting while the reader is behind."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the reader has left
            await self._events.send(event)

    def finish(self, failure: ProtocolError | None = None) -> None:
        """Complete the answer. Only the first call counts."""
        if not self.answered.is_set():
            self.failure = failure
            self.answered.set()
            self._events.close()


@dataclass(frozen=True)
class Upload:
    """A connection by which questions come, each of which is answered before the next is asked.

    The call ends when `questions` does. `id` is that of the conversation. If the earlier conversation that the
    handshake names is not there, a new one begins; with `must_continue` the first question fails instead.
    """

    questions: AsyncIterator[UploadedQuestion]
    handshake: Handshake = field(default_factory=Handshake)
    must_continue: bool = False
    id: str = field(default_factory=lambda: e.new_id("sess"))


@dataclass(frozen=True)
class UploadTransport:
    """Runs the calls of clients that upload recordings. Answers come as fast as they are made."""

    connect: Connect
    limits: Limits = field(default_factory=Limits)
    _calls: OpenCalls = field(default_factory=OpenCalls)

    name: ClassVar[str] = "upload"
    plays_audio: ClassVar[bool] = False

    @property
    def closing(self) -> anyio.Event:
        """Set by `hang_up`."""
        return self._calls.closing

    async def accept(self, connection: Upload) -> None:
        """Run one call, until all questions are answered. Raises `ProtocolError` if the caller is refused."""
        caller = connection.handshake.caller(self.name, plays_audio=self.plays_audio)
        session = caller.session or SESSION
        caller = replace(caller, id=connection.id, session=session, in_real_time=False)
        async with self.connect(caller) as line:
            with self._calls.track():
                call = _Call(line, connection)
                try:
                    await run_until_first(call.ask_all, call.receive, self._calls.closing.wait)
                finally:
                    call.finish(call.refusal or self._ended())

    async def hang_up(self) -> None:
        """End all calls, and later ones as soon as they are accepted; return when all have ended."""
        await self._calls.hang_up()

    def _ended(self) -> ProtocolError:
        why = "The server shuts down" if self.closing.is_set() else "The conversation was ended"
        return ProtocolError(f"{why} before there was an answer; ask again.", code=CALL_ENDED)


@dataclass
class _Call:
    """Sends questions to a line, one after the other, and passes on what answers them."""

    line: Line
    connection: Upload
    refusal: ProtocolError | None = None
    """why the call was ended from here"""
    _question: UploadedQuestion | None = None
    """the one that is being answered"""
    _item_id: str | None = None
    _calls: set[str] = field(default_factory=set)
    """calls of tools whose output is to come"""
    _responses: set[str] = field(default_factory=set)
    _is_quiet: anyio.Event = field(default_factory=anyio.Event)
    """set while no response is requested, or in progress"""
    _unwanted: bool = False
    """whether the response that was requested is to be cancelled when it begins"""
    _aside: str = field(default_factory=lambda: e.new_id("event"))
    """id of events whose errors do not matter: they came too late"""

    def __post_init__(self) -> None:
        self._is_quiet.set()

    def finish(self, failure: ProtocolError | None = None) -> None:
        """Complete the answer to the question, if there is one."""
        if self._question is not None:
            self._question.finish(failure)

    # to the engine

    async def ask_all(self) -> None:
        """Ask each question when the one before is answered."""
        async for question in self.connection.questions:
            if self._responses:
                await self._is_quiet.wait()
            if question.answered.is_set():  # who asked has left
                continue
            self._question, self._item_id, self._unwanted = question, None, False
            await self._ask(question.content)
            await question.answered.wait()
            self._question = None
            if question.is_abandoned:
                await self._cancel()
            if self._unwanted and not self._calls:  # else the request may wait for the user's yes
                with anyio.move_on_after(_LATE_SECONDS):
                    await self._is_quiet.wait()

    async def _ask(self, content: bytes | str) -> None:
        if isinstance(content, str):
            item = Message(role="user", content=(InputText(text=content),))
            await self.line.send(e.ConversationItemCreate(item=item))
        else:
            for at in range(0, len(content), _APPENDED_BYTES):
                await self.line.send(e.InputAudioBufferAppend(audio=content[at : at + _APPENDED_BYTES]))
            await self.line.send(e.InputAudioBufferCommit())
        self._await_quiet()
        # the transcript is not waited for: an upstream server needs none to answer
        await self.line.send(e.ResponseCreate())

    # from the engine

    async def receive(self) -> None:
        """Process the engine's events, until the line ends."""
        async for event in self.line:
            if isinstance(event, e.ErrorEvent) and event.error.code and event.error.code in NOT_CONTINUED:
                if self.connection.must_continue:
                    why = event.error.message.partition(";")[0].rstrip(".")  # nothing begins without it
                    self.refusal = ProtocolError(f"{why}.", code=event.error.code, param="conversation")
                    return
                continue
            with suppress(HungUp):
                await self._on_event(event)

    async def _on_event(self, event: e.Event) -> None:
        match event:
            case e.InputAudioBufferCommitted(item_id=item_id):
                self._item_id = item_id
            case e.TranscriptionCompleted(item_id=self._item_id, transcript=words):
                await (self._publish(event) if words.strip() else self._on_silence(event.item_id))
            case e.TranscriptionFailed(item_id=self._item_id):
                await self._publish(event)  # the response says whether that matters
            case e.ResponseCreated(response=response):
                self._responses.add(response.id)
                self._await_quiet()
                if self._unwanted:
                    await self._cancel()
            case (
                e.ResponseOutputAudioTranscriptDelta(item_id=item_id)
                | e.ResponseOutputTextDelta(item_id=item_id)
                | e.ResponseOutputAudioDelta(item_id=item_id)
            ) if purpose_of(item_id) != "apology":
                await self._publish(event)
            case e.ResponseOutputItemDone(item=FunctionCall(call_id=call_id)):
                self._calls.add(call_id or "")
            case e.ConversationItemAdded(item=FunctionCallOutput(call_id=call_id)):
                self._calls.discard(call_id)
            case e.ResponseDone(response=response):
                await self._on_response_done(response)
            case e.ErrorEvent(error=error) if error.event_id != self._aside:
                self._note_quiet()
                self.finish(ProtocolError(error.message, code=error.code or "server_error"))

    async def _publish(self, event: AnswerEvent) -> None:
        if self._question is not None and not self._question.answered.is_set():
            await self._question.publish(event)

    async def _on_silence(self, item_id: str) -> None:
        """Take back what was sent: there are no words in it, so that an answer would be invented."""
        self.finish(ProtocolError(SILENT, code=NO_SPEECH))
        await self._cancel()
        await self.line.send(e.ConversationItemDelete(event_id=self._aside, item_id=item_id))

    async def _cancel(self) -> None:
        """Cancel the response, as soon as it has begun."""
        self._unwanted = not self._responses
        if self._responses:
            await self.line.send(e.ResponseCancel(event_id=self._aside))

    def _await_quiet(self) -> None:
        if self._is_quiet.is_set():
            self._is_quiet = anyio.Event()

    def _note_quiet(self) -> None:
        if not self._responses:
            self._is_quiet.set()

    async def _on_response_done(self, response: Response) -> None:
        self._responses.discard(response.id)
        self._note_quiet()
        if isinstance(response.status_details, Failed):
            error = response.status_details.error
            self.finish(ProtocolError(error.message or error.type, code=error.code or "provider_error"))
        elif self._is_last(response):
            self.finish()

    def _is_last(self, response: Response) -> bool:
        """Return whether a response ends the answer: no tool is at work, or one waits for the user's yes."""
        asks = VERBATIM in (response.metadata or {}) and not response_purpose(response.metadata)
        calls = self._calls or any(isinstance(item, FunctionCall) for item in response.output)
        return asks or not calls
