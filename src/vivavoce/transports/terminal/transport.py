"""A conversation in the terminal: a microphone, a loudspeaker, captions, and a line to type on.

There is no echo cancelling here. Unless the caller wears headphones, the microphone is closed while the voice
sounds, so that it does not hear itself; an empty line interrupts it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TextIO

import anyio
from msgspec import UNSET

from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.responses import Failed, Response
from vivavoce.protocol.session import (
    InputSettings,
    Session,
    SessionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.session.line import HungUp, Line
from vivavoce.transports.playout import Playout

__all__ = ["FRAME_BYTES", "Captions", "Loudspeaker", "Microphone", "TerminalTransport", "beats"]

FRAME_BYTES = 960
"""20 ms at 24 kHz"""

_BYTES_PER_SECOND = 48_000
_ROOM_FRAMES = 15
"""frames after the voice has ended for which the room, and the sound card, may still sound"""
_PATIENCE_SECONDS = 4
"""silence after which a conversation is over whose microphone has ended"""
_HARMLESS = frozenset({"response_cancel_not_active", "item_truncate_invalid_item_id"})
_WRITE_DOWN = e.SessionUpdate(
    session=Session(
        audio=SessionAudio(
            input=InputSettings(transcription=TranscriptionSettings(model="gpt-4o-mini-transcribe"))
        )
    )
)


class Microphone(Protocol):
    def listen(self) -> AsyncIterator[bytes]:
        """Yield frames of `FRAME_BYTES` as time passes. Ends when nothing more will be heard."""
        ...


class Loudspeaker(Protocol):
    @property
    def lag_ms(self) -> float:
        """Milliseconds from taking sound to hearing it."""
        ...

    async def play(self, playout: Playout) -> None:
        """Take what is to be played, at its pace, until cancelled."""
        ...


class Captions:
    """What is said, as lines of text: the answer's words as they come."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._open = out, False

    def line(self, text: str) -> None:
        """Write a line of its own."""
        self.close()
        print(text, file=self._out, flush=True)

    def words(self, text: str) -> None:
        """Go on with the answer's line."""
        print(text if self._open else f"Answer: {text}", end="", file=self._out, flush=True)
        self._open = True

    def close(self, last: str = "") -> None:
        """End the answer's line, if there is one."""
        if self._open:
            print(last, file=self._out, flush=True)
        self._open = False


@dataclass
class TerminalTransport:
    """One caller. `typed` gives lines; `headphones` says that the microphone does not hear the loudspeaker."""

    microphone: Microphone
    loudspeaker: Loudspeaker
    typed: AsyncIterator[str]
    captions: Captions
    headphones: bool = False
    _playout: Playout = field(default_factory=Playout)
    _dropped: set[str] = field(default_factory=set)
    _response: str | None = None
    _afterwards: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _stirred_at: float = 0.0

    async def talk(self, line: Line) -> None:
        """Talk until the line ends, or the microphone has ended and all is said. Cancelling it hangs up."""
        self._stirred_at = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.loudspeaker.play, self._playout)
            tasks.start_soon(self._speak, line, tasks.cancel_scope)
            tasks.start_soon(self._type, line)
            async for event in line:
                try:
                    await self._hear(event, line)
                except HungUp:
                    break
            self.captions.line("The other end has hung up.")
            tasks.cancel_scope.cancel()

    # what we say

    async def _speak(self, line: Line, talk: anyio.CancelScope) -> None:
        try:
            closed_for = 0
            async for frame in self.microphone.listen():
                closed_for = _ROOM_FRAMES if self._playout.busy else max(0, closed_for - 1)
                closed = closed_for > 0 and not self.headphones
                await line.send(e.InputAudioBufferAppend(audio=bytes(len(frame)) if closed else frame))
            await self._wait_for_the_end(line)
        except HungUp:
            return
        self.captions.close()
        talk.cancel()

    async def _wait_for_the_end(self, line: Line) -> None:
        """Say nothing, which ends a turn, until nothing more is answered."""
        async for now in beats():
            if self._playout.busy or self._response:
                self._stirred_at = now
            if now - self._stirred_at > _PATIENCE_SECONDS:
                return
            await line.send(e.InputAudioBufferAppend(audio=bytes(FRAME_BYTES)))

    async def _type(self, line: Line) -> None:
        async for text in self.typed:
            try:
                await self._interrupt(line)
                if text.strip():
                    await self._once_free(_ask(line, text.strip()))
            except HungUp:
                return

    async def _interrupt(self, line: Line) -> None:
        """Silence the voice without a word."""
        if self._response:
            await line.send(e.ResponseCancel(response_id=self._response))
        await self._hush(line)

    async def _once_free(self, act: Callable[[], Awaitable[None]]) -> None:
        """Act once no answer is under way: a server gives one at a time."""
        if self._response:
            self._afterwards.append(act)
        else:
            await act()

    # what we hear

    async def _hear(self, event: e.Event, line: Line) -> None:
        self._stirred_at = anyio.current_time()
        match event:
            case e.SessionCreated(session=session) if not _writes_down(session):
                await line.send(_WRITE_DOWN)
            case e.InputAudioBufferSpeechStarted():
                await self._hush(line)
            case e.TranscriptionCompleted(transcript=words) if words.strip():
                self.captions.line(f"You: {words.strip()}")
            case e.TranscriptionFailed(error=error):
                self.captions.line(f"(What you said could not be written down: {error.message})")
            case e.ResponseCreated(response=response):
                self._response = response.id
            case e.ResponseOutputAudioTranscriptDelta() | e.ResponseOutputTextDelta():
                if event.item_id not in self._dropped:
                    self.captions.words(event.delta)
            case e.ResponseOutputAudioDelta(item_id=item, delta=sound) if item not in self._dropped:
                self._playout.say(item, sound)
            case e.ResponseOutputAudioDone(item_id=item):
                self._playout.end(item)
            case e.ResponseDone(response=response):
                await self._answered(response)
            case e.ErrorEvent(error=error) if error.code not in _HARMLESS:
                self.captions.line(f"({error.message})")
            case _:
                pass

    async def _answered(self, response: Response) -> None:
        self._response = None
        self.captions.close()
        if isinstance(response.status_details, Failed):
            self.captions.line(f"(The answer failed: {response.status_details.error.message})")
        afterwards, self._afterwards = self._afterwards, []
        for act in afterwards:
            await act()

    async def _hush(self, line: Line) -> None:
        """Fall silent, and tell the other end how much of the answer was heard."""
        for item, ms in self._playout.drop(self.loudspeaker.lag_ms).items():
            self._dropped.add(item)
            self.captions.close(" ...")
            await line.send(e.ConversationItemTruncate(item_id=item, content_index=0, audio_end_ms=ms))


async def beats() -> AsyncIterator[float]:
    """Yield the time every 20 ms of it, late ones at once."""
    due = anyio.current_time()
    while True:
        await anyio.sleep_until(due)
        yield due
        due += FRAME_BYTES / _BYTES_PER_SECOND


def _writes_down(session: Session | TranscriptionSession) -> bool:
    """Say whether we shall be told what we have said."""
    heard = session.audio.input if session.audio else UNSET
    return bool(heard and heard.transcription)


def _ask(line: Line, text: str) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        await line.send(e.ConversationItemCreate(item=Message(role="user", content=(InputText(text=text),))))
        await line.send(e.ResponseCreate())

    return ask
