"""The items of committed turns, and their transcripts."""

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
from vivavoce.session.formats import AudioDecoder, bytes_per_ms

STRETCH_MS = 2000
"""milliseconds of audio that are processed at once, before other tasks may run"""


@dataclass
class PendingTranscript:
    """The transcript of some audio, or the reason why it failed, once `known` is set."""

    known: anyio.Event = field(default_factory=anyio.Event)
    text: str = ""
    failure: ProviderError | None = None


@dataclass
class Transcripts:
    """Transcribes committed audio. Responses wait for it."""

    context: CascadeContext
    input_audio: InputAudioStream
    _pending: dict[str, anyio.Event] = field(default_factory=dict)
    _failures: dict[str, ProviderError] = field(default_factory=dict)

    async def read_messages(self) -> Sequence[Item]:
        """Return the messages for a response, once all committed audio is transcribed.

        Raises `ProviderError` if the last turn could not be transcribed.
        """
        await self.wait()
        if failure := self._failures.get(self.context.conversation.last_turn_id or ""):
            raise failure
        return self.context.conversation.messages()

    async def wait(self) -> None:
        """Return once all committed audio is transcribed, or has failed."""
        for done in list(self._pending.values()):
            await done.wait()

    # items

    async def commit(self, item_id: str) -> None:
        """Add an item for a turn; its transcript follows."""
        self._pending[item_id] = anyio.Event()
        previous = self.context.conversation.last_id
        await self.context.send(e.InputAudioBufferCommitted(item_id=item_id, previous_item_id=previous))
        await self.context.add_item(user_message(item_id, None), previous)

    async def commit_silence(self, item_id: str) -> None:
        """Add an item for a turn without speech."""
        await self.commit(item_id)
        self._pending.pop(item_id).set()

    def store_audio(self, item_id: str, start_ms: float) -> None:
        """Store the audio of an item for `conversation.item.retrieve`."""
        audio = self.input_audio.buffer.read(start_ms)
        self.context.item_audio.store_input(item_id, audio, self.input_audio.settings.format)

    def transcribe_item(self, item_id: str, audio: bytes) -> None:
        """Transcribe an item that the client has created with audio in the session's format."""

        async def transcribe() -> None:
            partials = PartialTranscripts(self.context, self.input_audio, item_id, 0)
            await self.transcribe_turn(partials, await self._decode(audio))

        self._pending[item_id] = anyio.Event()
        self.context.tasks.start_soon(transcribe)

    # transcripts

    async def resolve(self, pending: PendingTranscript, pcm: bytes) -> None:
        """Transcribe PCM at `INPUT_RATE`."""
        try:
            pending.text = await self.transcribe(pcm)
        except ProviderError as error:
            pending.failure = error
        pending.known.set()

    async def transcribe_turn(self, partials: PartialTranscripts, pcm: bytes) -> None:
        """Transcribe a manual turn, if there is speech in it."""
        pending = PendingTranscript()
        if await has_speech(pcm, self.context.providers.vad.detector()):
            await self.resolve(pending, pcm)
        await self.publish(partials, pending, len(pcm) / (2 * INPUT_RATE))

    async def transcribe_recording(self, audio: bytes) -> str:
        """Return the transcript of a recording in the session's format, empty if there is no speech in it."""
        pcm = await self._decode(audio)
        spoken = await has_speech(pcm, self.context.providers.vad.detector())
        return await self.transcribe(pcm) if spoken else ""

    async def _decode(self, audio: bytes) -> bytes:
        """Decode a recording in pieces, since it may be long and other tasks must run."""
        decoder, pcm = AudioDecoder(self.input_audio.settings.format), bytearray()
        stretch = STRETCH_MS * bytes_per_ms(decoder.format)
        for at in range(0, len(audio), stretch):
            pcm += decoder.push(audio[at : at + stretch])
            await anyio.lowlevel.checkpoint()
        return bytes(pcm)

    async def publish(self, partials: PartialTranscripts, pending: PendingTranscript, seconds: float) -> None:
        """Add a transcript to the conversation, and send it to the client if transcription is on."""
        item_id = partials.item_id
        event: e.TranscriptionCompleted | e.TranscriptionFailed
        if pending.failure:
            self._failures[item_id] = pending.failure
            problem = e.TranscriptionError(type="server_error", message=str(pending.failure))
            event = e.TranscriptionFailed(item_id=item_id, content_index=0, error=problem)
        else:
            usage = e.DurationUsage(seconds=round(seconds, 3))
            event = e.TranscriptionCompleted(
                item_id=item_id, content_index=0, transcript=pending.text, usage=usage
            )
        self.context.conversation.apply(event)
        self._pending.pop(item_id, anyio.Event()).set()
        if item_id not in self.context.conversation:  # it was deleted meanwhile
            return
        if not pending.failure:
            await partials.finish(pending.text)
        if self.input_audio.settings.transcribe:
            await self.context.line.send(event)

    async def transcribe(self, pcm: bytes) -> str:
        """Return the transcript of PCM at `INPUT_RATE`. Raises `ProviderError`."""
        settings, seconds = self.input_audio.settings, self.context.limits.transcription_seconds
        transcript = await self.context.providers.transcriber_queue.transcribe(
            pcm, seconds=seconds, language=settings.language, prompt=settings.prompt
        )
        return transcript.text.strip()


def user_message(item_id: str, transcript: str | None) -> Message:
    """Return the item of a spoken turn; `transcript` is None until it is known."""
    return Message(
        id=item_id,
        object="realtime.item",
        status="completed",
        role="user",
        content=(InputAudio(transcript=transcript),),
    )
