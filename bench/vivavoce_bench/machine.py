"""The machine and its load, and the CPU and memory that a process uses."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(1_000_000))\n"


@dataclass(frozen=True)
class Cost:
    """What a process and its children have used: CPU seconds so far, and megabytes of memory now."""

    cpu_seconds: float
    megabytes: float


def cost_of(pid: int) -> Cost | None:
    """Return the cost of a process and its children; None if it has ended."""
    try:
        process = psutil.Process(pid)
        # cpu_times() counts children that have ended, so those that run are added
        family = [process, *process.children(recursive=True)]
        cpu = sum(sum(one.cpu_times()[:4]) for one in family)
        return Cost(cpu, sum(one.memory_info().rss for one in family) / 2**20)
    except psutil.Error:
        return None


def own_cpu() -> float:
    """Return the CPU seconds of the bench itself, without its children."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


def describe() -> str:
    """Return a line about this machine and its load, without its name."""
    load = psutil.getloadavg()[0]
    system, python = platform.system(), platform.python_version()
    return f"{os.cpu_count()} cores, {_processor()}, {system}, Python {python}, load {load:.1f} at the start"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Run this many busy processes until the block is left."""
    neighbours = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
