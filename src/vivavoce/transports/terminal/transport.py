"""A call in the terminal: microphone, loudspeaker, captions, and typed messages.

There is no echo cancellation. Unless the caller wears headphones, the microphone is muted while the loudspeaker
plays, so that it does not pick up the answer; an empty line interrupts.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, TextIO

import anyio

from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message, Purpose, purpose_of
from vivavoce.protocol.responses import Failed, Response, response_purpose
from vivavoce.protocol.session import (
    InputSettings,
    Session,
    SessionAudio,
    TranscriptionSettings,
    input_settings,
)
from vivavoce.session.call import Caller
from vivavoce.session.line import HungUp, Line
from vivavoce.transports.base import Connect, OpenCalls, run_until_first
from vivavoce.transports.playout import PlayoutBuffer
from vivavoce.transports.terminal.devices import FRAME_BYTES, LoudspeakerDevice, MicrophoneDevice, ticks

_ECHO_FRAMES = 15
"""frames after the end of the audio in which the sound card and the room may still play"""
_IDLE_SECONDS = 4
"""seconds of silence after which a call ends whose microphone has ended"""
_HARMLESS = frozenset({"response_cancel_not_active", "item_truncate_invalid_item_id"})
_TRANSCRIBE = e.SessionUpdate(
    session=Session(
        audio=SessionAudio(
            input=InputSettings(transcription=TranscriptionSettings(model="gpt-4o-mini-transcribe"))
        )
    )
)


_LABELS: dict[Purpose | None, str] = {None: "Answer", "apology": "Apology", "filler": "Meanwhile"}


class Captions:
    """Prints both sides of the conversation; the answer's words as they arrive."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._open = out, False

    def line(self, text: str) -> None:
        """Print a line."""
        self.close()
        print(text, file=self._out, flush=True)

    def words(self, text: str, purpose: Purpose | None = None) -> None:
        """Continue the line of the answer, or of words that are no answer."""
        print(text if self._open else f"{_LABELS[purpose]}: {text}", end="", file=self._out, flush=True)
        self._open = True

    def close(self, last: str = "") -> None:
        """End the answer's line, if there is one."""
        if self._open:
            print(last, file=self._out, flush=True)
        self._open = False


@dataclass(frozen=True)
class Terminal:
    """The devices of a caller at a terminal. `typed` yields typed lines.

    `headphones` means that the microphone does not pick up the loudspeaker.
    """

    microphone: MicrophoneDevice
    loudspeaker: LoudspeakerDevice
    typed: AsyncIterator[str]
    captions: Captions
    headphones: bool = False


@dataclass(frozen=True)
class TerminalTransport:
    """Runs a call at a terminal. To the engine it is a client that plays the audio itself."""

    connect: Connect
    limits: Limits = field(default_factory=Limits)
    _calls: OpenCalls = field(default_factory=OpenCalls)

    name: ClassVar[str] = "terminal"
    plays_audio: ClassVar[bool] = False

    async def accept(self, connection: Terminal) -> None:
        """Run a call until the line ends, or the microphone has ended and the answer is complete."""
        async with self.connect(Caller(self.name, plays_audio=self.plays_audio)) as line:
            with self._calls.track():
                await _Call(line, connection).run(self._calls.closing)

    async def hang_up(self) -> None:
        """End all calls, and later ones as soon as they are accepted; return when all have ended."""
        await self._calls.hang_up()


