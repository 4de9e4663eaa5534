"""`viva check`: what is configured, from where, what is missing, and the line to write."""

from typing import Annotated

import typer

from vivavoce.cli.options import Chat, File, Preset, configuration

__all__ = ["check"]


def check(
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is configured, where it came from, and what is missing."""
    loaded = configuration(file=config, preset=preset, chat=chat)
