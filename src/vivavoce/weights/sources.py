"""Sources of weights: wheels of packages, which are never installed or run, and files of a hub.

Wheels are downloaded by the user's pip or uv, so the user's index, proxy and certificates apply. Each wheel is
verified by the checksum in the manifest.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree, which
from threading import Event
from typing import Self
from urllib.parse import quote
from zipfile import BadZipFile, ZipFile

import httpx

from vivavoce.errors import connection_problem
from vivavoce.weights.files import CHUNK, read_chunks
from vivavoce.weights.manifest import HubSource, WeightsPart

HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 30
TRIES = 5
PARALLEL = 3
"""wheels that are downloaded at once"""
POLL_SECONDS = 0.2
"""seconds between two checks of a download's progress"""

Installer = Callable[[WeightsPart, Path, Path], Sequence[str]]
"""Returns the command that downloads a part, given in a requirements file, into a folder."""


class Unreachable(Exception):
    """A source cannot be reached, or does not have the file; the message says why."""


# wheels


class WheelCache:
    """Keeps wheels in `folder` as long as needed: each is downloaded once, `PARALLEL` at a time.

    `parts` are all parts that will be read. `on_progress` is called, from any thread, with a part and the bytes
    of its wheel that have arrived. When `stop` is set, everything ends with `Unreachable`; leaving the block
    sets it.
    """

    def __init__(
        self,
        folder: Path,
        parts: Iterable[WeightsPart],
        installer: Installer | None,
        on_progress: Callable[[WeightsPart, int], None],
        stop: Event,
    ) -> None:
        self._folder, self._installer, self._on_progress, self._stop = folder, installer, on_progress, stop
        self._uses = Counter(part.wheel for part in parts)
        self._pool = ThreadPoolExecutor(PARALLEL)
        self._wheels: dict[str, Future[Path]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def read(self, parts: Sequence[WeightsPart]) -> Iterator[bytes]:
        """Yield the bytes of `parts`, one after another. Raises `Unreachable`."""
        for number, part in enumerate(parts):
            for each in parts[number : number + PARALLEL]:
                if each.wheel not in self._wheels:
                    self._wheels[each.wheel] = self._pool.submit(self._fetch, each)
            yield from _member(self._wheels[part.wheel].result(), part)
            self._uses[part.wheel] -= 1
            if self._uses[part.wheel] <= 0:  # deleted early, so that the disk only needs room for a few wheels
                del self._wheels[part.wheel]
                rmtree(self._place(part))

    def _place(self, part: WeightsPart) -> Path:
        return self._folder / part.wheel.removesuffix(".whl")

    def _fetch(self, part: WeightsPart) -> Path:
        """Return the wheel, or the folder where it was unpacked."""
        if not self._installer:
            write = f"{sys.executable} -m ensurepip --upgrade"
            raise Unreachable(f"neither pip nor uv is here to fetch packages; write: {write}")
        place = self._place(part)
        (place / "tmp").mkdir(parents=True)
        requirements = place / "requirements.txt"
        requirements.write_text(f"{part.project}=={part.version} --hash=sha256:{part.wheel_sha256}\n")
        self._run(self._installer(part, requirements, place / "here"), place, part)
        wheel = place / "here" / part.wheel
        return wheel if wheel.is_file() else place / "here"

    def _run(self, command: Sequence[str], place: Path, part: WeightsPart) -> None:
        temporary = {name: str(place / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **temporary},
            text=True,
        ) as process:
            output = None
            while output is None:
                if self._stop.is_set():
                    process.terminate()
                    raise Unreachable("given up")
                try:
                    _, output = process.communicate(timeout=POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    self._on_progress(part, min(_bytes_in(place), part.wheel_size))
        if process.returncode:
            raise Unreachable(f"{part.project} {part.version}: {_reason(output)}")
        self._on_progress(part, part.wheel_size)


def installed_path(part: WeightsPart) -> Path | None:
    """Return the part's file if its package is installed, without importing that."""
    try:
        path = Path(str(distribution(part.project).locate_file(part.member)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def installers() -> tuple[Installer, ...]:
    """Return the available installers: pip of this environment first, then uv."""
    found: list[Installer] = [_pip] if find_spec("pip") else []
    uv = [sys.executable, "-m", "uv"] if find_spec("uv") else [which("uv") or ""]
    if uv[0]:
        found.append(lambda part, requirements, folder: _uv(uv, part, requirements, folder))
    return tuple(found)


ONE_WHEEL = ("--no-deps", "--only-binary", ":all:", "--require-hashes")


def _pip(part: WeightsPart, requirements: Path, folder: Path) -> Sequence[str]:
    *_, platforms = part.wheel.removesuffix(".whl").split("-")
    elsewhere = [word for name in platforms.split(".") if name != "any" for word in ("--platform", name)]
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
        *("--disable-pip-version-check", "--no-cache-dir", *ONE_WHEEL, *elsewhere),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]


def _uv(uv: Sequence[str], part: WeightsPart, requirements: Path, folder: Path) -> Sequence[str]:
    """Unpack the wheel into the folder, since uv has no download command; nothing of it is run."""
    linux = re.search(r"-(manylinux_\d+_\d+)_(\w+)\.whl", part.wheel)
    elsewhere = ["--python-platform", f"{linux[2]}-{linux[1]}"] if linux else []
    return [
        *(*uv, "pip", "install", "--quiet", "--no-cache", "--python", sys.executable),
        *(*ONE_WHEEL, *elsewhere, "--target", str(folder), "--requirement", str(requirements)),
    ]


def _member(place: Path, part: WeightsPart) -> Iterator[bytes]:
    if place.is_dir():
        if not (place / part.member).is_file():
            raise Unreachable(f"{part.wheel} has no {part.member}")
        yield from read_chunks(place / part.member)
        return
    try:
        with ZipFile(place) as wheel, closing(wheel.open(part.member)) as member:
            while chunk := member.read(CHUNK):
                yield chunk
    except (BadZipFile, KeyError) as error:
        raise Unreachable(f"{part.wheel} has no {part.member}") from error


def _bytes_in(folder: Path) -> int:
    """Return the size of a folder while another process writes files there and removes them."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _reason(output: str) -> str:
    """Return the last error, or else the last line, that a command has printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it failed without a message"])[-1].removeprefix("ERROR: ").rstrip(".")


# the hub: one file of one revision over HTTPS, resumed after a broken connection


@dataclass(frozen=True)
class Download:
    """A download. `size` in bytes and `sha256` are the hub's, if it reports them."""

    chunks: Iterator[bytes]
    size: int | None
    sha256: str | None


@contextmanager
def hub_download(source: HubSource, stop: Event, *, hub: str = HUB, token: str = "") -> Iterator[Download]:
    """Request a file from the hub; its chunks may be read inside the block.

    Raises `Unreachable`, also when `stop` is set. `token` gives access to private repositories; it is not sent
    to the servers to which the hub redirects.
    """
    url = f"{hub.rstrip('/')}/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True) as client:
        response = _get(client, url, 0)
        # the hub sends the checksum of a large file with the redirect to its storage
        answers = (*response.history, response)
        tags = [one.headers.get("X-Linked-Etag", "").strip('"').lower() for one in answers]
        sha256 = next((tag for tag in tags if re.fullmatch("[0-9a-f]{64}", tag)), None)
        length = response.headers.get("Content-Length")
        yield Download(_chunks(client, response, url, stop), int(length) if length else None, sha256)


def _chunks(client: httpx.Client, response: httpx.Response, url: str, stop: Event) -> Iterator[bytes]:
    done = 0
    for tries_left in reversed(range(TRIES)):
        try:
            for chunk in response.iter_raw(CHUNK):
                if stop.is_set():
                    raise Unreachable("given up")
                done += len(chunk)
                yield chunk
            return
        except httpx.TransportError as error:
            if not tries_left:
                raise Unreachable(f"{url}: the connection broke {TRIES} times") from error
        finally:
            response.close()
        response = _get(client, url, done)


def _get(client: httpx.Client, url: str, start: int) -> httpx.Response:
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = client.send(client.build_request("GET", url, headers=headers), stream=True)
    except httpx.HTTPError as error:
        raise Unreachable(f"{url} cannot be reached: {connection_problem(error)}") from error
    if response.status_code != (206 if start else 200):
        response.close()
        raise Unreachable(f"{url} answered {response.status_code} {response.reason_phrase}")
    return response
