"""Where the weights are: in the user's cache, and if they are not, fetched once, checked, and put there.

What blocks is for threads; `Store.weights` is for the event loop.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from threading import Event
from typing import Literal

import anyio
import anyio.to_thread
import msgspec
from platformdirs import user_cache_path

from vivavoce.errors import ConfigError
from vivavoce.weights.files import PARTIAL, digest, only_one, place
from vivavoce.weights.hub import HUB
from vivavoce.weights.manifest import Bundled, Manifest, known, on_hub
from vivavoce.weights.pull import Pull, Report, Wanted
from vivavoce.weights.wheels import Tool, tools

__all__ = ["Finding", "Receipt", "Report", "Store", "here", "is_installed"]

RECEIPTS = "receipts.json"

logger = logging.getLogger(__name__)


class Receipt(msgspec.Struct, frozen=True):
    """What a file was when it was last read from end to end."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Finding:
    """What `verify` found of one file of a model."""

    model: str
    path: Path
    state: Literal["ok", "missing", "damaged"]


@dataclass(frozen=True)
class Store:
    """The models in `folder`. With `offline` it never asks the network.

    A model's *name* is an id of the manifest, `hf:OWNER/REPOSITORY/FILE@REVISION`, or a path of one's own.
    `tools` fetch packages; `hub` and `token` are the hub's address and the user's key to it; `free` tells how
    many bytes are free where a folder is. All methods raise `ConfigError`: one sentence that says what to do.
    """

    folder: Path
    offline: bool = False
    hub: str = HUB
    token: str = field(default="", repr=False)
    manifest: Manifest = field(default_factory=known, repr=False)
    tools: Sequence[Tool] = field(default_factory=tools, repr=False)
    free: Callable[[Path], int] = field(default=lambda folder: shutil.disk_usage(folder).free, repr=False)

    async def weights(self, name: str) -> Mapping[str, Path]:
        """Do as `find` without blocking the event loop. When cancelled, it stops fetching."""
        stop = Event()
        find = partial(self.find, name, stop=stop)
        try:
            return await anyio.to_thread.run_sync(
                find, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True
            )
        finally:
            stop.set()

    def find(self, name: str, *, stop: Event | None = None) -> Mapping[str, Path]:
        """Return a model's files by their names; fetch what is not here."""
        files = self.present(name)
        if files is None:
            self.pull([name], stop=stop)
            files = self.present(name)
        return files or {}

    def present(self, name: str) -> Mapping[str, Path] | None:
        """Return a model's files by their names, or `None` if one is not here.

        Size and time are enough for a file that was read before. Weights that a package bundles are no files of
        ours: an empty mapping, if the package is installed.
        """
        if own := self._own(name):
            return {file.name: file for file in ([own] if own.is_file() else sorted(own.iterdir()))}
        if bundled := self._bundled(name):
            return {} if is_installed(bundled.project) else None
        wanted = self._files(name)
        return {each.target.name: each.target for each in wanted} if all(map(_is_whole, wanted)) else None

    def path(self, name: str) -> Path:
        """Return the folder of a model, or one's own path, whether anything is there or not."""
        if own := self._own(name):
            return own
        if source := on_hub(name):
            return self.folder / "hub" / source.repo / source.revision
        return self.folder / self.manifest.model(name).id

    def pull(
        self,
        names: Iterable[str],
        *,
        thorough: bool = False,
        report: Report | None = None,
        stop: Event | None = None,
    ) -> Sequence[str]:
        """Fetch what is not here of models and sets, and return their names.

        `thorough` also reads from end to end what is here, and fetches anew what is damaged. One process at a
        time pulls; another one waits for it, and finds the work done.
        """
        is_good = (lambda each: _judge(each) == "ok") if thorough else _is_whole
        wanted = self.manifest.expand(names)
        for name in wanted:
            if (bundled := self._bundled(name)) and not is_installed(bundled.project):
                raise ConfigError(f"{name} comes with the extra: pip install 'vivavoce[{bundled.extra}]'.")
        if missing := self._lacking(wanted, is_good):
            if self.offline:
                raise ConfigError(self._offline_sentence(missing))
            with self._alone():
                self._fetch(self._lacking(wanted, is_good), report or _log(), stop or Event())
        return wanted

    def verify(self, names: Iterable[str] | None = None) -> Iterator[Finding]:
        """Read every file of these models and sets, or of all that are here, from end to end."""
        for name in self._begun() if names is None else self.manifest.expand(names):
            for each in self._files(name):
                yield Finding(name, each.target, _judge(each))

    def _own(self, name: str) -> Path | None:
        """Read a name as the path of one's own model; `None` if it is not one."""
        if name.startswith("hf:") or any(model.id == name for model in self.manifest.models):
            return None
        path = Path(name).expanduser()
        if path.exists():
            return path.absolute()
        if path.is_absolute() or name.startswith(("./", "../", "~")):
            raise ConfigError(f"There is no model at {path}.")
        return None

    def _bundled(self, name: str) -> Bundled | None:
        """Say which package carries a model's weights for its own code, if one does."""
        return next((model.bundled for model in self.manifest.models if model.id == name), None)

    def _files(self, name: str) -> Sequence[Wanted]:
        """Return the files of a model that are ours to keep."""
        if self._own(name):
            return []
        folder = self.path(name)
        if source := on_hub(name):
            return [Wanted(name, folder / source.file, [source], None, None)]
        files = self.manifest.model(name).files
        return [Wanted(name, folder / file.name, file.sources, file.size, file.sha256) for file in files]

    def _lacking(self, names: Iterable[str], is_good: Callable[[Wanted], bool]) -> Sequence[Wanted]:
        return [each for name in names for each in self._files(name) if not is_good(each)]

    def _begun(self) -> Sequence[str]:
        """Name the models of the manifest, and those from the hub, of which something is here."""
        ids = [m.id for m in self.manifest.models if any(each.target.exists() for each in self._files(m.id))]
        hub = self.folder / "hub"
        for receipts in sorted(hub.rglob(RECEIPTS)):
            owner, repository, revision, *below = receipts.parent.relative_to(hub).parts
            inside = "/".join([f"hf:{owner}/{repository}", *below])
            ids.extend(f"{inside}/{file}@{revision}" for file in _receipts(receipts.parent))
        return ids

    def _fetch(self, missing: Sequence[Wanted], report: Report, stop: Event) -> None:
        pull = Pull(self.folder, missing, self.tools, self.hub, self.token, _accept, self.free, report, stop)
        pull.run()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with only_one(self.folder):
                for left in self.folder.rglob("*" + PARTIAL):
                    left.unlink()
                yield
        except OSError as error:
            raise ConfigError(
                f"{error.filename or self.folder} cannot be written ({error.strerror}); "
                "set VIVAVOCE_CACHE to a folder that can."
            ) from error

    def _offline_sentence(self, missing: Sequence[Wanted]) -> str:
        names = list(dict.fromkeys(each.model for each in missing))
        verb = "is" if len(names) == 1 else "are"
        return (
            f"{', '.join(names)} {verb} not here, and nothing may be fetched, because VIVAVOCE_OFFLINE or "
            f"HF_HUB_OFFLINE is set. Write, where there is a network: viva models pull {' '.join(names)}; "
            f"then copy its folder of models to {self.folder}."
        )


