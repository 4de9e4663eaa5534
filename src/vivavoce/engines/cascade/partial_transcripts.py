"""Partial transcripts: while the caller speaks, the client is sent the words that will not change any more.

The last words of a partial transcript are unreliable, because the transcriber lacks what follows. Therefore
only the common prefix of two consecutive transcripts is sent, and never the newest word (local agreement:
Macháček et al., Turning Whisper into Real-Time Transcription System, 2023).
"""

import logging
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf

import anyio

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.input_audio import InputAudioStream, has_speech
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e

log = logging.getLogger(__name__)

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
