"""The target of a measurement: a `viva serve` in a process of its own, or an engine in this process."""

import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.abc
import anyio.to_thread
import httpx

from vivavoce.client import RealtimeClient
from vivavoce.config.loading import load
from vivavoce.config.schema import Config
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.providers.registry import Role
from vivavoce.runtime import choose_providers, open_runtime
from vivavoce.session.call import Caller
from vivavoce.weights.store import user_store
from vivavoce_bench.caller import LIMITS, Dial
from vivavoce_bench.machine import Cost, cost_of

READY_SECONDS = 600
STOP_SECONDS = 10
VIVA = [sys.executable, "-c", "from vivavoce.cli import main; main()"]


@dataclass(frozen=True)
class Setup:
    """The target and its configuration."""

    preset: str = "offline"
    chat: str | None = None
    config: Path | None = None
    in_process: bool = False
    assistant: str | None = None

    def load(self) -> Config:
        """Read the configuration as the server will. Raises `ConfigError`."""
        flags: dict[str, object] = {"preset": self.preset, "chat": {"model": self.chat} if self.chat else {}}
        return load(file=self.config, flags=flags).config

    @property
    def arguments(self) -> Sequence[str]:
        """The same for `viva serve`."""
        options = {"--preset": self.preset, "--chat": self.chat, "--config": self.config}
        named = [word for name, value in options.items() if value for word in (name, str(value))]
        return [self.assistant, *named] if self.assistant else named


@dataclass(frozen=True)
class MeasuredServer:
    """A ready server, or an engine in this process. `url` is its HTTP address, if it has one."""

    dial: Dial
    pid: int
    url: str | None = None

    @property
    def address(self) -> str:
        """Its address for HTTP. Raises `ConfigError` for an engine in this process."""
        if self.url is None:
            raise ConfigError("--webrtc needs a server; leave out --in-process.")
        return self.url

    def cost(self) -> Cost | None:
        """Return the cost of its process so far; in this process that includes the callers."""
        return cost_of(self.pid)


def key() -> str | None:
    """Return the key that the server, which has the same environment, asks for."""
    return os.environ.get("VIVAVOCE_KEYS")


@asynccontextmanager
async def running(setup: Setup, variables: Mapping[str, str] | None = None) -> AsyncIterator[MeasuredServer]:
    """Start the target, a server with these environment variables added, and stop it at the end.

    Raises `ConfigError` and `ProviderError`.
    """
    config = setup.load()  # mistakes in it are reported here, not in the server's log
    if setup.in_process:
        async with open_runtime(config) as runtime:
            dial = partial(RealtimeClient, lambda: runtime.switchboard.connect(Caller("bench")), limits=LIMITS)
            yield MeasuredServer(dial, os.getpid())
    else:
        command = [*VIVA, "serve", *setup.arguments, "--host", "127.0.0.1", "--port"]
        async with started(command, variables) as server:
            yield server


async def open_providers(setup: Setup, *roles: Role) -> Sequence[Any]:
    """Load the providers of these roles, to ask them directly; None for a role that is left out.

    Raises `ConfigError` and `ProviderError`.
    """
    choices, store = choose_providers(setup.load()), user_store()
    wanted = [choices[role] for role in roles if role in choices]
    await anyio.to_thread.run_sync(store.pull, [model for choice in wanted for model in choice.models])
    opened = {choice.role: await choice.plugin.open(choice.settings, store.weights) for choice in wanted}
    return [opened.get(role) for role in roles]


@asynccontextmanager
async def started(
    command: Sequence[str], variables: Mapping[str, str] | None = None
) -> AsyncIterator[MeasuredServer]:
    """Run a server in a process of its own, whose command ends with the port, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        environment = {**os.environ, **(variables or {})}
        process = await anyio.open_process(
            [*command, str(port)], stdin=None, stdout=log, stderr=log, env=environment
        )
        try:
            with anyio.move_on_after(READY_SECONDS) as waiting:
                await _until_ready(url, process)
            if waiting.cancelled_caught or process.returncode is not None:
                raise ProviderError("viva serve", f"did not start: {_last_line(log)}")
            dial = partial(RealtimeClient, f"{url}/v1", key=key(), limits=LIMITS)
            yield MeasuredServer(dial, process.pid, url)
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process)


async def _until_ready(url: str, process: anyio.abc.Process) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            with suppress(httpx.TransportError):  # it does not listen yet
                if (await client.get(f"{url}/readyz")).is_success:
                    return
            await anyio.sleep(0.1)


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


async def _stop(process: anyio.abc.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(STOP_SECONDS):
            await process.wait()
            return
        process.kill()
        await process.wait()
