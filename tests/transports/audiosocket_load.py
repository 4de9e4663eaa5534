"""Many calls by AudioSocket at once, to a server in a process of its own: what one caller then notices.

    PYTHONPATH=tests python -m transports.audiosocket_load --idle 1000

prints the figures of one live call beside idle ones; `--live` are calls that talk at the same time.
"""

import argparse
import asyncio
import os
import resource
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import anyio
import psutil

from clients.serving import reserved_port, running
from vivavoce.transports.telephony.audiosocket import Frame, FrameParser

SLIN16, FRAME = 0x12, 640
QUESTION = Path(__file__).parent.parent / "recordings" / "brooklyn.wav"
IDLE_AT_ONCE = 50
ANSWER_SECONDS = 4.5
"""what the scripted answer takes at least"""
SOUNDS = 150
"""frames of it that are no silence, at least"""
MOST_SECONDS = 15


@dataclass(frozen=True)
class Answer:
    """What one caller was sent, with seconds since the call began, and how late this machine let him speak."""

    frames: list[tuple[float, bytes]] = field(repr=False)
    late: float

    @property
    def sounding(self) -> list[tuple[float, bytes]]:
        loud = [n for n, (_, audio) in enumerate(self.frames) if any(audio)]
        return self.frames[loud[0] : loud[-1] + 1] if loud else []

    @property
    def seconds(self) -> float:
        return len(self.sounding) * 0.02

    @property
    def gaps(self) -> list[float]:
        """Seconds between two frames, the shortest first; beyond 40 ms, a telephone has nothing to play."""
        return sorted(b - a for (a, _), (b, _) in pairwise(self.sounding))

    @property
    def largest_lead(self) -> float:
        """Seconds by which audio was sent ahead of its time."""
        began = self.sounding[0][0]
        return max((n + 1) * 0.02 - (at - began) for n, (at, _) in enumerate(self.sounding))


@dataclass(frozen=True)
class Figures:
    """The answers to those who talked, and kB of memory that an idle call takes."""

    answers: list[Answer]
    memory: float


@contextmanager
def server(folder: Path, conversations: int = 64) -> Iterator[tuple[int, psutil.Process]]:
    """Run a server of scripted providers; yield its port for AudioSocket, and its process."""
    with reserved_port() as port:
        options = ("--preset", "scripted", "--audiosocket-port", str(port))
        environment = {"VIVAVOCE_LIMITS__CONVERSATIONS": str(conversations), "VIVAVOCE_STORE__ENABLED": "false"}
        with running(*options, folder=folder, **environment):
            children = psutil.Process().children(recursive=True)
            (process,) = [one for one in children if str(port) in one.cmdline()]
            yield port, process


async def talk(port: int) -> Answer:
    """Ask a question in real time, listen to the answer, and hang up."""
    frames, sounds = list[tuple[float, bytes]](), list[float]()
    with wave.open(str(QUESTION)) as file:
        question = file.readframes(file.getnframes())
    late = 0.0
    async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as tasks:
        began, loop = anyio.current_time(), asyncio.get_running_loop()

        async def listen() -> None:
            parser = FrameParser()
            while True:
                data = await stream.receive()
                at = loop.time() - began
                new = [(at, frame.payload) for frame in parser.push(data) if frame.kind == SLIN16]
                frames.extend(new)
                sounds.extend(at for at, audio in new if any(audio))

        tasks.start_soon(listen)
        await stream.send(Frame(0x01, uuid4().bytes).encode())
        for n in range(round(MOST_SECONDS * 50)):
            if len(sounds) > SOUNDS and loop.time() - began > sounds[-1] + 1:
                break
            await anyio.sleep_until(began + n * 0.02)
            late = max(late, loop.time() - began - n * 0.02)
            audio = question[n * FRAME : (n + 1) * FRAME].ljust(FRAME, b"\0")
            await stream.send(Frame(SLIN16, audio).encode())
        tasks.cancel_scope.cancel()
    return Answer(frames, late)


async def idle(port: int, count: int, ready: anyio.Event) -> None:
    """Hold connections on which nothing is said, as of callers on hold."""
    connected, limiter = 0, anyio.Semaphore(IDLE_AT_ONCE)

    async def hold() -> None:
        nonlocal connected
        await limiter.acquire()
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(Frame(0x01, uuid4().bytes).encode())
            await stream.receive()
            limiter.release()
            connected += 1
            if connected == count:
                ready.set()
            while await stream.receive():
                pass

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(hold)


async def measure(port: int, process: psutil.Process, idle_calls: int, live: int) -> Figures:
    """Have all these calls at once; print and return what they cost, and what they were answered."""
    answers, memory = list[Answer](), 0.0
    async with anyio.create_task_group() as tasks:
        if idle_calls:
            await talk(port)  # what is loaded once is no idle call's
            before, ready = process.memory_info().rss, anyio.Event()
            tasks.start_soon(idle, port, idle_calls, ready)
            await ready.wait()
            await anyio.sleep(1.5)
            memory = (process.memory_info().rss - before) / idle_calls / 1000
            process.cpu_percent()
            await anyio.sleep(1.5)
            print(f"{idle_calls} idle calls: {memory:.0f} kB each, {process.cpu_percent():.0f} % of a core")

        async def one() -> None:
            answers.append(await talk(port))

        process.cpu_percent()
        async with anyio.create_task_group() as talking:
            for _ in range(live):
                talking.start_soon(one)
        print(f"{live} calls that talk: {process.cpu_percent():.0f} % of a core")
        tasks.cancel_scope.cancel()
    hole, lead = max(one.gaps[-1] for one in answers), max(one.largest_lead for one in answers)
    print(f"answers of {min(one.seconds for one in answers):.1f} s and more, ", end="")
    print(f"largest gap {1000 * hole:.0f} ms, largest lead {1000 * lead:.0f} ms")
    return Figures(answers, memory)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--live", type=int, default=1)
    chosen = parser.parse_args()
    allow_files(2 * (chosen.idle + chosen.live))
    os.environ["VIVAVOCE_KEYS"] = ""
    with (
        TemporaryDirectory() as folder,
        server(Path(folder), chosen.idle + chosen.live + 10) as (port, process),
    ):
        anyio.run(measure, port, process, chosen.idle, chosen.live)


def allow_files(count: int) -> None:
    """Have this process, and those that it starts, open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 500)), hard))


if __name__ == "__main__":
    main()
