"""Whisper's language head: which of 99 languages is spoken, from five seconds, in some 70 ms of one core.

OpenAI's Whisper base predicts the language before the first word (Radford et al., 2022, section 2.3). Its
encoder gets five seconds instead of thirty, for which CTranslate2 needs no padding. That names the language of
read speech as reliably, but takes some English for another language: ask it only where there is doubt.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from anyio import CapacityLimiter, to_thread

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.errors import ProviderError
from vivavoce.providers.local.log_mel import log_mel

if TYPE_CHECKING:
    from vivavoce.audio.samples import Floats

MODEL = "stt/whisper-base"
WINDOW = 48 * INPUT_RATE // 10


class _Head(Protocol):
    def detect_language(self, features: object) -> list[list[tuple[str, float]]]: ...


class WhisperLanguageHead:
    """Loaded when it is first asked, since most callers never need it; it then keeps 140 MB of memory.

    One utterance is judged at a time; others wait.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._folder, self._threads = folder, threads
        self._head: _Head | None = None
        self._one_at_a_time = CapacityLimiter(1)

    async def identify(self, audio: bytes) -> Mapping[str, float]:
        """Return the probability of each language for the first 4.8 s of `audio`, 16 kHz PCM.

        Raises `ProviderError` if the model cannot be loaded.
        """
        return await to_thread.run_sync(self._identify, audio, limiter=self._one_at_a_time)

    def _identify(self, audio: bytes) -> Mapping[str, float]:
        import numpy as np

        from vivavoce.audio.samples import normalized, samples

        if self._head is None:
            self._head = self._load()
        from ctranslate2 import StorageView

        sound: Floats = np.zeros(WINDOW, np.float32)
        first = normalized(samples(audio[: 2 * WINDOW]))
        sound[: len(first)] = first
        (ranked,) = self._head.detect_language(StorageView.from_array(log_mel(sound)[None]))
        return {token.strip("<|>"): probability for token, probability in ranked}

    def _load(self) -> _Head:
        try:
            from ctranslate2.models import Whisper

            head: _Head = Whisper(str(self._folder), compute_type="int8", intra_threads=self._threads)
        except (ImportError, OSError, RuntimeError) as error:
            message = f"{self._folder} cannot be opened by CTranslate2 ({error}); try: viva models verify"
            raise ProviderError("whisper", message) from error
        return head