@dataclass
class _Call:
    """Forwards events and audio between a line and a terminal."""

    line: Line
    terminal: Terminal
    _playout: PlayoutBuffer = field(default_factory=PlayoutBuffer)
    _truncated: set[str] = field(default_factory=set)
    _response: str | None = None
    _purpose: Purpose | None = None
    """of the response in progress, and of its message"""
    _item_purpose: Purpose | None = None
    _unanswered: list[str] = field(default_factory=list)
    _active_at: float = field(default_factory=anyio.current_time)

    async def run(self, closing: anyio.Event) -> None:
        """Forward audio, text and events both ways until one side ends the call."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.terminal.loudspeaker.play, self._playout)
            tasks.start_soon(self._send_typed)
            broken = await run_until_first(self._send_audio, self._receive_events, closing.wait)
            tasks.cancel_scope.cancel()
        self.terminal.captions.close()
        if broken:
            raise broken

    # from the caller to the engine

    async def _send_audio(self) -> None:
        muted_frames = 0
        async for frame in self.terminal.microphone.frames():
            muted_frames = _ECHO_FRAMES if self._playout.has_audio else max(0, muted_frames - 1)
            muted = muted_frames > 0 and not self.terminal.headphones
            await self.line.send(e.InputAudioBufferAppend(audio=bytes(len(frame)) if muted else frame))
        async for now in ticks():  # silence, which ends the last turn, until the answer is complete
            if self._playout.has_audio or self._response:
                self._active_at = now
            if now - self._active_at > _IDLE_SECONDS:
                return
            await self.line.send(e.InputAudioBufferAppend(audio=bytes(FRAME_BYTES)))

    async def _send_typed(self) -> None:
        with suppress(HungUp):
            async for text in self.terminal.typed:
                if self._response:
                    await self.line.send(e.ResponseCancel(response_id=self._response))
                await self._interrupt()
                if text.strip() and self._response:  # a server allows one response at a time
                    self._unanswered.append(text.strip())
                elif text.strip():
                    await self._send_text(text.strip())

    async def _send_text(self, text: str) -> None:
        item = Message(role="user", content=(InputText(text=text),))
        await self.line.send(e.ConversationItemCreate(item=item))
        await self.line.send(e.ResponseCreate())

    async def _interrupt(self) -> None:
        """Stop the audio, and report how much of the response was played."""
        for item_id, ms in self._playout.clear(self.terminal.loudspeaker.latency_ms).items():
            self._truncated.add(item_id)
            self.terminal.captions.close(" ...")
            truncate = e.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=ms)
            await self.line.send(truncate)

    # from the engine to the caller

    async def _receive_events(self) -> None:
        with suppress(HungUp):
            async for event in self.line:
                self._active_at = anyio.current_time()
                await self._handle(event)
        self.terminal.captions.line("The call was ended by the other side.")

    async def _handle(self, event: e.Event) -> None:
        captions = self.terminal.captions
        match event:
            case e.SessionCreated(session=session):
                if not input_settings(session).transcription:  # captions need what the caller says
                    await self.line.send(_TRANSCRIBE)
            case e.InputAudioBufferSpeechStarted():
                await self._interrupt()
            case e.TranscriptionCompleted(transcript=words) if words.strip():
                captions.line(f"You: {words.strip()}")
            case e.TranscriptionFailed(error=error):
                captions.line(f"(What you said could not be transcribed: {error.message})")
            case e.ResponseCreated(response=response):
                self._response, self._purpose = response.id, response_purpose(response.metadata)
            case e.ResponseOutputItemAdded(item=Message(id=item_id)):
                captions.close()
                self._item_purpose = purpose_of(item_id) or self._purpose
            case e.ResponseOutputAudioTranscriptDelta() | e.ResponseOutputTextDelta():
                if event.item_id not in self._truncated:
                    captions.words(event.delta, self._item_purpose)
            case e.ResponseOutputAudioDelta(item_id=item_id, delta=audio) if item_id not in self._truncated:
                self._playout.append(item_id, audio)
            case e.ResponseOutputAudioDone(item_id=item_id):
                self._playout.finish(item_id)
            case e.ResponseDone(response=response):
                await self._on_response_done(response)
            case e.ErrorEvent(error=error) if error.code not in _HARMLESS:
                captions.line(f"({error.message})")
            case _:
                pass

    async def _on_response_done(self, response: Response) -> None:
        self._response = None
        self.terminal.captions.close()
        if isinstance(response.status_details, Failed):
            self.terminal.captions.line(f"(The answer failed: {response.status_details.error.message})")
        unanswered, self._unanswered = self._unanswered, []
        for text in unanswered:
            await self._send_text(text)
