"""The caller's half of a turn: sound in, changes of the floor out."""

from collections.abc import Callable, Iterator

import anyio.lowlevel

from vivavoce.audio.resample import Resampler
from vivavoce.engines.manner import Hearing
from vivavoce.errors import ProtocolError
from vivavoce.floor import Change, Floor, SpeechStopped, TurnRules
from vivavoce.providers import FRAME_BYTES, FRAME_MS, HEARING_RATE, SPEAKING_RATE, VoiceActivityDetector

__all__ = ["Ear", "Tape", "has_speech"]

_BYTES_PER_MS = HEARING_RATE * 2 // 1000
_QUIET_MS = 2000
"""How much of a silence is kept: the longest prefix padding, and frames in which speech was only suspected."""
_LEAST_SPEECH_MS = 192


class Tape:
    """The last of what was heard, found by its time. Times are milliseconds since the session began."""

    def __init__(self) -> None:
        self._sound = bytearray()
        self._begin_ms = 0.0

    @property
    def end_ms(self) -> float:
        return self._begin_ms + len(self._sound) / _BYTES_PER_MS

    @property
    def ms(self) -> float:
        """How much there is."""
        return len(self._sound) / _BYTES_PER_MS

    def record(self, sound: bytes) -> None:
        """Add sound at `HEARING_RATE`."""
        self._sound += sound

    def since(self, ms: float, until_ms: float | None = None) -> bytes:
        """Return the sound from one time to another, as far as it is kept."""
        begin, end = self._at(ms), len(self._sound) if until_ms is None else self._at(until_ms)
        return bytes(self._sound[begin:end])

    def forget(self, before_ms: float) -> None:
        """Keep only what came after."""
        cut = self._at(before_ms)
        del self._sound[:cut]
        self._begin_ms += cut / _BYTES_PER_MS

    def _at(self, ms: float) -> int:
        samples = round((ms - self._begin_ms) * HEARING_RATE / 1000)
        return min(max(0, 2 * samples), len(self._sound))


class Ear:
    """Cuts a caller's sound into frames, asks whether they are speech, and tells the floor."""

    def __init__(
        self,
        detector: VoiceActivityDetector,
        hearing: Hearing,
        *,
        we_speak: Callable[[], bool],
        buffer_seconds: float,
    ) -> None:
        """Listen as `hearing` says; `we_speak` tells whether the caller hears us just now."""
        self.hearing = hearing
        self.tape = Tape()
        self.floor = Floor(hearing.rules or TurnRules())
        self._detector, self._we_speak, self._buffer_ms = detector, we_speak, buffer_seconds * 1000
        self._resampler = Resampler(SPEAKING_RATE, HEARING_RATE)
        self._rest = b""

    def listen(self, hearing: Hearing) -> None:
        """Listen otherwise from now on."""
        if hearing.rules != self.hearing.rules:
            self.floor.reset(hearing.rules)
            if hearing.rules is None:
                self.clear()
        self.hearing = hearing

    def clear(self) -> None:
        """Forget what was heard and not yet committed."""
        self.floor.reset()
        self.tape.forget(self.tape.end_ms)

    def record(self, sound: bytes) -> None:
        """Take in sound at `SPEAKING_RATE` in manual turns: nobody asks whether it is speech."""
        if self.tape.ms > self._buffer_ms:
            raise ProtocolError(
                f"The input buffer is full ({self._buffer_ms / 1000:g} s, limits.buffer_seconds): "
                "commit it or clear it.",
                code="input_audio_buffer_full",
                param="audio",
            )
        self.tape.record(self._resampler.push(sound))
        self.floor.now_ms = self.tape.end_ms

    def hear(self, sound: bytes) -> Iterator[Change | None]:
        """Take in sound at `SPEAKING_RATE`; yield after every frame what it changed, often nothing."""
        heard = self._rest + self._resampler.push(sound)
        whole = len(heard) // FRAME_BYTES * FRAME_BYTES
        self._rest = heard[whole:]
        for at in range(0, whole, FRAME_BYTES):
            frame = heard[at : at + FRAME_BYTES]
            self.tape.record(frame)
            probability = self._detector.probability(frame)
            yield self.floor.hear(probability, FRAME_MS, we_speak=self._we_speak())
            if not self.floor.speaking:
                self.tape.forget(self.tape.end_ms - _QUIET_MS)
            elif self.tape.ms > self._buffer_ms:
                self.floor.reset()
                yield SpeechStopped(self.floor.now_ms)


async def has_speech(sound: bytes, detector: VoiceActivityDetector) -> bool:
    """Say whether sound at `HEARING_RATE` has a run of speech long enough (192 ms) to be words.

    Transcribers invent words for noise and silence; they are only asked where this is true.
    """
    run = 0
    for at in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES):
        run = run + FRAME_MS if detector.probability(sound[at : at + FRAME_BYTES]) >= 0.5 else 0
        if run >= _LEAST_SPEECH_MS:
            return True
        if at // FRAME_BYTES % 64 == 63:
            await anyio.lowlevel.checkpoint()
    return False
