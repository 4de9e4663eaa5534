"""The spoken answer to an uploaded question: its words and its sound, encoded while they are made."""

from collections.abc import Sequence
from math import inf

import anyio
import anyio.to_thread

from vivavoce.audio.encode import Encoder, encoder
from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.transports.upload import NO_SOUND, AnswerEvent, UploadedQuestion
from vivavoce.web.errors import needs_pyav


class Encoders:
    """Opens the encoders of an endpoint, which run in threads, two at once."""

    def __init__(self) -> None:
        self.threads = anyio.CapacityLimiter(2)

    async def open(self, name: str, param: str = "format") -> Encoder:
        """Return an encoder for a format that `param` names. Raises `HttpError` if a package is missing."""
        try:
            return await anyio.to_thread.run_sync(encoder, name, OUTPUT_RATE, limiter=self.threads)
        except ImportError as error:
            raise needs_pyav(f"{param} {name}", param) from error


class SpokenAnswer:
    """What is known so far of the answer to a question. `times` are seconds since it was asked, by stage."""

    def __init__(self, question: UploadedQuestion, encoding: Encoder, threads: anyio.CapacityLimiter) -> None:
        self.question = question
        self.transcript: str | None = None
        """None while it is not known; empty if it never will be"""
        self.text = ""
        self.seconds = 0.0
        """of sound"""
        self.times: dict[str, float] = {}
        self._encoding, self._threads = encoding, threads
        self._encoded = bytearray()
        self._item_id = ""
        self._began = anyio.current_time()

    @property
    def knows_question(self) -> bool:
        """Whether the question is known in words."""
        return self.transcript is not None or isinstance(self.question.content, str)

    async def receive(self, until: float = inf) -> Sequence[AnswerEvent] | None:
        """Return the events that have come since; none when the answer is complete.

        Returns None if there are none `until` that time of the event loop's clock.
        """
        events: Sequence[AnswerEvent] | None = None
        with anyio.CancelScope(deadline=until):
            events = await self.question.receive()
        if events:
            await self._encode(b"".join(map(self._on_event, events)))
        elif events is not None:
            await self._finish()
        return events

    def pop(self) -> bytes:
        """Return the next bytes of the file."""
        taken, self._encoded = bytes(self._encoded), bytearray()
        return taken

    @property
    def size(self) -> int:
        """How many bytes `take` would return."""
        return len(self._encoded)

    def _on_event(self, event: AnswerEvent) -> bytes:
        """Process an event, and return its audio."""
        match event:
            case e.TranscriptionCompleted(transcript=words):
                self.transcript = words.strip()
                self._note("transcript")
            case e.TranscriptionFailed():
                self.transcript = ""
            case e.ResponseOutputAudioDelta(delta=audio):
                self.seconds += len(audio) / (2 * OUTPUT_RATE)
                self._note("first_sound")
                return audio
            case e.ResponseOutputAudioTranscriptDelta(delta=words) | e.ResponseOutputTextDelta(delta=words):
                self.text += words if event.item_id == self._item_id else f" {words}"
                self._item_id = event.item_id
                self._note("first_word")
        return b""

    async def _encode(self, audio: bytes) -> None:
        if audio:
            self._encoded += await anyio.to_thread.run_sync(self._encoding.push, audio, limiter=self._threads)

    async def _finish(self) -> None:
        if self.question.failure is None and not self.seconds:
            self.question.failure = ProtocolError("The answer has no sound.", code=NO_SOUND)
        if self.question.failure is None:
            self._encoded += await anyio.to_thread.run_sync(self._encoding.finish, limiter=self._threads)
            self._note("done")

    def _note(self, stage: str) -> None:
        self.times.setdefault(stage, round(anyio.current_time() - self._began, 3))
