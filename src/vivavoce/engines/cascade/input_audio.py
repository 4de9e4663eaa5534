"""Input audio: decoding, framing, buffering, noise reduction, and turn-taking."""

from collections.abc import Callable, Iterator

import anyio.lowlevel

from vivavoce.audio.dtmf import DtmfDetector
from vivavoce.audio.rates import INPUT_RATE
from vivavoce.engines.cascade.leveled_detector import LeveledDetector
from vivavoce.engines.cascade.settings import InputProcessing
from vivavoce.errors import ProtocolError
from vivavoce.protocol.session import Pcm
from vivavoce.providers.base import FRAME_BYTES, FRAME_MS, Denoiser, DenoisingModel, VoiceActivityDetector
from vivavoce.session.formats import AudioDecoder, bytes_per_ms
from vivavoce.turn_taking import Change, SpeechStopped, TurnRules, TurnTaking

_BYTES_PER_MS = INPUT_RATE * 2 // 1000
_QUIET_MS = 2000
"""How much silence is kept: the longest prefix padding, plus frames in which speech was only suspected."""
_MIN_SPEECH_MS = 192


class AudioBuffer:
    """The newest audio, PCM at `INPUT_RATE`, by time. Times are milliseconds since the session began."""

    def __init__(self) -> None:
        self._audio = bytearray()
        self.start_ms = 0.0

    @property
    def end_ms(self) -> float:
        return self.start_ms + len(self._audio) / _BYTES_PER_MS

    @property
    def ms(self) -> float:
        """The length in milliseconds."""
        return len(self._audio) / _BYTES_PER_MS

    def append(self, audio: bytes) -> None:
        """Append audio at the end."""
        self._audio += audio

    def read(self, start_ms: float) -> bytes:
        """Return the audio from `start_ms` on, as far as it is kept."""
        return bytes(self._audio[self._index(start_ms) :])

    def pop_all(self) -> bytes:
        """Remove the audio, and return it; the end is where it began."""
        audio = bytes(self._audio)
        self._audio.clear()
        return audio

    def drop_before(self, ms: float) -> None:
        """Drop the audio before this time."""
        cut = self._index(ms)
        del self._audio[:cut]
        self.start_ms += cut / _BYTES_PER_MS

    def _index(self, ms: float) -> int:
        samples = round((ms - self.start_ms) * INPUT_RATE / 1000)
        return min(max(0, 2 * samples), len(self._audio))


