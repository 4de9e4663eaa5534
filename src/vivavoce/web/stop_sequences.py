"""Where an answer is to end: at the first of some texts, wherever it is cut into pieces. Pure."""

from collections.abc import Sequence

__all__ = ["StopSequences"]


class StopSequences:
    """Lets text through up to the first of `texts`, which is no part of it, nor is what comes after."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text for text in texts if text]
        self._held = ""
        self.met = False

    def take(self, text: str) -> str:
        """Return as much as is certain; what may be the beginning of a stop is held back."""
        if self.met:
            return ""
        text = self._held + text
        if found := [at for stop in self._texts if (at := text.find(stop)) >= 0]:
            self._held, self.met = "", True
            return text[: min(found)]
        held = max((_begun(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """Return what was held back: it was no stop."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text are the beginning of a stop."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
