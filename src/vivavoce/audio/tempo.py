"""Faster or slower playback at the same pitch, by FFmpeg's filter `atempo`. Needs PyAV."""

from fractions import Fraction
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from av import AudioFrame


class Tempo:
    """Changes the tempo of 16-bit mono PCM: at 2.0 it takes half the time. `tempo` is at least 0.5."""

    def __init__(self, rate: int, tempo: float) -> None:
        from av.filter import Graph

        self._rate, self._pushed = rate, 0
        self._graph = Graph()
        source = self._graph.add_abuffer(
            format="s16", sample_rate=rate, layout="mono", time_base=Fraction(1, rate)
        )
        chain = [source, self._graph.add("atempo", str(tempo)), self._graph.add("abuffersink")]
        self._graph.link_nodes(*chain).configure()

    def push(self, audio: bytes) -> bytes:
        """Append audio; return what is ready."""
        from av import AudioFrame

        frame = AudioFrame(format="s16", layout="mono", samples=len(audio) // 2)
        frame.planes[0].update(audio.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate, frame.pts = self._rate, self._pushed
        self._pushed += len(audio) // 2
        self._graph.push(frame)
        return self._read()

    def flush(self) -> bytes:
        """Return the rest at the end."""
        self._graph.push(None)
        return self._read()

    def _read(self) -> bytes:
        ready = b""
        while True:
            try:
                frame = cast("AudioFrame", self._graph.pull())
            except (BlockingIOError, EOFError):
                return ready
            ready += bytes(frame.planes[0])[: frame.samples * 2]
