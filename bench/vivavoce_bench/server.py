"""Who is called: a real `viva serve` in a process of its own, or an engine in this one."""

import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import anyio
import anyio.abc
import anyio.to_thread
import httpx

from vivavoce.config.loading import load
from vivavoce.config.schema import Config
from vivavoce.errors import ProviderError
from vivavoce.providers.base import ChatModel, Synthesizer, Transcriber, TurnDetector, VoiceActivityModel
from vivavoce.providers.registry import Role
from vivavoce.runtime import choose_providers, open_runtime
from vivavoce.weights.store import here
from vivavoce_bench.machine import Cost, cost_of
from vivavoce_bench.wires import Dial, dial_switchboard, dial_websocket

__all__ = ["Called", "Setup", "called", "listeners", "started", "talkers"]

READY_SECONDS = 600
STOP_SECONDS = 10


@dataclass(frozen=True)
class Setup:
    """What shall be measured."""

    preset: str = "offline"
    chat: str | None = None
    config: Path | None = None
    in_process: bool = False
    assistant: str | None = None

    def config_loaded(self) -> Config:
        """Read the configuration as the server will. Raises `ConfigError`."""
        flags: dict[str, object] = {"preset": self.preset, "chat": {"model": self.chat} if self.chat else {}}
        return load(file=self.config, flags=flags).config

    @property
    def flags(self) -> Sequence[str]:
        """The options of `viva serve` that say the same."""
        flags = [self.assistant] if self.assistant else []
        flags += ["--preset", self.preset]
        flags += ["--chat", self.chat] if self.chat else []
        return [*flags, "--config", str(self.config)] if self.config else flags


@dataclass(frozen=True)
class Called:
    """An engine that is ready: how to call it, what it costs, and where its HTTP doors are, if it has any."""

    dial: Dial
    pid: int
    url: str | None = None

    def cost(self) -> Cost | None:
        """What its process has cost so far; in this process that includes the callers."""
        return cost_of(self.pid)


@asynccontextmanager
async def called(setup: Setup) -> AsyncIterator[Called]:
    """Start what is to be measured, and stop it at the end. Raises `ProviderError` if it does not start."""
    async with _in_process(setup) if setup.in_process else _in_its_own(setup) as ready:
        yield ready


async def listeners(setup: Setup) -> tuple[VoiceActivityModel, TurnDetector | None, Transcriber]:
    """Load only what hears and judges, to be asked directly. Raises `ConfigError`, `ProviderError`."""
    opened = await _opened(setup, ("vad", "turn", "transcriber"))
    return (
        cast("VoiceActivityModel", opened["vad"]),
        cast("TurnDetector | None", opened.get("turn")),
        cast("Transcriber", opened["transcriber"]),
    )


async def talkers(setup: Setup) -> tuple[ChatModel, Synthesizer, Transcriber]:
    """Load only what answers, speaks and hears, to be asked directly. Raises `ConfigError`, `ProviderError`."""
    opened = await _opened(setup, ("chat", "synthesizer", "transcriber"))
    return (
        cast("ChatModel", opened["chat"]),
        cast("Synthesizer", opened["synthesizer"]),
        cast("Transcriber", opened["transcriber"]),
    )


async def _opened(setup: Setup, roles: Sequence[Role]) -> Mapping[Role, object]:
    choices, store = choose_providers(setup.config_loaded()), here()
    wanted = [role for role in roles if role in choices]
    names = [name for role in wanted for name in choices[role].models]
    await anyio.to_thread.run_sync(store.pull, names)
    return {role: await choices[role].plugin.open(choices[role].settings, store.weights) for role in wanted}


@asynccontextmanager
async def _in_process(setup: Setup) -> AsyncIterator[Called]:
    async with open_runtime(setup.config_loaded()) as runtime:
        yield Called(dial_switchboard(runtime.switchboard), os.getpid())


@asynccontextmanager
async def _in_its_own(setup: Setup) -> AsyncIterator[Called]:
    setup.config_loaded()  # the owner's mistakes are told here, not in the server's log
    command = [sys.executable, "-c", "from vivavoce.cli import main; main()", "serve", *setup.flags]
    async with started([*command, "--host", "127.0.0.1", "--port"]) as ready:
        yield ready


@asynccontextmanager
async def started(command: Sequence[str]) -> AsyncIterator[Called]:
    """Run a server in a process of its own, whose command ends in the port, and stop it at the end."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        async with await anyio.open_process(
            [*command, str(port)], stdin=None, stdout=log, stderr=log
        ) as process:
            try:
                with anyio.move_on_after(READY_SECONDS) as waiting:
                    await _until_ready(url, process)
                if waiting.cancelled_caught or process.returncode is not None:
                    raise ProviderError("viva serve", f"did not start: {_last_words(log)}")
                dial = dial_websocket(f"ws://127.0.0.1:{port}/v1/realtime", os.environ.get("VIVAVOCE_KEYS"))
                yield Called(dial, process.pid, url)
            finally:
                with anyio.CancelScope(shield=True):
                    await _stop(process)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def _until_ready(url: str, process: anyio.abc.Process) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            try:
                if (await client.get(f"{url}/readyz")).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:  # it does not listen yet
                pass
            await anyio.sleep(0.1)


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def _stop(process: anyio.abc.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    with anyio.move_on_after(STOP_SECONDS):
        await process.wait()
        return
    process.kill()
    await process.wait()
