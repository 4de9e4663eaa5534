"""Recordings for players: bytes of the file, or samples of a turn. All of it blocks: use threads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TypeVar

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.store.queries import Record
from vivavoce.store.recordings import Channel, read

PIECE_SECONDS = 20
"""of sound that are read at once: 2 MB of memory"""
_COLUMNS: dict[Channel, int] = {"user": 0, "assistant": 1}

T = TypeVar("T")


@dataclass(frozen=True)
class RecordingFile:
    """A recording's file: its size in bytes, and a name of its content, which changes when that does."""

    url: str
    size: int
    version: str

    @property
    def content_type(self) -> str:
        return "audio/flac" if self.url.endswith(".flac") else "audio/ogg; codecs=opus"


def find_file(url: str) -> RecordingFile:
    """Return what is known of a file. Raises `FileNotFoundError`, and `OSError` if its store fails."""
    from fsspec.core import url_to_fs

    def find() -> RecordingFile:
        store, path = url_to_fs(url)
        info = store.info(path, refresh=True)  # not what the store remembers of it
        version = sha256(repr(sorted(info.items())).encode()).hexdigest()[:32]
        return RecordingFile(url, int(info["size"]), version)

    return from_store(find)


def read_bytes(url: str, start: int, end: int) -> bytes:
    """Return bytes of a file. Raises what `find_file` does."""
    from fsspec.core import url_to_fs

    def read_them() -> bytes:
        store, path = url_to_fs(url)
        found: bytes = store.cat_file(path, start=start, end=end)  # by name: s3fs has another second parameter
        return found

    return from_store(read_them)


def read_sound(url: str, start: int, end: int, channel: Channel | None = None) -> bytes:
    """Return samples at `OUTPUT_RATE` as PCM, of one channel or of both; silence for what the file has not.

    Raises what `find_file` does, also for a file that is no recording.
    """
    samples = from_store(lambda: read(url, start, end))
    found = (samples if channel is None else samples[:, _COLUMNS[channel]]).tobytes()
    return found.ljust((end - start) * (4 if channel is None else 2), b"\0")


def count_samples(url: str) -> int:
    """Return how many samples a recording has of which nobody knows: it goes on, or the server was killed."""
    count, piece = 0, PIECE_SECONDS * OUTPUT_RATE
    while found := len(from_store(partial(read, url, count, count + piece))):
        count += found
    return count


def spoken_range(recording: Record, item_id: str) -> tuple[Channel, int, int] | None:
    """Return where an item is in its recording: channel, and first and last sample; None if it is not."""
    for one in recording["spoken"] or ():
        if one["item_id"] == item_id and one["end"] > one["start"]:
            return one["channel"], one["start"], one["end"]
    return None


def pieces(start: int, end: int, size: int = PIECE_SECONDS * OUTPUT_RATE) -> Iterator[tuple[int, int]]:
    """Divide a range into ranges of at most `size`."""
    return ((at, min(at + size, end)) for at in range(start, end, size))


def from_store(ask: Callable[[], T]) -> T:
    """Return what a store of files returns; its library may raise anything, and botocore's are no OSErrors."""
    try:
        return ask()
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error)) from error
