"""Clients that cannot be installed beside our own tools: each has an environment, and a script.

An environment is made by uv from `requirements/clients/NAME.txt`, in `.venv-clients/NAME`, and kept until that
file changes. A script holds its conversations with the server and prints a line of JSON for each step.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.recorder import Recorder

__all__ = ["HERE", "ROOT", "Story", "installing", "play", "python_of"]

HERE = "this environment"
ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "python"
SCRIPT_SECONDS = 120


@dataclass(frozen=True)
class Story:
    """What a client told of its conversations, step by step, and what the recorder heard of them."""

    steps: dict[str, dict[str, Any]]
    recorder: Recorder

    def __getitem__(self, step: str) -> dict[str, Any]:
        return self.steps[step]


def python_of(name: str) -> Path:
    """Return the Python of a client's environment, made now unless it is there and up to date."""
    if name == HERE:
        return Path(sys.executable)
    locked, folder = ROOT / "requirements/clients" / f"{name}.txt", ROOT / ".venv-clients" / name
    python, stamp = folder / "bin/python", folder / "made-of"
    wanted = f"{sys.version} {hashlib.sha256(locked.read_bytes()).hexdigest()}"
    with installing(name):
        if not stamp.is_file() or stamp.read_text() != wanted:
            _uv("venv", "--clear", "--python", sys.executable, folder)
            _uv("pip", "sync", "--require-hashes", "--python", python, locked)
            stamp.write_text(wanted)
    return python


@contextmanager
def installing(name: str) -> Iterator[None]:
    """Let only one of the processes that run the tests install this."""
    locks = ROOT / ".venv-clients"
    locks.mkdir(exist_ok=True)
    with (locks / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _uv(*arguments: str | Path) -> None:
    command = [Path(sys.executable).parent / "uv", *arguments, "--quiet"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def play(script: str, recorder: Recorder, sounds: Path, *scenarios: str, environment: str) -> Story:
    """Let a client's script hold these conversations through the recorder."""
    python = python_of(environment)
    played = subprocess.run(
        [python, SCRIPTS / script, recorder.websocket_url, sounds, *scenarios],
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr[-5000:]
    steps = [json.loads(line) for line in played.stdout.splitlines() if line.startswith("{")]
    return Story({step.pop("step"): step for step in steps}, recorder)
