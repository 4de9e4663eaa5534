"""The sound of what was said, as far as it is kept: what `conversation.item.retrieve` gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

import anyio.lowlevel

from vivavoce.audio.resample import Resampler
from vivavoce.protocol.session import AudioFormat
from vivavoce.providers.base import INPUT_RATE, OUTPUT_RATE
from vivavoce.session.formats import Spoken, bytes_per_ms

__all__ = ["ItemAudio"]

_HEARD_BYTES_PER_MS = 2 * INPUT_RATE // 1000


@dataclass
class _Kept:
    """The sound of one item. What a caller said is kept as the models heard it until somebody asks for it."""

    format: AudioFormat
    as_heard: bool = False
    sound: bytearray = field(default_factory=bytearray)
    until_ms: float = inf

    @property
    def bytes_per_ms(self) -> int:
        return _HEARD_BYTES_PER_MS if self.as_heard else bytes_per_ms(self.format)

    @property
    def ms(self) -> float:
        return len(self.sound) / self.bytes_per_ms

    def add(self, sound: bytes) -> None:
        self.sound += sound
        if self.until_ms < self.ms:
            del self.sound[round(self.until_ms) * self.bytes_per_ms :]


class ItemAudio:
    """Keeps the last `seconds` of sound, item by item; of older items only the words are left."""

    def __init__(self, seconds: float) -> None:
        self._most_ms = seconds * 1000
        self.ms = 0.0
        self._kept: dict[str, _Kept] = {}
        self._told: dict[str, bytes] = {}

    @property
    def kept(self) -> dict[str, float]:
        """Milliseconds that there are of each item."""
        return {item_id: kept.ms for item_id, kept in self._kept.items()}

    def open(self, item_id: str, format: AudioFormat) -> None:
        """Begin to keep an item whose sound follows in this format."""
        self.forget(item_id)
        self._kept[item_id] = _Kept(format)

    def add(self, item_id: str, sound: bytes) -> None:
        """Add some more sound; of an item that is not kept, or not any more, it is lost."""
        self._change(item_id, lambda kept: kept.add(sound))
        while self.ms > self._most_ms:
            self.forget(next(iter(self._kept)))

    def hear(self, item_id: str, sound: bytes, format: AudioFormat) -> None:
        """Keep what a caller has said, PCM at `INPUT_RATE`, to be given back in the format they sent."""
        self.forget(item_id)
        self._kept[item_id] = _Kept(format, as_heard=True)
        self.add(item_id, sound)

    def cut(self, item_id: str, ms: float) -> None:
        """Leave of an item what was heard in so many milliseconds, and let nothing be added beyond."""

        def shorten(kept: _Kept) -> None:
            kept.until_ms = min(kept.until_ms, ms)
            kept.add(b"")

        self._change(item_id, shorten)

    def forget(self, item_id: str) -> None:
        """Keep nothing of an item."""
        self._told.pop(item_id, None)
        if kept := self._kept.pop(item_id, None):
            self.ms -= kept.ms

    def _change(self, item_id: str, change: Callable[[_Kept], None]) -> None:
        if kept := self._kept.get(item_id):
            before = kept.ms
            change(kept)
            self.ms += kept.ms - before
            self._told.pop(item_id, None)

    async def of(self, item_id: str) -> bytes | None:
        """Return the sound of an item in its format, or None if there is none, or none any more.

        Who asks twice is given the same bytes: answers that wait to be read take no more room than one.
        """
        kept = self._kept.get(item_id)
        if kept is None or not kept.sound:
            return None
        if item_id not in self._told:
            sound = bytes(kept.sound)
            told = await _as_sent(sound, kept.format) if kept.as_heard else sound
            if item_id not in self._kept:  # it was forgotten meanwhile
                return None
            self._told[item_id] = told
        return self._told[item_id]


async def _as_sent(sound: bytes, format: AudioFormat) -> bytes:
    """Turn PCM at `INPUT_RATE` into a client's format, a second at a time: others speak meanwhile."""
    resampler, spoken, sent = Resampler(INPUT_RATE, OUTPUT_RATE), Spoken(format), bytearray()
    for at in range(0, len(sound), 2 * INPUT_RATE):
        sent += spoken.push(resampler.push(sound[at : at + 2 * INPUT_RATE]))
        await anyio.lowlevel.checkpoint()
    return bytes(sent)
