"""The transcriber's desk: what somebody waits for goes before a glimpse, which nobody waits for."""

from dataclasses import dataclass

import anyio

from vivavoce.errors import ProviderError
from vivavoce.providers.base import SupportsPartials, Transcriber, Transcript

__all__ = ["TranscriberQueue"]


@dataclass
class TranscriberQueue:
    """One transcriber, shared by all conversations."""

    transcriber: Transcriber
    _at_work: int = 0
    _glimpse: anyio.CancelScope | None = None

    @property
    def is_live(self) -> bool:
        """Whether the transcriber may be asked in mid-speech."""
        return isinstance(self.transcriber, SupportsPartials) and self.transcriber.supports_partials

    async def transcribe(
        self, sound: bytes, *, seconds: float, language: str | None = None, prompt: str | None = None
    ) -> Transcript:
        """Ask for what was said. Raises `ProviderError` if that fails, or takes longer than so many seconds."""
        self._at_work += 1
        if self._glimpse:
            self._glimpse.cancel()
        try:
            with anyio.fail_after(seconds):
                return await self.transcriber.transcribe(sound, language=language, prompt=prompt)
        except TimeoutError as error:
            message = f"no answer within {seconds:g} s (limits.transcription_seconds)"
            raise ProviderError("transcriber", message, retryable=True) from error
        finally:
            self._at_work -= 1

    async def glimpse(
        self, sound: bytes, *, seconds: float, language: str | None = None, prompt: str | None = None
    ) -> Transcript | None:
        """Ask for what has been said so far, or return None: the desk is taken, or was wanted meanwhile.

        Raises `ProviderError` if it fails.
        """
        if self._at_work or self._glimpse:
            return None
        with anyio.move_on_after(seconds) as self._glimpse:
            try:
                return await self.transcriber.transcribe(sound, language=language, prompt=prompt)
            finally:
                self._glimpse = None
        return None
