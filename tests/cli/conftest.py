"""A server with the stage's models, and `viva` beside it."""

import os
import subprocess
import wave
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from cli.forking import run_viva
from vivavoce.config.schema import PRESETS, Config
from vivavoce.runtime import Runtime
from vivavoce.testing.simulation import Simulation
from vivavoce.web.app import Web
from vivavoce.web.server import listen, serving

Done = subprocess.CompletedProcess[bytes]
Viva = Callable[..., Awaitable[Done]]
Serve = Callable[[Simulation], AbstractAsyncContextManager[str]]


@pytest.fixture
def viva(tmp_path: Path) -> Viva:
    """Run `viva` in an empty folder; `said` is what it is told on standard input."""

    async def run(*arguments: str, said: bytes = b"", **environment: str) -> Done:
        call = partial(
            run_viva, *arguments, folder=tmp_path, environment={**os.environ, **environment}, said=said
        )
        return await anyio.to_thread.run_sync(call)

    return run


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def open_site(simulation: Simulation) -> AsyncIterator[str]:
        runtime = Runtime(Config.model_validate({**PRESETS["scripted"]}))
        await runtime.use_providers(simulation.engine.providers)
        async with serving(Web(runtime), listen("127.0.0.1", 0)) as url:
            yield url

    return open_site


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    """Write a WAV at 16 kHz: pairs of a level and its seconds."""

    def write(*levels: tuple[int, float], name: str = "question.wav") -> Path:
        path = tmp_path / name
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            for level, seconds in levels:
                file.writeframes(array("h", [level] * round(seconds * 16_000)).tobytes())
        return path

    return write
