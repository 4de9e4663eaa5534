"""Real servers in processes of their own, as a person would start them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

__all__ = ["answers", "doomed", "reserved_port", "running"]

ANSWER_SECONDS = 180
BETWEEN_SECONDS = 0.05
"""So that who asks leaves the machine to who is asked."""
STOP_SECONDS = 60


@contextmanager
def reserved_port() -> Iterator[int]:
    """Hold a free port, which a server that sets SO_REUSEADDR may take and nobody else is given."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def running(*options: str, folder: Path, scheme: str = "http", **environment: str) -> Iterator[str]:
    """Run `viva serve` with these options; give its address when `/readyz` says yes."""
    log = folder / "serve.log"
    with reserved_port() as port, log.open("wb") as output:
        command = [str(Path(sys.executable).parent / "viva"), "serve", "--port", str(port), *options]
        environment = {**os.environ, "NO_COLOR": "1", **environment}
        with subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment
        ) as server:
            try:
                asked = answers(f"{scheme}://127.0.0.1:{port}/readyz", server)
                status = next((status for status in asked if status != 503), "it has ended")
                assert status == 200, f"{status}\n{log.read_text()[-5000:]}"
                yield f"{scheme}://127.0.0.1:{port}/v1"
            finally:
                server.terminate()
                assert server.wait(timeout=STOP_SECONDS) == 0, log.read_text()


@contextmanager
def doomed(*options: str, folder: Path, port: int = 0) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run `viva serve` with these options, which may be killed and is in the end; give its address, and it.

    `port` 0 is any.
    """
    viva = str(Path(sys.executable).parent / "viva")
    with reserved_port() as free, (folder / "serve.log").open("wb") as log:
        port = port or free
        command = [viva, "serve", "--port", str(port), *options]
        with subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ}) as server:
            try:
                asked = answers(f"http://127.0.0.1:{port}/readyz", server)
                assert next(status for status in asked if status != 503) == 200
                yield f"http://127.0.0.1:{port}/v1", server
            finally:
                server.kill()


def answers(url: str, server: "subprocess.Popen[bytes]") -> Iterator[int]:
    """Ask now and then, and yield the status of each answer, as long as the server's process lives.

    Each time by a new connection: a server that loads models may close an old one just when it is asked.
    """
    anew = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(timeout=ANSWER_SECONDS, trust_env=False, limits=anew, verify=False) as client:  # noqa: S501
        while not _ended(server):
            with suppress(httpx.ConnectError):
                yield client.get(url).status_code


def _ended(server: "subprocess.Popen[bytes]") -> bool:
    try:
        server.wait(timeout=BETWEEN_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True
