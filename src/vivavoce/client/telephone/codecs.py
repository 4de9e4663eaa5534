"""The codecs of telephone peers, by the names that Asterisk gives them."""

from dataclasses import dataclass

from vivavoce.audio import g711

FRAME_SECONDS = 0.02


@dataclass(frozen=True)
class Codec:
    """How samples are written: 16-bit little-endian PCM at `rate` Hz, or G.711 with a `law`."""

    name: str
    rate: int
    law: g711.Law | None = None

    @property
    def frame_bytes(self) -> int:
        """The bytes of 20 ms."""
        return round(self.rate * FRAME_SECONDS) * (1 if self.law else 2)

    def encode(self, pcm: bytes) -> bytes:
        """Encode whole samples of 16-bit PCM at `rate`."""
        return g711.encode(pcm, self.law) if self.law else pcm

    def decode(self, audio: bytes) -> bytes:
        """Return 16-bit PCM at `rate`; half a sample at the end is dropped."""
        return g711.decode(audio, self.law) if self.law else audio[: len(audio) // 2 * 2]


SLIN = Codec("slin", 8_000)
SLIN16 = Codec("slin16", 16_000)
SLIN24 = Codec("slin24", 24_000)
ULAW = Codec("ulaw", 8_000, "ulaw")
ALAW = Codec("alaw", 8_000, "alaw")
CODECS = {codec.name: codec for codec in (SLIN, SLIN16, SLIN24, ULAW, ALAW)}
