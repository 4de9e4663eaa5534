"""The items of committed turns, and their transcripts: whole ones, and partial ones while the caller speaks.

The last words of a partial transcript are unreliable, because the transcriber lacks what follows. Therefore
only the common prefix of two consecutive transcripts is sent, and never the newest word (local agreement:
Macháček et al., Turning Whisper into Real-Time Transcription System, 2023).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf

import anyio

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.input_audio import InputAudioStream, has_speech
from vivavoce.errors import LANGUAGE_NOT_SUPPORTED, ProviderError, UnknownLanguageError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item
from vivavoce.session.conversation import user_message
from vivavoce.session.formats import AudioDecoder, bytes_per_ms, in_pieces

log = logging.getLogger(__name__)

STRETCH_MS = 2000
"""milliseconds of audio that are processed at once, before other tasks may run"""
_PAUSE_FACTOR = 8
"""a partial transcript is followed by a pause of this many times the time that it took"""
_RETRY_MS = 250
"""wait before the next attempt if the transcriber was busy"""


class StablePrefix:
    """The stable words of one utterance. Words that were returned are never changed. No I/O."""

    def __init__(self) -> None:
        self.text = ""
        self._last: list[str] = []
        self._is_final = False

    def update(self, transcript: str) -> str:
        """Compare a transcript of all audio so far with the previous one; return the newly stable text."""
        words = transcript.split()
        pairs = zip(self._last, words[:-1], strict=False)
        text = " ".join(word for word, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self._last = words
        return self._extend(text) if not self.text or text.startswith(f"{self.text} ") else ""

    def finish(self, transcript: str) -> str:
        """Process the final transcript; return the rest of it, if it starts with the stable prefix."""
        rest = self._extend(transcript)
        self._is_final = True
        return rest

    def _extend(self, text: str) -> str:
        if self._is_final or not text.startswith(self.text):
            return ""
        delta = text[len(self.text) :]
        self.text = text
        return delta


@dataclass
class PartialTranscripts:
    """The transcript deltas of one turn: `poll` transcribes the turn so far, `stop` cancels that."""

    context: CascadeContext
    input_audio: InputAudioStream
    item_id: str
    start_ms: float
    _prefix: StablePrefix = field(default_factory=StablePrefix)
    _checked_ms: float = field(init=False)
    _due_ms: float = field(init=False)
    _running: anyio.CancelScope | None = None

    def __post_init__(self) -> None:
        self._checked_ms = self.input_audio.now_ms
        self._wait()

    def _wait(self) -> None:
        self._due_ms = self.input_audio.now_ms + self.input_audio.settings.partial_interval_ms

    def poll(self) -> None:
        """Transcribe the turn so far in the background, if that is due."""
        now_ms = self.input_audio.now_ms
        if self._running or now_ms < self._due_ms or not self.input_audio.settings.transcribe:
            return
        is_short = now_ms - self.start_ms <= self.context.limits.partial_transcript_seconds * 1000
        if is_short and self.context.providers.transcriber_queue.supports_partials:
            self._running = anyio.CancelScope()
            self.context.tasks.start_soon(self._run, self._running)

    def stop(self) -> None:
        """Cancel the partial transcription in progress, since the whole turn is transcribed now."""
        if self._running:
            self._running.cancel()

    async def update(self, transcript: str) -> None:
        """Send the newly stable text, given the transcript so far."""
        self._wait()
        await self._send(self._prefix.update(transcript))

    async def finish(self, transcript: str) -> None:
        """Send the rest, given the final transcript."""
        await self._send(self._prefix.finish(transcript))

    async def _run(self, scope: anyio.CancelScope) -> None:
        started_ms = self.input_audio.now_ms
        with scope:
            if self.input_audio.settings.rules or await self._has_new_speech():
                await self._transcribe()
            else:
                self._due_ms = started_ms + self.input_audio.settings.partial_interval_ms
        self._running = None

    async def _has_new_speech(self) -> bool:
        """Check the newest audio for speech: in manual turns nothing else does."""
        newest = self.input_audio.buffer.read(self._checked_ms)
        self._checked_ms = self.input_audio.buffer.end_ms
        return await has_speech(newest, self.context.providers.vad.detector())

    async def _transcribe(self) -> None:
        settings, started = self.input_audio.settings, anyio.current_time()
        try:
            transcript = await self.context.providers.transcriber_queue.transcribe_partial(
                self.input_audio.buffer.read(self.start_ms),
                seconds=self.context.limits.transcription_seconds,
                language=settings.language,
                prompt=settings.prompt,
            )
        except UnknownLanguageError:  # of so few words, that is not certain
            self._wait()
            return
        except ProviderError as error:  # it is sent when the turn is over, if it is still so
            log.debug("%s", error)
            self._due_ms = inf
            return
        if transcript is None:
            self._due_ms = self.input_audio.now_ms + _RETRY_MS
            return
        await self.update(transcript.text)
        took_ms = 1000 * (anyio.current_time() - started)
        self._due_ms = max(self._due_ms, self.input_audio.now_ms + _PAUSE_FACTOR * took_ms)

    async def _send(self, delta: str) -> None:
        if delta and self.input_audio.settings.transcribe:
            event = e.TranscriptionDelta(item_id=self.item_id, content_index=0, delta=delta)
            await self.context.line.send(event)


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
        return self.context.messages()

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
        decoder = AudioDecoder(self.input_audio.settings.format)
        pieces = in_pieces(audio, STRETCH_MS * bytes_per_ms(decoder.format))
        return b"".join([decoder.push(piece) async for piece in pieces])

    async def publish(self, partials: PartialTranscripts, pending: PendingTranscript, seconds: float) -> None:
        """Add a transcript to the conversation, and send it to the client if transcription is on."""
        item_id = partials.item_id
        event: e.TranscriptionCompleted | e.TranscriptionFailed
        if pending.failure:
            self._failures[item_id] = pending.failure
            problem = e.TranscriptionError(type="server_error", message=str(pending.failure))
            if isinstance(pending.failure, UnknownLanguageError):
                kind, message = "invalid_request_error", pending.failure.message
                problem = e.TranscriptionError(type=kind, code=LANGUAGE_NOT_SUPPORTED, message=message)
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