def here(environ: Mapping[str, str] = os.environ) -> Store:
    """Return this user's store: in `$VIVAVOCE_CACHE`, or in the folder where this system keeps caches."""
    cache = environ.get("VIVAVOCE_CACHE")
    return Store(
        (Path(cache).expanduser() if cache else user_cache_path("vivavoce", appauthor=False)) / "models",
        offline=any(environ.get(name, "0") not in {"", "0"} for name in ("VIVAVOCE_OFFLINE", "HF_HUB_OFFLINE")),
        hub=environ.get("HF_ENDPOINT") or HUB,
        token=environ.get("HF_TOKEN", ""),
    )


def _is_whole(wanted: Wanted) -> bool:
    """Trust size and time of a file that was read before; read one that was not, such as a copied one."""
    if not wanted.target.is_file():
        return False
    receipt, stat = _receipts(wanted.target.parent).get(wanted.target.name), wanted.target.stat()
    if receipt and (receipt.size, receipt.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return wanted.sha256 in {None, receipt.sha256}
    if _judge(wanted) != "ok":
        return False
    if os.access(wanted.target.parent, os.W_OK):
        _accept(wanted.target, wanted.sha256 or digest(wanted.target))
    return True


def _judge(wanted: Wanted) -> Literal["ok", "missing", "damaged"]:
    """Read a file from end to end. One's own from the hub is compared with what it was when it came."""
    if not wanted.target.is_file():
        return "missing"
    receipt = _receipts(wanted.target.parent).get(wanted.target.name)
    expected = wanted.sha256 or (receipt.sha256 if receipt else None)
    size = wanted.target.stat().st_size
    return "ok" if wanted.size in {None, size} and digest(wanted.target) == expected else "damaged"


def _accept(target: Path, sha256: str) -> None:
    """Note that a file was read from end to end, so that the next start need not."""
    stat = target.stat()
    receipts = {**_receipts(target.parent), target.name: Receipt(stat.st_size, stat.st_mtime_ns, sha256)}
    place(target.parent / RECEIPTS, [msgspec.json.encode(receipts)], size=None, sha256=None)


def _receipts(folder: Path) -> Mapping[str, Receipt]:
    try:
        return msgspec.json.decode((folder / RECEIPTS).read_bytes(), type=dict[str, Receipt])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def is_installed(project: str) -> bool:
    try:
        distribution(project)
    except PackageNotFoundError:
        return False
    return True


def _log() -> Report:
    """Tell the log every tenth, for those who did not pull before they started."""
    told: dict[str, int] = {}

    def report(name: str, arrived: int, total: int) -> None:
        tenth = 10 * arrived // total if total else 10
        if told.get(name) != tenth:
            told[name] = tenth
            logger.info("fetching %s: %d %% of %.0f MB", name, 10 * tenth, total / 1e6)

    return report
