"""The journal: a file in which entries are written down at once, until the database has them.

A write is one system call, which leaves the entry with the operating system. So it survives the process,
however that ends; it does not survive a power cut until the database has it.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vivavoce.protocol.events import new_id

READ_BYTES = 256 * 1024
"""bytes of entries that are read, and put into the database, at once"""
FILE_BYTES = 4 * 1024 * 1024
"""bytes of a file most of which the database has; then what it has not moves to a new file"""
RETRY = 100
"""times that the entries in memory reach the database until the disk is tried again"""


class Journal:
    """Entries (lines of JSON) of one process that the database does not have yet, at most `most` bytes of them.

    Without a folder that can be written, and when the disk is full, they are kept in memory. `on_disk` says
    which.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.id = new_id("journal")
        self._folder, self._most = folder, most
        self._files = 0
        self._left: list[tuple[int, Path]] = []
        """files on a full disk, kept until the database has their entries"""
        self._read, self._end, self._emptied = 0, 0, 0
        self.on_disk = True
        self._path: Path | None = None
        self._file = self._open()

    @property
    def pending(self) -> int:
        """The bytes of entries that the database does not have yet."""
        return self._end - self._read

    def append(self, entry: bytes, *, share: float = 1) -> bool:
        """Write an entry, which ends with a line feed; return whether there was room in a `share` of `most`."""
        if self.pending + len(entry) > self._most * share:
            return False
        try:
            self._write(entry)
        except OSError:
            self._left += [(self._file, self._path)] if self._path else []
            self._move(in_memory=True)
            self._write(entry)
        return True

    def read(self) -> bytes:
        """Return the oldest entries that the database does not have, about `READ_BYTES` of them."""
        entries = os.pread(self._file, READ_BYTES, self._read)
        whole = entries.rfind(b"\n") + 1
        if whole or not entries:
            return entries[:whole]
        entries = os.pread(self._file, self.pending, self._read)
        return entries[: entries.index(b"\n") + 1]

    def forget(self, entries: bytes) -> None:
        """Drop the oldest entries, which the database has."""
        self._read += len(entries)
        if not self.pending:
            os.ftruncate(self._file, 0)
            self._read = self._end = 0
            for left in self._left:
                _remove(*left)
            self._left.clear()
            self._emptied += 1
        may_move = not self.on_disk and not self.pending and self._emptied % RETRY == 0
        if self._read > FILE_BYTES or may_move:
            file, path = self._file, self._path
            self._move()
            _remove(file, path)

    def close(self) -> None:
        """Close the file; it is removed if the database has all entries."""
        files: list[tuple[int, Path | None]] = [*self._left, (self._file, self._path)]
        for file, path in files:
            if self.pending:
                os.close(file)
            else:
                _remove(file, path)

    def _write(self, entry: bytes) -> None:
        if os.pwrite(self._file, entry, self._end) < len(entry):
            os.ftruncate(self._file, self._end)
            raise OSError(0, "the disk is full")
        self._end += len(entry)

    def _move(self, *, in_memory: bool = False) -> None:
        rest = os.pread(self._file, self.pending, self._read)
        self._file = self._open(in_memory=in_memory)
        self._read = self._end = 0
        if rest:
            self._write(rest)

    def _open(self, *, in_memory: bool = False) -> int:
        self._files += 1
        path = self._folder / f"{self.id}.{self._files}"
        try:
            if in_memory:
                raise OSError
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.on_disk, self._path = False, None
            return os.memfd_create(self.id)
        self.on_disk, self._path = True, path
        return file


@dataclass(frozen=True)
class LeftJournal:
    """What a process that is gone has left behind: its entries, oldest first. `done` removes its files."""

    id: str
    entries: bytes
    _files: tuple[tuple[int, Path], ...]

    def done(self) -> None:
        """Remove the files, because the database has the entries."""
        for file, path in self._files:
            _remove(file, path)


def left_journals(folder: Path) -> Iterator[LeftJournal]:
    """Yield the journals of processes that are gone. While one is used, no other process is given it."""
    by_id: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("journal_*.*"), key=lambda path: int(path.suffix[1:] or 0)):
        by_id.setdefault(path.stem, []).append(path)
    for journal_id, paths in by_id.items():
        files: list[tuple[int, Path]] = []
        try:
            for path in paths:
                files.append((os.open(path, os.O_RDWR), path))
                fcntl.flock(files[-1][0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is in use, or was removed at this moment
            for file, _ in files:
                os.close(file)
            continue
        read = [path.read_bytes() for path in paths]
        whole = b"".join(entries[: entries.rfind(b"\n") + 1] for entries in read)
        yield LeftJournal(journal_id, whole, tuple(files))


def _remove(file: int, path: Path | None) -> None:
    if path:
        path.unlink(missing_ok=True)
    os.close(file)
