"""The app shell: the page's own files, compressed once, with addresses that change when any of them does.

The files are served as they are written. Only two are rendered: in `index.html` the addresses get the version,
a hash of all files, so that browsers keep them for good and never mix two versions; `worker.js`, the service
worker, is told the version and the addresses.
"""

import gzip
import json
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vivavoce.web.conditional import etag_of, not_modified

STATIC = Path(str(files("vivavoce.web") / "static"))
FOREVER = "public, max-age=31536000, immutable"
INDEX, MANIFEST, WORKER = "index.html", "manifest.webmanifest", "worker.js"
MEDIA_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml"}
"""where the operating system's table may have others, or none"""
KEPT = frozenset({".js", ".css", ".svg", ".json"})
"""endings of the files that the service worker keeps"""


@dataclass(frozen=True)
class ShellFile:
    """A file of the page, as it is sent."""

    body: bytes
    media_type: str
    etag: str
    compressed: bytes | None
    """the body in gzip, if that is smaller"""

    @classmethod
    def of(cls, path: Path, body: bytes) -> "ShellFile":
        """Return a file; `path` says what it contains."""
        compressed = gzip.compress(body, mtime=0)
        return cls(
            body,
            MEDIA_TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream",
            etag_of(body),
            compressed if len(compressed) < 0.9 * len(body) else None,
        )

    def response(self, request: Request, *, forever: bool = False) -> Response:
        """Return the response to a request for it: 304 to a browser that has it."""
        response = not_modified(request, self.etag)
        if response is None and self.compressed and "gzip" in request.headers.get("accept-encoding", ""):
            response = Response(self.compressed, headers={"content-encoding": "gzip"})
        response = response or Response(self.body)
        response.headers.update({"etag": self.etag, "vary": "Accept-Encoding", "content-type": self.media_type})
        if forever:
            response.headers["cache-control"] = FOREVER
        return response


class Shell:
    """The files in a folder. They are read again when one has changed, for those who work on the page."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._read: object = None
        self._version, self._files = "", dict[str, ShellFile]()

    async def index(self, request: Request) -> Response:
        """Answer `GET /`."""
        return await self._respond(request, INDEX)

    async def manifest(self, request: Request) -> Response:
        """Answer `GET /manifest.webmanifest`."""
        return await self._respond(request, MANIFEST)

    async def worker(self, request: Request) -> Response:
        """Answer `GET /worker.js`, at the root because a service worker controls what is below it."""
        return await self._respond(request, WORKER)

    async def file(self, request: Request) -> Response:
        """Answer `GET /static/{path}`, with or without a version; 404 is raised as `HTTPException`.

        Another version than the present one is asked for by a page that was loaded before.
        """
        path = request.path_params["path"]
        version, _, name = path.partition("/")
        if name and version == self._version:
            return await self._respond(request, name, forever=True)
        return await self._respond(request, name if re.fullmatch(r"[0-9a-f]{12}", version) else path)

    async def _respond(self, request: Request, name: str, *, forever: bool = False) -> Response:
        if not forever:
            await anyio.to_thread.run_sync(self._refresh)
        if name not in self._files:
            raise HTTPException(404)
        return self._files[name].response(request, forever=forever)

    def _refresh(self) -> None:
        paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
        found = [(path, at.st_size, at.st_mtime_ns) for path in paths for at in (path.stat(),)]
        if found == self._read:
            return
        bodies = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}
        version = sha256(repr(sorted(bodies.items())).encode()).hexdigest()[:12]
        kept = [f"static/{version}/{name}" for name in bodies if Path(name).suffix in KEPT and name != WORKER]
        told = json.dumps({"version": version, "files": ["./", *kept]})
        bodies[INDEX] = bodies[INDEX].replace(b'"static/', f'"static/{version}/'.encode())
        bodies[WORKER] = f"const SHELL = {told};\n".encode() + bodies[WORKER]
        made = {name: ShellFile.of(Path(name), body) for name, body in bodies.items()}
        self._version, self._files, self._read = version, made, found
