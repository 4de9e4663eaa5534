"""Speech detection at any level: quiet audio is amplified for the detector."""

from vivavoce.providers.base import VoiceActivityDetector

SPEECH = 0.5
TARGET = 0.16
"""The peak, in fractions of full scale, to which audio is amplified: -16 dBFS."""
MAX_GAIN = 50.0
"""34 dB. So speech with peaks of -50 dBFS is detected like that of a near microphone."""
DECAY = 0.98
"""Per frame of speech. So the level halves in one second, if somebody goes on more quietly."""
FOLLOW = 0.2
"""Per frame without speech: how fast a constant offset of the microphone is learnt."""


class LeveledDetector:
    """Wraps the detector of one conversation, and amplifies by the level of the speech so far.

    Before any speech, each frame is amplified by its own level: noise remains noise, and the first word counts.
    Afterwards, only what is about as loud as the speech is detected: not a television in the background. In a
    recording, where everybody counts, it goes on as in the beginning.
    """

    def __init__(self, detector: VoiceActivityDetector, *, is_recording: bool = False) -> None:
        self._detector, self._is_recording = detector, is_recording
        self._level = self._offset = 0.0
        self.adapts = True
        """False while a response is played: what may be its echo is neither amplified on its own, nor counts"""

    def probability(self, frame: bytes) -> float:
        """Return the probability (0 to 1) that a frame of `FRAME_BYTES` is speech."""
        import numpy as np

        samples = np.frombuffer(frame, "<i2")
        high, low = int(samples.max()), int(samples.min())
        peak = max(high - self._offset, self._offset - low) / 32768
        level = max(peak, self._level) if self.adapts or self._level else 1.0
        gain = min(MAX_GAIN, TARGET / max(level, 1e-9))
        if gain > 1 and peak:  # of a constant nothing is left to amplify
            frame = np.rint((samples - np.float32(self._offset)) * np.float32(gain)).astype("<i2").tobytes()
        probability = self._detector.probability(frame)
        if self.adapts and probability >= SPEECH and not self._is_recording:
            self._level = max(peak, self._level * DECAY)
        if probability < SPEECH:
            self._offset += FOLLOW * ((high + low) / 2 - self._offset)
        return probability
