"""Run `viva` in processes that are forked from one which has imported everything already.

A short command spends nearly all of its time on imports. All else is as when a user starts it: arguments,
folder, environment, the three streams and the exit status. `clients.serving` starts it from nothing.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

__all__ = ["run_viva"]

IMPORTED = ("vivavoce.cli", "vivavoce.runtime", "vivavoce.web.app", "vivavoce.web.server", "vivavoce.client")
SECONDS = 120
_one_at_a_time = Lock()


def run_viva(
    *arguments: str, folder: Path, environment: Mapping[str, str], said: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run `viva` with these arguments, this environment and nothing else, and these words on standard input."""
    with _one_at_a_time, TemporaryDirectory() as at:
        streams = [Path(at) / name for name in ("stdin", "stdout", "stderr")]
        os.mkfifo(streams[0])
        task = [arguments, str(folder), dict(environment), [str(stream) for stream in streams]]
        parent = _forking()
        assert parent.stdin is not None
        assert parent.stdout is not None
        print(json.dumps(task), file=parent.stdin, flush=True)
        with suppress(BrokenPipeError), streams[0].open("wb", buffering=0) as stdin:
            stdin.write(said)
        status = int(parent.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, streams[1].read_bytes(), streams[2].read_bytes())


@cache
def _forking() -> "subprocess.Popen[str]":
    parent = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(parent.communicate)
    return parent


def _fork() -> None:
    """Fork for each line of standard input, and print each exit status."""
    sys.path[0] = str(Path(sys.executable).parent)  # as for a script that is installed
    for module in IMPORTED:
        import_module(module)
    for task in sys.stdin:
        child = os.fork()
        if child == 0:
            _become_viva(*json.loads(task))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become_viva(arguments: list[str], folder: str, environment: dict[str, str], streams: list[str]) -> None:
    from vivavoce.cli import main

    signal.alarm(SECONDS)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY), number)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    sys.argv = ["viva", *arguments]
    main()
    sys.exit()


if __name__ == "__main__":
    _fork()
