"""What may be told of an utterance before it is over: the words that will not change any more. Pure.

A transcriber that is asked in mid-speech is unsure about the last words: it has not heard how they go on. So
only that is told about which two transcripts in a row agree, from the first word on, and never the newest word
(local agreement: Macháček et al., Turning Whisper into Real-Time Transcription System, 2023).
"""

from itertools import takewhile

__all__ = ["StablePrefix"]


class StablePrefix:
    """The words of one utterance. What was told is never taken back."""

    def __init__(self) -> None:
        self.told = ""
        self._before: list[str] = []
        self._is_whole = False

    def hear(self, transcript: str) -> str:
        """Take in a transcript of all that was said so far; return what can be told now, often nothing."""
        words = transcript.split()
        sure = _beginning(self._before, words[:-1])
        self._before = words
        text = " ".join(sure)
        return self._tell(text) if not self.told or text.startswith(f"{self.told} ") else ""

    def finish(self, transcript: str) -> str:
        """Take in the transcript of all of it; return what is left to tell, if it goes on as told."""
        rest = self._tell(transcript)
        self._is_whole = True
        return rest

    def _tell(self, text: str) -> str:
        if self._is_whole or not text.startswith(self.told):
            return ""
        more = text[len(self.told) :]
        self.told = text
        return more


def _beginning(one: list[str], other: list[str]) -> list[str]:
    """Return the words with which both begin."""
    return [word for word, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]
