"""Runs the weather desk, a real MCP server."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clients.serving import answers, reserved_port

__all__ = ["DESK", "desk"]

DESK = Path(__file__).parent / "weather_desk.py"


@contextmanager
def desk(kind: str, port: int | None = None) -> Iterator[int]:
    """Run the weather desk, at a port or any; give the port once somebody answers there."""
    with reserved_port() as free:
        port = port or free
        line = [sys.executable, str(DESK), kind, str(port)]
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                assert any(answers(f"http://127.0.0.1:{port}/", server))
                yield port
            finally:
                server.terminate()
                server.wait(timeout=60)
