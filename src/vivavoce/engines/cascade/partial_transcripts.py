"""Live partial transcripts: while somebody speaks, the client is told the words that will stay."""

import logging
from dataclasses import dataclass, field
from math import inf

import anyio

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.input_audio import InputAudioStream, has_speech
from vivavoce.engines.cascade.stable_prefix import StablePrefix
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e

__all__ = ["PartialTranscripts"]

log = logging.getLogger(__name__)

_SHARE = 8
"""A glimpse that took so long is followed by so many times that without one: it takes an eighth of a core."""
_AGAIN_MS = 250
"""When the desk was taken."""


@dataclass
class PartialTranscripts:
    """The words of one turn as they come. Looking is a glimpse at the sound so far; `stop` takes it back."""

    call: CascadeContext
    ear: InputAudioStream
    item_id: str
    since_ms: float
    _partials: StablePrefix = field(default_factory=StablePrefix)
    _looked_ms: float = field(init=False)
    _due_ms: float = field(init=False)
    _looking: anyio.CancelScope | None = None

    def __post_init__(self) -> None:
        self._looked_ms = self.ear.floor.now_ms
        self._due_ms = self._looked_ms + self.ear.hearing.glimpse_ms

    def look(self) -> None:
        """Find out what was said so far, if it is time to."""
        if self._looking or self.ear.floor.now_ms < self._due_ms or not self.ear.hearing.transcribe:
            return
        if self.call.crew.desk.is_live and self._is_short():
            self._looking = anyio.CancelScope()
            self.call.tasks.start_soon(self._look, self._looking)

    def stop(self) -> None:
        """Look no further: the words are found out in another way now."""
        if self._looking:
            self._looking.cancel()

    async def hear(self, words: str) -> None:
        """Tell what is certain, now that these are the words so far."""
        self._due_ms = self.ear.floor.now_ms + self.ear.hearing.glimpse_ms
        await self._tell(self._partials.hear(words))

    async def finish(self, words: str) -> None:
        """Tell the rest: these are all the words."""
        await self._tell(self._partials.finish(words))

    def _is_short(self) -> bool:
        return self.ear.floor.now_ms - self.since_ms <= self.call.limits.partial_transcript_seconds * 1000

    async def _look(self, scope: anyio.CancelScope) -> None:
        began = self.ear.floor.now_ms
        with scope:
            if self.ear.hearing.rules or await self._is_speech():
                await self._glimpse()
            else:
                self._due_ms = began + self.ear.hearing.glimpse_ms
        self._looking = None

    async def _is_speech(self) -> bool:
        """In manual turns nobody has asked yet whether the newest sound is speech."""
        newest = self.ear.tape.since(self._looked_ms)
        self._looked_ms = self.ear.tape.end_ms
        return await has_speech(newest, self.call.crew.vad.detector())

    async def _glimpse(self) -> None:
        hearing, seconds = self.ear.hearing, self.call.limits.transcription_seconds
        began, sound = anyio.current_time(), self.ear.tape.since(self.since_ms)
        try:
            glimpse = await self.call.crew.desk.glimpse(
                sound, seconds=seconds, language=hearing.language, prompt=hearing.prompt
            )
        except ProviderError as error:  # it will be told when the turn is over, if it is still so
            log.debug("%s", error)
            self._due_ms = inf
            return
        if glimpse is None:
            self._due_ms = self.ear.floor.now_ms + _AGAIN_MS
            return
        await self.hear(glimpse.text)
        self._due_ms = max(self._due_ms, self.ear.floor.now_ms + _SHARE * 1000 * (anyio.current_time() - began))

    async def _tell(self, delta: str) -> None:
        if delta and self.ear.hearing.transcribe:
            await self.call.line.send(e.TranscriptionDelta(item_id=self.item_id, content_index=0, delta=delta))
