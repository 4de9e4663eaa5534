"""G.711: telephone audio of 8 bits per sample at 8 kHz (ITU-T G.711, 11/88, tables 1a to 2b)."""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Law = Literal["ulaw", "alaw"]


def decode(audio: bytes, law: Law) -> bytes:
    """Decode to 16-bit little-endian PCM, twice as many bytes, at the same rate."""
    import numpy as np

    return _linear(law)[np.frombuffer(audio, np.uint8)].tobytes()


def encode(audio: bytes, law: Law) -> bytes:
    """Encode 16-bit little-endian PCM as 8 bits per sample. Raises `ValueError` for half a sample."""
    import numpy as np

    return _companded(law)[np.frombuffer(audio, "<i2").view(np.uint16)].tobytes()


@lru_cache(maxsize=2)
def _linear(law: Law) -> "NDArray[np.int16]":
    """Return the 16-bit sample for each byte."""
    import numpy as np

    byte = np.arange(256)
    if law == "ulaw":  # all bits are inverted on the line; a bias of 132 makes the segments powers of two
        byte = ~byte & 0xFF
        size = (((byte & 0x0F) << 3) + 132 << (byte >> 4 & 7)) - 132
        sample = np.where(byte & 0x80, -size, size)
    else:  # the even bits are inverted on the line; the lowest segment is not halved
        byte ^= 0x55
        segment, step = byte >> 4 & 7, (byte & 0x0F) << 4
        size = np.where(segment == 0, step + 8, (step + 264) << np.maximum(segment - 1, 0))
        sample = np.where(byte & 0x80, size, -size)
    return sample.astype("<i2")


@lru_cache(maxsize=2)
def _companded(law: Law) -> "NDArray[np.uint8]":
    """Return the byte for each sample, indexed as unsigned: the one that decodes to the nearest value."""
    import numpy as np

    known = _linear(law).astype(np.int64)
    order = np.argsort(known, kind="stable")
    levels = known[order]
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int64)
    borders = (levels[:-1] + levels[1:] + 1) // 2
    return order[np.searchsorted(borders, samples, side="right")].astype(np.uint8)
