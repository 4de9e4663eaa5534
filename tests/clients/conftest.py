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

from clients.recorder import Recorder, recording
from clients.talk import sound_of

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
    transport = httpx.HTTPTransport(retries=2)
    with httpx.Client(transport=transport, timeout=READY_SECONDS) as client:
        while server.poll() is None:
            try:
                answer = client.get(url)
            except httpx.ConnectError:
                continue
            if answer.status_code == 200:
                return
            assert answer.status_code == 503, f"{answer.text}\n{log.read_text()[-5000:]}"
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("--preset", "scripted", folder=tmp_path_factory.mktemp("scripted")) as url:
        yield url


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(folder=tmp_path_factory.mktemp("offline")) as url:
        yield url


@pytest.fixture(scope="module")
def relay(scripted: str) -> Iterator[Recorder]:
    """Stand between the server and all that the clients of one file say."""
    with recording(scripted) as relay:
        yield relay


@pytest.fixture
def recorder(scripted: str) -> Iterator[Recorder]:
    """Stand before the scripted server; what it has said is checked when the test is over."""
    with recording(scripted) as relay:
        yield relay
    relay.check()


@pytest.fixture
def recorder_offline(offline: str) -> Iterator[Recorder]:
    """The same before the offline models."""
    with recording(offline) as relay:
        yield relay
    relay.check()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recordings as a client sends them: 24 kHz PCM16."""
    folder = tmp_path_factory.mktemp("sounds")
    for name in ("brooklyn", "weather"):
        (folder / f"{name}.pcm").write_bytes(sound_of(name))
    return folder
