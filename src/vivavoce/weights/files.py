"""Files that are either whole or not there: written aside, checked, and only then given their name."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CHUNK", "PARTIAL", "Damaged", "chunks_of", "digest", "only_one", "place"]

CHUNK = 1 << 20
PARTIAL = ".partial"


class Damaged(Exception):
    """What arrived is not what was asked for; the message says how it differs."""


def chunks_of(path: Path) -> Iterator[bytes]:
    """Read a file in pieces of a mebibyte."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; half a gigabyte takes some 0.4 s."""
    sha = hashlib.sha256()
    for chunk in chunks_of(path):
        sha.update(chunk)
    return sha.hexdigest()


def place(target: Path, chunks: Iterable[bytes], *, size: int | None, sha256: str | None) -> str:
    """Write `chunks` to `target`, all or nothing, and return their SHA-256.

    Raises `Damaged` if size or checksum differ. Whatever is raised, nothing is left behind; a process that is
    killed leaves a file ending in `PARTIAL`, which nobody reads.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(target.name + PARTIAL)
    sha, written = hashlib.sha256(), 0
    try:
        with aside.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                sha.update(chunk)
                written += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        _compare(written, size, sha.hexdigest(), sha256)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    _keep_the_name(target.parent)
    return sha.hexdigest()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time work in `folder`; the others wait here. A process that dies lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _compare(size: int, expected_size: int | None, sha256: str, expected_sha256: str | None) -> None:
    if expected_size is not None and size != expected_size:
        raise Damaged(f"{size} bytes came instead of {expected_size}")
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise Damaged(f"its SHA-256 is {sha256} instead of {expected_sha256}")


def _keep_the_name(folder: Path) -> None:
    """Make the rename outlast a power cut, where a folder can be synced."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
