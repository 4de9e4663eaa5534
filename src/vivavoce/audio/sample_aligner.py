"""Whole samples of a stream of PCM, which a network may cut anywhere."""


class SampleAligner:
    """Keeps half a sample of 16-bit PCM until the rest of it comes."""

    def __init__(self) -> None:
        self._half = b""

    def push(self, audio: bytes) -> bytes:
        """Append bytes; return the samples that are whole now."""
        audio = self._half + audio
        size = len(audio) // 2 * 2
        self._half = audio[size:]
        return audio[:size]

    def push_message(self, audio: bytes) -> bytes:
        """Append a message. Half a sample waits for an odd one only, or it made noise of all that follow."""
        if len(audio) % 2 == 0:
            self._half = b""
        return self.push(audio)
