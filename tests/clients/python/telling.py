"""What every script needs: its arguments, a person's voice, an ear, and a way to tell what happened."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

__all__ = ["RATE", "URL", "Ear", "frames", "hold", "tell"]

URL = sys.argv[1]
"""The recorder's address, `ws://…/v1`."""
RATE = 24000
SOUNDS = Path(sys.argv[2])
"""A folder of recordings, 24 kHz PCM16 without a header."""
WANTED = sys.argv[3:]
"""The scenarios to hold, by name."""


def tell(step: str, **facts: Any) -> None:
    """Print what a step came to."""
    print(json.dumps({"step": step, **facts}), flush=True)


async def hold(*scenarios: Callable[[], Awaitable[None]]) -> None:
    """Hold the conversations that are wanted, all at once."""
    async with anyio.create_task_group() as tasks:
        for scenario in scenarios:
            if scenario.__name__ in WANTED:
                tasks.start_soon(scenario)


async def frames(name: str, *, silence: float = 1.5) -> AsyncIterator[bytes]:
    """Yield a recording and some silence in frames of 20 ms, as fast as a microphone."""
    sound = (SOUNDS / f"{name}.pcm").read_bytes() + bytes(int(silence * RATE) * 2)
    chunk, due = RATE // 50 * 2, anyio.current_time()
    for at in range(0, len(sound), chunk):
        yield sound[at : at + chunk].ljust(chunk, b"\0")
        due += 0.02
        await anyio.sleep_until(due)


class Ear:
    """Keeps what a client hears, and waits for what it shall hear."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self._news = anyio.Event()

    def hear(self, event: Any) -> None:
        """Keep an event."""
        self.heard.append(event)
        self._news.set()
        self._news = anyio.Event()

    async def until(
        self, fits: Callable[[Any], bool], *, times: int = 1, since: int = 0, seconds: float = 60
    ) -> list[Any]:
        """Return what was heard since a moment, once so many events of it fit."""
        with anyio.fail_after(seconds):
            while sum(map(fits, self.heard[since:])) < times:
                await self._news.wait()
        return self.heard[since:]
