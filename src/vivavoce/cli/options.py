"""Options that several commands share, and the configuration that they make."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vivavoce.config.loading import Loaded

__all__ = ["Chat", "File", "Preset", "configuration"]

File = Annotated[
    Path | None, typer.Option("--config", help="The configuration; else ./vivavoce.toml, if there is one.")
]
Preset = Annotated[
    str | None, typer.Option(help="offline (the default), scripted, openai-realtime or azure-realtime.")
]
Chat = Annotated[str | None, typer.Option(help="The chat model; offline: small or large.")]


def configuration(
    *,
    file: Path | None = None,
    preset: str | None = None,
    chat: str | None = None,
    host: str | None = None,
    port: int | None = None,
    data: Path | None = None,
) -> "Loaded":
    """Read all layers, the command line's last. Raises `ConfigError`."""
    from vivavoce.config.loading import load

    server = {"host": host, "port": port, "data": data}
    flags: dict[str, object] = {
        "preset": preset,
        "server": {key: value for key, value in server.items() if value is not None},
        "chat": {} if chat is None else {"model": chat},
    }
    return load(file=file, flags={key: value for key, value in flags.items() if value is not None})
