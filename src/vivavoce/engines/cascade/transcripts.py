"""What callers said, taken down: an item for each thing said, and its words once they are known."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.input_audio import InputAudioStream, has_speech
from vivavoce.engines.cascade.partial_transcripts import PartialTranscripts
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Item, Message
from vivavoce.session.formats import Listened, bytes_per_ms

__all__ = ["STRETCH_MS", "PendingTranscript", "Transcripts", "said"]

STRETCH_MS = 2000
"""So much sound is heard at once; then others may speak."""


@dataclass
class PendingTranscript:
    """The words in some sound, or why they could not be found, once that is `known`."""

    known: anyio.Event = field(default_factory=anyio.Event)
    words: str = ""
    failure: ProviderError | None = None


@dataclass
class Transcripts:
    """Knows what was committed and is not yet known in words. Who answers waits for it."""

    call: CascadeContext
    ear: InputAudioStream
    _untold: dict[str, anyio.Event] = field(default_factory=dict)
    _failed: dict[str, ProviderError] = field(default_factory=dict)

    async def everything_said(self) -> Sequence[Item]:
        """Return what an answer is to know, once everything committed is known in words.

        Raises `ProviderError` if the last thing said could not be understood.
        """
        await self.all_told()
        if failure := self._failed.get(self.call.conversation.last_said_id or ""):
            raise failure
        return self.call.conversation.messages()

    async def all_told(self) -> None:
        """Return once everything committed is known in words, or never will be."""
        for told in list(self._untold.values()):
            await told.wait()

    # items

    async def put_down(self, item_id: str) -> None:
        """Make an item of what was said; its words follow."""
        self._untold[item_id] = anyio.Event()
        previous = self.call.conversation.last_id
        item = said(item_id, None)
        await self.call.send(e.InputAudioBufferCommitted(item_id=item_id, previous_item_id=previous))
        await self.call.send(e.ConversationItemAdded(item=item, previous_item_id=previous))
        await self.call.send(e.ConversationItemDone(item=item, previous_item_id=previous))

    async def put_down_silence(self, item_id: str) -> None:
        """Make an item of somebody's saying nothing."""
        await self.put_down(item_id)
        self._untold.pop(item_id).set()

    def keep(self, item_id: str, since_ms: float) -> None:
        """Keep the sound of an item, for whoever wants to hear it again."""
        self.call.sounds.store_input(item_id, self.ear.tape.since(since_ms), self.ear.hearing.format)

    def read(self, item_id: str, sound: bytes) -> None:
        """Find out what is said in an item that the client has made of sound in its format."""
        self._untold[item_id] = anyio.Event()
        self.call.tasks.start_soon(self._read, item_id, sound)

    # words

    async def find(self, finding: PendingTranscript, sound: bytes) -> None:
        """Find out what is said in sound at `INPUT_RATE`."""
        try:
            finding.words = await self.transcribe(sound)
        except ProviderError as error:
            finding.failure = error
        finding.known.set()

    async def take_down(self, captions: PartialTranscripts, sound: bytes) -> None:
        """Find out what was said in a manual turn, if anything was."""
        finding = PendingTranscript()
        if await has_speech(sound, self.call.crew.vad.detector()):
            await self.find(finding, sound)
        await self.tell(captions, finding, len(sound) / (2 * INPUT_RATE))

    async def _read(self, item_id: str, sound: bytes) -> None:
        await self.take_down(PartialTranscripts(self.call, self.ear, item_id, 0), await self._hear_out(sound))

    async def words_in(self, sound: bytes) -> str:
        """Return what is said in a recording in the session's format, nothing if nobody speaks."""
        heard = await self._hear_out(sound)
        return await self.transcribe(heard) if await has_speech(heard, self.call.crew.vad.detector()) else ""

    async def _hear_out(self, sound: bytes) -> bytes:
        """Hear a recording, some seconds at a time: it may be long, and others speak meanwhile."""
        listened, heard = Listened(self.ear.hearing.format), bytearray()
        stretch = STRETCH_MS * bytes_per_ms(listened.format)
        for at in range(0, len(sound), stretch):
            heard += listened.push(sound[at : at + stretch])
            await anyio.lowlevel.checkpoint()
        return bytes(heard)

    async def tell(self, captions: PartialTranscripts, finding: PendingTranscript, seconds: float) -> None:
        """Tell the client what was understood, if it wants to know; the conversation knows it in any case."""
        item_id = captions.item_id
        told: e.TranscriptionCompleted | e.TranscriptionFailed
        if finding.failure:
            self._failed[item_id] = finding.failure
            problem = e.TranscriptionError(type="server_error", message=str(finding.failure))
            told = e.TranscriptionFailed(item_id=item_id, content_index=0, error=problem)
        else:
            usage = e.DurationUsage(seconds=round(seconds, 3))
            told = e.TranscriptionCompleted(
                item_id=item_id, content_index=0, transcript=finding.words, usage=usage
            )
        self.call.conversation.apply(told)
        self._untold.pop(item_id, anyio.Event()).set()
        if item_id not in self.call.conversation:  # deleted meanwhile: nobody wants to hear of it
            return
        if not finding.failure:
            await captions.finish(finding.words)
        if self.ear.hearing.transcribe:
            await self.call.line.send(told)

    async def transcribe(self, sound: bytes) -> str:
        """Return what is said in sound at `INPUT_RATE`. Raises `ProviderError`."""
        hearing, seconds = self.ear.hearing, self.call.limits.transcription_seconds
        transcript = await self.call.crew.transcribe(
            sound, seconds=seconds, language=hearing.language, prompt=hearing.prompt
        )
        return transcript.text.strip()


def said(item_id: str, words: str | None) -> Message:
    """Return an item of what a caller said; without words while they are not known."""
    return Message(
        id=item_id,
        object="realtime.item",
        status="completed",
        role="user",
        content=(InputAudio(transcript=words),),
    )
