"""A real server in a process of its own, as a person would start it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

READY_SECONDS = 180


@contextmanager
def running(*options: str, folder: Path) -> Iterator[str]:
    """Run `viva serve` with these options; give its address when `/readyz` says yes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "viva"), "serve", "--port", str(port), *options]
    log = folder / "serve.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, "NO_COLOR": "1"}
        ) as server,
    ):
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/readyz", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            assert server.wait(timeout=20) == 0, log.read_text()


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    transport = httpx.HTTPTransport(retries=10)
    with httpx.Client(transport=transport, timeout=READY_SECONDS) as client:
        while server.poll() is None:
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx.ConnectError:
                continue
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("--preset", "scripted", folder=tmp_path_factory.mktemp("scripted")) as url:
        yield url


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(folder=tmp_path_factory.mktemp("offline")) as url:
        yield url
