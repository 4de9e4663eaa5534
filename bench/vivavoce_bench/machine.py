"""The machine: what it is, how busy it is, and what a process has cost it."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "busy_neighbours", "cost_of", "describe"]

MEGABYTE = 1024 * 1024
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(1_000_000))\n"


@dataclass(frozen=True)
class Cost:
    """What a process and its children have taken so far: seconds of CPU, megabytes of memory now."""

    cpu_seconds: float
    megabytes: float


def cost_of(pid: int) -> Cost | None:
    """Return what a process and its children cost; None where there is no /proc to tell."""
    try:
        return _cost_of(pid)
    except (OSError, ValueError, IndexError):
        return None


def _cost_of(pid: int) -> Cost:
    # proc(5): the name may hold spaces, so fields are counted from its closing bracket
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))
    cpu = ticks / os.sysconf("SC_CLK_TCK")
    megabytes = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            if cost := cost_of(int(child)):
                cpu, megabytes = cpu + cost.cpu_seconds, megabytes + cost.megabytes
    return Cost(cpu, megabytes)


def describe() -> str:
    """Say in one line what machine this is and how busy it was, without naming it."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()}, Python {platform.python_version()}{load}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Keep so many other processes busy for as long as the block lasts."""
    neighbours = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
