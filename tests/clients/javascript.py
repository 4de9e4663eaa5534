"""JavaScript clients: their packages, installed once, and what a script with one of them reports."""

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from clients.environments import installing
from clients.recorder import Recorder
from clients.rules import Direction, check
from clients.talk import sound_of
from vivavoce.audio import g711

__all__ = ["NODE", "Held", "Reports", "has_node", "hold", "obeys", "packages", "write_recordings"]

NODE = Path(__file__).parent / "node"
SECONDS = 60


@dataclass(frozen=True)
class Held:
    """How one scenario went: its steps in order, and what the client found wrong."""

    steps: list[dict[str, Any]]
    errors: list[Any]
    ignored: list[Any]
    failure: str | None = None
    score: list[tuple[Direction, dict[str, Any]]] = field(default_factory=list)
    """over WebRTC, what was said on the data channel, for no relay stands there"""

    def step(self, name: str) -> dict[str, Any]:
        """Return what was seen at a step, which is there once."""
        assert self.failure is None, self.failure
        (found,) = [step for step in self.steps if step["step"] == name]
        return found


Reports = dict[str, Held]


def has_node() -> None:
    """Skip the test where Node.js is not installed."""
    if not (shutil.which("node") and shutil.which("npm")) and "CI" not in os.environ:
        pytest.skip("Node.js is not installed")


def packages() -> Path:
    """Install what the lock file names, unless it is there already. Return the folder with the packages."""
    has_node()
    lock = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()
    modules = NODE / "node_modules"
    installed = modules / ".lock"
    with installing("node"):
        if not installed.exists() or installed.read_text() != lock:
            subprocess.run(["npm", "ci", "--no-progress"], cwd=NODE, check=True, timeout=300)
            installed.write_text(lock)
    return modules


def write_recordings(folder: Path, *names: str) -> Path:
    """Write recordings of people as clients send them, PCM16 at 24 kHz and µ-law, into a folder."""
    for name in names:
        (folder / f"{name}.pcm").write_bytes(sound_of(name))
        (folder / f"{name}.ulaw").write_bytes(g711.encode(sound_of(name, 8000), "ulaw"))
    return folder


def hold(script: str, url: str, recordings: Path, *scenarios: str) -> Reports:
    """Hold a conversation for each scenario, all at once, and return how they went."""
    packages()
    done = subprocess.run(
        ["node", script, url, str(recordings), *scenarios],
        cwd=NODE,
        env={**os.environ, "OPENAI_AGENTS_DISABLE_TRACING": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    return {line.pop("scenario"): Held(**line) for line in lines}


def obeys(recorder: Recorder, scenario: str, errors: tuple[str, ...] = ()) -> None:
    """Hold all that the server said in a scenario against the types and the order of the protocol."""
    (call,) = [call for call in recorder.calls if parse_qs(urlsplit(call.path).query)["scenario"] == [scenario]]
    check(call.score, beta=call.beta, errors=errors)
