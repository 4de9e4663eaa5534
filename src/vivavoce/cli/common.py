"""Options, configuration and connections that several commands share."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.errors import ConfigError, ProviderError

if TYPE_CHECKING:
    from anyio import CancelScope

    from vivavoce.config.loading import Loaded
    from vivavoce.config.schema import Config
    from vivavoce.session.line import Line
    from vivavoce.tools.types import Assistant

File = Annotated[
    Path | None, typer.Option("--config", help="The configuration; else ./vivavoce.toml, if there is one.")
]
Preset = Annotated[
    str | None, typer.Option(help="offline (the default), scripted, openai-realtime or azure-realtime.")
]
Chat = Annotated[str | None, typer.Option(help="The chat model; offline: small or large.")]
KeyVariable = Annotated[str | None, typer.Option("--key-env", help="Variable with the server's key.")]


def configuration(
    *,
    file: Path | None = None,
    preset: str | None = None,
    chat: str | None = None,
    host: str | None = None,
    port: int | None = None,
    data: Path | None = None,
) -> "Loaded":
    """Load all layers of the configuration; the command line's come last. Raises `ConfigError`."""
    from vivavoce.config.loading import load

    server = {"host": host, "port": port, "data": data}
    flags: dict[str, object] = {
        "server": {key: value for key, value in server.items() if value is not None},
        "chat": {} if chat is None else {"model": chat},
    }
    return load(file=file, flags=flags if preset is None else {"preset": preset, **flags})


def print_status(sentence: str) -> None:
    """Print a sentence to standard error, apart from the command's output."""
    print(sentence, file=sys.stderr, flush=True)


def key_from(variable: str | None) -> str | None:
    """Return the key in an environment variable. Raises `ConfigError` if it is empty."""
    if variable is None:
        return None
    if key := os.environ.get(variable):
        return key
    raise ConfigError(f"The environment has no {variable}; write: export {variable}=the-key")


@asynccontextmanager
async def open_conversation(
    config: "Config", transport: str, *, assistant: "Assistant | None", url: str | None, key: str | None
) -> AsyncIterator["Line"]:
    """Yield a line to the server at `url`, or without one to models that are loaded in this process."""
    if url is not None:
        from vivavoce.connect import connect, endpoint_at

        async with connect(endpoint_at(url, key=key)) as line:
            yield line
        return
    from vivavoce.runtime import open_runtime
    from vivavoce.session.call import Caller
    from vivavoce.weights.store import every_tenth

    progress = every_tenth(print_status)
    async with open_runtime(
        config, assistant=assistant, on_status=print_status, on_progress=progress
    ) as runtime:
        print_status(runtime.description)
        async with runtime.switchboard.connect(Caller(transport)) as line:
            yield line


def connection_error(line: "Line") -> ProviderError | None:
    """Return the error with which a line's connection was lost, or None."""
    from vivavoce.connect import RemoteLine

    return line.lost if isinstance(line, RemoteLine) else None


async def cancel_on_signal(scope: "CancelScope") -> None:
    """Cancel a scope at the first SIGINT (Ctrl-C) or SIGTERM."""
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return
