"""A store of the audio of a conversation's items, limited in seconds."""

from dataclasses import dataclass, field
from math import inf

from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import Resampler
from vivavoce.protocol.session import AudioFormat
from vivavoce.session.formats import AudioEncoder, bytes_per_ms, in_pieces


@dataclass
class _Stored:
    """The audio of one item: in `format`, or (`as_model_input`) as PCM at `INPUT_RATE`, encoded when read."""

    format: AudioFormat
    as_model_input: bool = False
    audio: bytearray = field(default_factory=bytearray)
    end_ms: float = inf
    encoded: bytes | None = None
    """the audio in `format`, once it was read"""

    @property
    def bytes_per_ms(self) -> int:
        return 2 * INPUT_RATE // 1000 if self.as_model_input else bytes_per_ms(self.format)

    @property
    def ms(self) -> float:
        return len(self.audio) / self.bytes_per_ms


class ItemAudio:
    """Keeps the newest `seconds` of audio; when full, the audio of the oldest items is dropped first.

    Of an item that is longer than that, nothing is kept, or with `keep_beginning` its beginning.
    """

    def __init__(self, seconds: float, *, keep_beginning: bool = False) -> None:
        self._max_ms, self._keep_beginning = seconds * 1000, keep_beginning
        self.ms = 0.0
        """milliseconds of audio that are kept"""
        self._items: dict[str, _Stored] = {}

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def open(self, item_id: str, format: AudioFormat) -> None:
        """Start to store an item whose audio follows in this format."""
        self.delete(item_id)
        self._items[item_id] = _Stored(format)

    def append(self, item_id: str, audio: bytes) -> None:
        """Append audio to an item; ignored if the item is not open or was dropped."""
        stored = self._items.get(item_id)
        if stored is None:
            return
        if self._keep_beginning:
            audio = audio[: max(0, int((self._max_ms - stored.ms) * stored.bytes_per_ms))]
        self._change(stored, audio)
        while self.ms > self._max_ms:
            self.delete(next(one for one in self._items if not self._keep_beginning or one != item_id))

    def store_input(self, item_id: str, pcm: bytes, format: AudioFormat) -> None:
        """Store a caller's audio, given as PCM at `INPUT_RATE`; `read` returns it in the session's `format`."""
        self.delete(item_id)
        self._items[item_id] = _Stored(format, as_model_input=True)
        self.append(item_id, pcm)

    def truncate(self, item_id: str, ms: float) -> None:
        """Keep only the first `ms` milliseconds of an item, now and after further appends."""
        if stored := self._items.get(item_id):
            stored.end_ms = min(stored.end_ms, ms)
            self._change(stored)

    def delete(self, item_id: str) -> None:
        """Delete the audio of an item."""
        if stored := self._items.pop(item_id, None):
            self.ms -= stored.ms

    def _change(self, stored: _Stored, more: bytes = b"") -> None:
        before, stored.encoded = stored.ms, None
        stored.audio += more
        if stored.end_ms < stored.ms:
            del stored.audio[round(stored.end_ms) * stored.bytes_per_ms :]
        self.ms += stored.ms - before

    def stored(self, item_id: str) -> bytes:
        """Return the stored audio of an item, as it was appended; empty if there is none."""
        stored = self._items.get(item_id)
        return bytes(stored.audio) if stored else b""

    async def read(self, item_id: str) -> bytes | None:
        """Return the audio of an item in its format, or None if none is stored.

        Repeated reads return the same object, so that several queued events share its memory.
        """
        stored = self._items.get(item_id)
        if stored is None or not stored.audio:
            return None
        if stored.encoded is None:
            audio = bytes(stored.audio)
            stored.encoded = await _encode(audio, stored.format) if stored.as_model_input else audio
        return stored.encoded if item_id in self._items else None  # it may have been deleted meanwhile


async def _encode(pcm: bytes, format: AudioFormat) -> bytes:
    """Encode PCM at `INPUT_RATE` in a client's format, second by second."""
    resampler, encoder = Resampler(INPUT_RATE, OUTPUT_RATE), AudioEncoder(format)
    seconds = in_pieces(pcm, 2 * INPUT_RATE)
    return b"".join([encoder.push(resampler.push(second)) async for second in seconds])
