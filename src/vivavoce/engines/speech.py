"""Speech outside conversations: transcription of recordings, and synthesis of texts."""

import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.cascade.context import Providers
from vivavoce.engines.cascade.leveled_detector import LeveledDetector
from vivavoce.engines.cascade.response_task import silence
from vivavoce.errors import UnknownLanguageError
from vivavoce.limits import Limits
from vivavoce.providers.base import FRAME_BYTES, FRAME_MS, Transcript
from vivavoce.text.sentences import Segmenter, pause_after

log = logging.getLogger(__name__)

SPEECH = 0.5
PAUSE = 800 // FRAME_MS
MARGIN = 256 // FRAME_MS
TOGETHER = 2000 // FRAME_MS
LEVELS = 4
"""Utterances are as loud as each other within this factor: 12 dB."""
LONGEST = 15_000 // FRAME_MS
"""Transcribers are trained on utterances: longer speech is cut, if necessary where it is least like speech."""


@dataclass(frozen=True)
class Segment:
    """A part of a recording, in seconds since it began. `speech` is the mean probability of speech in it."""

    start: float
    end: float
    speech: float
    transcript: Transcript


@dataclass(frozen=True)
class Speech:
    """Transcribes and synthesizes with the providers that conversations use."""

    providers: Providers
    limits: Limits
    _threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))

    async def transcribe(
        self,
        pcm: bytes,
        *,
        language: str | None = None,
        prompt: str | None = None,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> AsyncGenerator[Segment, None]:
        """Yield the parts of PCM at `INPUT_RATE` that have words, as they are transcribed.

        `options` are further arguments that the transcriber supports. Raises `ProviderError` when it fails or
        takes too long, and at the end `UnknownLanguageError` if it does not know the language of most of them.
        """
        unknown: UnknownLanguageError | None = None
        balance = 0
        queue, seconds = self.providers.transcriber_queue, self.limits.transcription_seconds
        probabilities, peaks = await anyio.to_thread.run_sync(self._detect_speech, pcm, limiter=self._threads)
        for begin, end in stretches(probabilities, peaks):
            part = pcm[begin * FRAME_BYTES : end * FRAME_BYTES]
            try:
                transcript = await queue.transcribe(
                    part, seconds=seconds, language=language, prompt=prompt, options=options
                )
            except UnknownLanguageError as error:
                unknown, balance = error, balance - len(part)
                log.info("%s %.1f s of a recording are left out.", error, len(part) / 2 / INPUT_RATE)
                continue
            if transcript.text:
                balance += len(part)
                start = begin * FRAME_MS / 1000
                mean = sum(probabilities[begin:end]) / (end - begin)
                yield Segment(start, start + len(part) / 2 / INPUT_RATE, mean, transcript)
        if unknown and balance < 0:
            raise unknown

    async def synthesize(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncGenerator[bytes, None]:
        """Yield `text` as PCM at `OUTPUT_RATE`, sentence by sentence; nothing if it has no words.

        Closing the iterator stops the synthesizer. Raises `ProviderError` if it fails or takes too long.
        """
        segmenter, pause = Segmenter(begun=True), b""
        pushed = segmenter.push(text)
        while sentence := next(pushed, None) or next(segmenter.flush(), None):
            words = sentence.spoken.words
            if not words:
                await checkpoint()
                continue
            audio = self.providers.synthesize(words, self.limits, voice=voice, speed=speed)
            async with aclosing(audio) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, bytes):
                        yield pause + chunk
                        pause = b""
            pause = silence(pause_after(words) / speed)

    def _detect_speech(self, pcm: bytes) -> tuple[Sequence[float], Sequence[int]]:
        """Return the probability of speech in each frame, and its peak."""
        import numpy as np

        vad = LeveledDetector(self.providers.vad.detector(), is_recording=True)
        pcm += bytes(-len(pcm) % FRAME_BYTES)
        starts = range(0, len(pcm), FRAME_BYTES)
        frames = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).reshape(-1, FRAME_BYTES // 2)
        return [vad.probability(pcm[at : at + FRAME_BYTES]) for at in starts], frames.max(axis=1).tolist()


def stretches(probabilities: Sequence[float], peaks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of frames that contain speech, as (start, end), from each frame's probability and peak.

    Utterances with a short pause between them are joined while they are no longer than `LONGEST`, and about as
    loud: transcribers bring their audio to one level.
    """
    part: tuple[int, int] | None = None
    for begin, end in _utterances(probabilities):
        is_near = part and begin - part[1] < TOGETHER and end - part[0] <= LONGEST
        if part and is_near and _are_alike(max(peaks[slice(*part)]), max(peaks[begin:end])):
            part = part[0], end
            continue
        if part:
            yield part
        part = begin, end
    if part:
        yield part


def _are_alike(peak: int, other: int) -> bool:
    return max(peak, other) <= LEVELS * min(peak, other)


def _utterances(probabilities: Sequence[float]) -> Iterator[tuple[int, int]]:
    begin, last = None, 0
    for at, probability in enumerate(probabilities):
        if probability >= SPEECH:
            begin, last = at if begin is None else begin, at
        if begin is None:
            continue
        if at - last >= PAUSE:
            yield max(0, begin - MARGIN), last + MARGIN
            begin = None
        elif at - begin >= LONGEST:
            cut = min(range(at - LONGEST // 4, at + 1), key=probabilities.__getitem__)
            yield max(0, begin - MARGIN), cut
            begin = cut
    if begin is not None:
        yield max(0, begin - MARGIN), min(last + MARGIN, len(probabilities))
