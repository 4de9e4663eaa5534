"""Files of recordings: where they are, on this machine or in a store of files elsewhere.

Whoever writes or moves one holds its lock, so that what a process has left behind when it ended can be told.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from vivavoce.errors import ProviderError
from vivavoce.tools.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

NAME = re.compile(r"[a-z]+_[0-9a-f]{24}\.(ogg|flac)")
"""names of recordings: a conversation's id, and what kind of file it is"""
AT_ONCE = 4
"""files that are put, listed or deleted at once; so many threads a store that hangs has, none of which holds
the process back"""
_THREADS = WorkerThreads("store of recordings", AT_ONCE)

P = ParamSpec("P")
T = TypeVar("T")


class FileInfo(NamedTuple):
    """The bytes of a file, and when it was changed, if its store says that."""

    size: int
    changed: datetime | None


def local_path(url: str) -> Path | None:
    """Return the path of a file on this machine; None if the URL is one of another store.

    Raises `ImportError` or `ValueError` for a URL that no installed package knows.
    """
    store, path = _open(url)
    protocols = (store.protocol,) if isinstance(store.protocol, str) else store.protocol
    return Path(path) if "file" in protocols else None


class WrittenFile(FileIO):
    """A file that is written at once. `failure` is why that failed, if it did: FFmpeg does not pass that on."""

    failure: OSError | None = None

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Write all of the data. Raises `OSError`."""
        try:
            left = memoryview(data)
            while left:  # the disk may have room for a part
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = error
            raise
        return len(data)


@contextmanager
def writing(path: Path) -> Iterator[WrittenFile]:
    """Make a file, and hold its lock within the block. Raises `OSError`, also for what FFmpeg makes of one."""
    with WrittenFile(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield file
        except Exception as error:
            if file.failure:
                raise file.failure from error
            raise


@contextmanager
def moving(path: Path) -> Iterator[bool]:
    """Hold the lock of a file within the block; yield false if another has it, or has removed the file."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield path.exists()
    finally:
        os.close(file)


async def ask(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call one of the functions below in a thread. Raises `ProviderError` for whatever it raises."""
    try:
        return await _THREADS.run(partial(function, *args, **kwargs))
    except Exception as error:  # the library of a store may raise anything: botocore's are no OSErrors
        raise ProviderError("store", f"{type(error).__name__}: {error}", retryable=True) from error


# these block


def put(path: Path, url: str) -> None:
    """Move a file of this machine to a URL."""
    store, target = _open(url)
    store.put(str(path), target)
    path.unlink(missing_ok=True)


def remove_old(path: Path, before: datetime) -> None:
    """Remove a file of this machine that was changed before a time."""
    if path.stat().st_mtime < before.timestamp():
        path.unlink()


def delete(url: str, spool: Path | None = None) -> None:
    """Delete a recording, if it is there, and what waits of it in the spool."""
    if spool:
        (spool / Path(url).name).unlink(missing_ok=True)
    store, path = _open(url)
    with suppress(FileNotFoundError):
        store.rm_file(path)


def files_in(folder: str) -> Mapping[str, FileInfo]:
    """Return the recordings in a folder by their names; nothing if there is no such folder."""
    store, path = _open(folder)
    store.invalidate_cache()  # others write there
    found = store.find(path, maxdepth=1, detail=True) if store.exists(path) else {}
    by_name = {Path(full).name: info for full, info in found.items()}
    return {
        name: FileInfo(int(info["size"] or 0), _changed(info))
        for name, info in by_name.items()
        if NAME.fullmatch(name)
    }


def abort_uploads(folder: str, before: datetime) -> int:
    """Abort uploads of recordings into a folder of S3 that have begun before a time; return how many.

    A process that is killed while it puts a large file leaves its parts behind, which are paid for and which
    nobody can read.
    """
    store, path = _open(folder)
    call = getattr(store, "call_s3", None)
    if call is None:
        return 0
    bucket, _, prefix = path.strip("/").partition("/")
    listed = call("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "")
    old = [
        one
        for one in listed.get("Uploads", ())
        if one["Initiated"] < before and NAME.fullmatch(Path(one["Key"]).name)
    ]
    for one in old:
        call("abort_multipart_upload", Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
    return len(old)


def _open(url: str) -> "tuple[AbstractFileSystem, str]":
    from fsspec.core import url_to_fs

    store, path = url_to_fs(url)
    return store, str(path)


def _changed(info: Mapping[str, object]) -> datetime | None:
    at = info.get("LastModified", info.get("mtime"))
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at, UTC)
    return at if isinstance(at, datetime) else None
