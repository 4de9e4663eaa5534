"""The caller's half of a turn: sound in, changes of the floor out."""

from collections.abc import Callable, Iterator

import anyio.lowlevel

from vivavoce.audio.dtmf import Keypad
from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.cascade.settings import InputProcessing
from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import AudioFormat, Pcm
from vivavoce.providers.base import FRAME_BYTES, FRAME_MS, Denoiser, DenoisingModel, VoiceActivityDetector
from vivavoce.session.formats import Listened, bytes_per_ms
from vivavoce.turn_taking import Change, SpeechStopped, TurnRules, TurnTaking

__all__ = ["AudioBuffer", "InputAudioStream", "has_speech"]

_BYTES_PER_MS = INPUT_RATE * 2 // 1000
_QUIET_MS = 2000
"""How much of a silence is kept: the longest prefix padding, and frames in which speech was only suspected."""
_LEAST_SPEECH_MS = 192


class AudioBuffer:
    """The last of what was heard, found by its time. Times are milliseconds since the session began."""

    def __init__(self) -> None:
        self._sound = bytearray()
        self._begin_ms = 0.0

    @property
    def begin_ms(self) -> float:
        return self._begin_ms

    @property
    def end_ms(self) -> float:
        return self._begin_ms + len(self._sound) / _BYTES_PER_MS

    @property
    def ms(self) -> float:
        """How much there is."""
        return len(self._sound) / _BYTES_PER_MS

    def record(self, sound: bytes) -> None:
        """Add sound at `INPUT_RATE`."""
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
        samples = round((ms - self._begin_ms) * INPUT_RATE / 1000)
        return min(max(0, 2 * samples), len(self._sound))


class InputAudioStream:
    """Cuts a caller's sound into frames, asks whether they are speech, and tells the floor.

    The keys of a telephone are no speech: they are in `pressed`, and the models hear silence instead.
    """

    def __init__(
        self,
        detector: VoiceActivityDetector,
        hearing: InputProcessing,
        *,
        we_speak: Callable[[], bool],
        input_buffer_seconds: float,
        model: DenoisingModel | None = None,
    ) -> None:
        """Listen as `hearing` says; `we_speak` tells whether the caller hears us just now.

        `model` takes the noise out of what is heard, if `hearing` wants that.
        """
        self.hearing = hearing
        self.tape = AudioBuffer()
        self.floor = TurnTaking(hearing.rules or TurnRules())
        self._detector, self._we_speak, self._buffer_ms = detector, we_speak, input_buffer_seconds * 1000
        self._listened, self._keypad = Listened(hearing.format), _keypad(hearing.format)
        self._rest, self.pressed = b"", ""
        self._model = model
        self._denoiser = self._denoiser_for(hearing)

    def listen(self, hearing: InputProcessing) -> None:
        """Listen otherwise from the next sound on."""
        if hearing.rules != self.hearing.rules:
            self.floor.reset(hearing.rules)
            if hearing.rules is None:
                self.tape.record(self._rest)
                self._rest = b""
                self.clear()
        if hearing.format != self.hearing.format:
            self._listened, self._keypad = Listened(hearing.format), _keypad(hearing.format)
        if hearing.noise_reduction != self.hearing.noise_reduction:
            self._denoiser = self._denoiser_for(hearing)
        self.hearing = hearing

    def _denoiser_for(self, hearing: InputProcessing) -> Denoiser | None:
        wanted = hearing.noise_reduction
        return self._model.denoiser(wanted) if self._model and wanted else None

    def clear(self) -> None:
        """Forget what was heard and not yet committed."""
        self.floor.reset()
        self.tape.forget(self.tape.end_ms)

    def record(self, sound: bytes) -> None:
        """Take in sound of the session's format in manual turns: nobody asks whether it is speech."""
        if self.tape.ms + len(sound) / bytes_per_ms(self.hearing.format) > self._buffer_ms:
            raise ProtocolError(
                f"The input buffer is full ({self._buffer_ms / 1000:g} s, limits.input_buffer_seconds): "
                "commit it or clear it.",
                code="input_audio_buffer_full",
                param="audio",
            )
        heard = self._listened.push(sound)
        frames = (heard[at : at + FRAME_BYTES] for at in range(0, len(heard), FRAME_BYTES))
        self.tape.record(b"".join(map(self._cleaned, frames)))
        self.floor.now_ms = self.tape.end_ms

    def hear(self, sound: bytes) -> Iterator[Change | None]:
        """Take in sound of the session's format; yield after every frame what it changed, often nothing."""
        heard = self._rest + self._listened.push(sound)
        whole = len(heard) // FRAME_BYTES * FRAME_BYTES
        self._rest = heard[whole:]
        for at in range(0, whole, FRAME_BYTES):
            frame = self._cleaned(heard[at : at + FRAME_BYTES])
            self.tape.record(frame)
            probability = self._detector.probability(frame)
            yield self.floor.hear(probability, FRAME_MS, we_speak=self._we_speak())
            if not self.floor.speaking:
                self.tape.forget(self.tape.end_ms - _QUIET_MS)
            elif self.tape.ms > self._buffer_ms:
                self.floor.reset()
                yield SpeechStopped(self.floor.now_ms)

    def _cleaned(self, frame: bytes) -> bytes:
        """Return a frame, or less, as the models are to hear it."""
        if self._keypad:
            self.pressed += self._keypad.push(frame)
            frame = bytes(len(frame)) if self._keypad.held else frame
        return self._denoiser.denoise(frame) if self._denoiser else frame


def _keypad(format: AudioFormat) -> Keypad | None:
    """Whoever sends a telephone's sound may have a telephone's keys."""
    return None if isinstance(format, Pcm) else Keypad(INPUT_RATE)


async def has_speech(sound: bytes, detector: VoiceActivityDetector) -> bool:
    """Say whether sound at `INPUT_RATE` has a run of speech long enough (192 ms) to be words.

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
