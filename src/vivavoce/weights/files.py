"""Atomic files: written under another name, verified, and only then renamed."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 20
PARTIAL = ".partial"


class Damaged(Exception):
    """The received file is not the expected one; the message says how it differs."""


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield a file in chunks of 1 MiB."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; half a gigabyte takes about 0.4 s."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(target: Path, chunks: Iterable[bytes], *, size: int | None = None, sha256: str | None = None) -> str:
    """Write `chunks` to `target` atomically, and return their SHA-256.

    Raises `Damaged` if size or checksum differ. After an exception nothing is left behind; a killed process
    leaves a file ending in `PARTIAL`, which is never read.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + PARTIAL)
    digest, written = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                written += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        found = digest.hexdigest()
        if size not in (None, written):
            raise Damaged(f"{written} bytes came instead of {size}")
        if sha256 not in (None, found):
            raise Damaged(f"its SHA-256 is {found} instead of {sha256}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    if sys.platform != "win32":  # makes the rename durable across a power failure
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return found


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock `folder` for one process at a time; others wait. The lock of a process that dies is released."""
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