class InputAudioStream:
    """Splits input audio into frames, gets their speech probability, and advances the turn-taking.

    Telephone keys are not speech: they are collected in `dtmf_keys`, and the models get silence instead.
    """

    def __init__(
        self,
        detector: VoiceActivityDetector,
        settings: InputProcessing,
        *,
        is_audible: Callable[[], bool],
        is_asking: Callable[[], bool],
        input_buffer_seconds: float,
        denoising_model: DenoisingModel | None = None,
    ) -> None:
        """Process audio by the `settings`; `is_audible` returns whether a response is being played,
        `is_asking` whether it is the end of a question.

        `denoising_model` removes noise, if the settings request that.
        """
        self.settings = settings
        self.buffer = AudioBuffer()
        self.turn_taking = TurnTaking(settings.rules or TurnRules())
        self.dtmf_keys = ""
        self._detector, self._is_audible, self._is_asking = LeveledDetector(detector), is_audible, is_asking
        self._max_buffer_ms = input_buffer_seconds * 1000
        self._denoising_model = denoising_model
        self._rest = b""
        self._use_format(settings)
        self._denoiser = self._create_denoiser(settings)

    @property
    def now_ms(self) -> float:
        """Milliseconds of input audio since the session began."""
        return self.turn_taking.now_ms

    def configure(self, settings: InputProcessing, *, keep_from_ms: float | None = None) -> None:
        """Apply other settings.

        If turns become manual, only audio from `keep_from_ms` on stays uncommitted. If they were, speech is
        detected in what is uncommitted when the next audio comes.
        """
        if settings.rules != self.settings.rules:
            if settings.rules is None:
                self.turn_taking.reset()
                self.buffer.append(self._rest)
                self._rest = b""
                self.buffer.drop_before(self.buffer.end_ms if keep_from_ms is None else keep_from_ms)
            else:
                self.turn_taking.use(settings.rules)
            if self.settings.rules is None:
                self._rest = self.buffer.pop_all()
                self.turn_taking.now_ms = self.buffer.end_ms
        if settings.format != self.settings.format:
            self._use_format(settings)
        if settings.noise_reduction != self.settings.noise_reduction:
            self._denoiser = self._create_denoiser(settings)
        self.settings = settings

    def _use_format(self, settings: InputProcessing) -> None:
        self._decoder = AudioDecoder(settings.format)
        # telephones, and gateways to them, send G.711: only there can keys be pressed
        self._dtmf_detector = None if isinstance(settings.format, Pcm) else DtmfDetector(INPUT_RATE)

    def _create_denoiser(self, settings: InputProcessing) -> Denoiser | None:
        model, reduction = self._denoising_model, settings.noise_reduction
        return model.denoiser(reduction) if model and reduction else None

    def clear(self) -> None:
        """Drop the uncommitted audio."""
        self.turn_taking.reset()
        self.buffer.drop_before(self.buffer.end_ms)

    def append(self, audio: bytes) -> None:
        """Append audio in the session's format in manual turns, without speech detection.

        Raises `ProtocolError` if the buffer is full.
        """
        if self.buffer.ms + len(audio) / bytes_per_ms(self.settings.format) > self._max_buffer_ms:
            raise ProtocolError(
                f"The input buffer is full ({self._max_buffer_ms / 1000:g} s, limits.input_buffer_seconds): "
                "commit it or clear it.",
                code="input_audio_buffer_full",
                param="audio",
            )
        pcm = self._decoder.push(audio)
        frames = (pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES))
        self.buffer.append(b"".join(map(self._clean, frames)))
        self.turn_taking.now_ms = self.buffer.end_ms

    def process(self, audio: bytes) -> Iterator[Change | None]:
        """Append audio in the session's format; yield the change after each frame, which is mostly None."""
        pcm = self._rest + self._decoder.push(audio)
        whole = len(pcm) // FRAME_BYTES * FRAME_BYTES
        self._rest = pcm[whole:]
        for at in range(0, whole, FRAME_BYTES):
            frame = self._clean(pcm[at : at + FRAME_BYTES])
            self.buffer.append(frame)
            audible = self._is_audible()
            self._detector.adapts = not audible
            probability = self._detector.probability(frame)
            asks = audible and self._is_asking()
            yield self.turn_taking.on_frame(
                probability, FRAME_MS, assistant_speaks=audible, assistant_asks=asks
            )
            if not self.turn_taking.speaking:
                self.buffer.drop_before(self.buffer.end_ms - _QUIET_MS)
            elif self.buffer.ms > self._max_buffer_ms:
                self.turn_taking.reset()
                yield SpeechStopped(self.turn_taking.now_ms)

    def _clean(self, frame: bytes) -> bytes:
        """Return a frame, or part of one, without telephone keys and noise."""
        if self._dtmf_detector:
            self.dtmf_keys += self._dtmf_detector.push(frame)
            frame = bytes(len(frame)) if self._dtmf_detector.held else frame
        return self._denoiser.denoise(frame) if self._denoiser else frame


async def has_speech(pcm: bytes, detector: VoiceActivityDetector) -> bool:
    """Return whether PCM at `INPUT_RATE` has a run of speech long enough (192 ms) to contain words.

    Transcribers invent words for noise and silence, so they are only called if this is true.
    """
    run, leveled = 0, LeveledDetector(detector)
    for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        run = run + FRAME_MS if leveled.probability(pcm[at : at + FRAME_BYTES]) >= 0.5 else 0
        if run >= _MIN_SPEECH_MS:
            return True
        if at // FRAME_BYTES % 64 == 63:
            await anyio.lowlevel.checkpoint()
    return False
