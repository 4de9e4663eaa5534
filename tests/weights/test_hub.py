"""A hub of our own on loopback, whose connections break when they are told to."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vivavoce.errors import ConfigError
from vivavoce.weights.manifest import HubSource, ModelFile, parse_hub_name
from vivavoce.weights.store import Store
from weights.packages import manifest

DATA = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(DATA).hexdigest()
FILE = "/owner/models/resolve/0123abc/deep/model.gguf"
NAME = "hf:owner/models/deep/model.gguf@0123abc"


@dataclass
class Hub:
    address: str
    breaks: list[int] = field(default_factory=list)
    """after how many bytes each of the next connections breaks"""
    says: str = SHA256
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """path, range and key of each request"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append((self.path, self.headers["Range"], self.headers["Authorization"]))
            if self.path == FILE:
                self.redirect()
            elif self.path == "/storage":
                self.serve()
            else:
                self.send_error(404)

        def redirect(self) -> None:
            self.send_response(302)
            self.send_header("Location", hub.address.replace("127.0.0.1", "localhost") + "/storage")
            self.send_header("X-Linked-Etag", f'"{hub.says}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def serve(self) -> None:
            start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            rest = DATA[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: hub.breaks.pop(0)] if hub.breaks else rest)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that hang up: some tests are about just that."""

    with Server(("127.0.0.1", 0), Handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield hub
        server.shutdown()
        thread.join()


def test_ones_own_model_from_the_hub_is_one_line(hub: Hub, tmp_path: Path) -> None:
    store = Store(tmp_path, hub=hub.address, token="secret")
    assert store.present(NAME) is None
    model = store.find(NAME)["model.gguf"]
    assert model == tmp_path / "hub/owner/models/0123abc/deep/model.gguf"
    assert model.read_bytes() == DATA
    assert hub.asked == [(FILE, None, "Bearer secret"), ("/storage", None, None)]
    assert store.find(NAME) == {"model.gguf": model}
    assert len(hub.asked) == 2
    assert [(finding.model, finding.state) for finding in store.verify()] == [(NAME, "ok")]
    model.write_bytes(DATA[1:])
    assert [finding.state for finding in store.verify()] == ["damaged"]


def test_a_broken_connection_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = [3_000_000, 1_500_000]
    assert Store(tmp_path, hub=hub.address).find(NAME)["model.gguf"].read_bytes() == DATA
    ranges = [start for path, start, _ in hub.asked if path == "/storage"]
    assert ranges[0] is None
    assert len(ranges) == 3


def test_a_connection_that_always_breaks_is_given_up(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = [1000] * 5
    with pytest.raises(ConfigError, match="the connection broke 5 times"):
        Store(tmp_path, hub=hub.address).find(NAME)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


def test_the_hubs_own_checksum_is_believed(hub: Hub, tmp_path: Path) -> None:
    hub.says = "0" * 64
    with pytest.raises(ConfigError, match=f"its SHA-256 is {SHA256} instead of 0000"):
        Store(tmp_path, hub=hub.address).find(NAME)


def test_a_hub_that_has_no_such_file_is_quoted(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hf:owner/other/a\.gguf@main: a\.gguf could not be .* answered 404"):
        Store(tmp_path, hub=hub.address).find("hf:owner/other/a.gguf@main")


def test_a_hub_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9/owner.* cannot be reached"):
        Store(tmp_path, hub="http://127.0.0.1:9").find(NAME)


def test_the_hub_is_the_second_source(hub: Hub, tmp_path: Path) -> None:
    source = HubSource("owner/models", "0123abc", "deep/model.gguf")
    known = manifest(ModelFile("model.bin", len(DATA), SHA256, True, (source,)))
    store = Store(tmp_path, hub=hub.address, manifest=known)
    assert store.find("chat/small")["model.bin"].read_bytes() == DATA


def test_a_full_disk_is_noticed_before_the_file_is_read(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="50 MB free, and hf:owner"):
        Store(tmp_path, hub=hub.address, free=lambda folder: 50_000_001).find(NAME)


@pytest.mark.parametrize(
    "name",
    [
        "hf:owner/file.gguf@main",
        "hf:owner/models/model.gguf",
        "hf:owner/models/../../x@main",
        "hf:owner/models/a//b@main",
        "hf:owner/models/a@..",
        "hf:../models/a@main",
        "hf:owner/models/a b?c@main",
    ],
)
def test_a_name_that_is_no_file_on_the_hub_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="write hf:OWNER/REPOSITORY/FILE@REVISION"):
        parse_hub_name(name)
