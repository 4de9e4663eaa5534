"""The command `viva`. Each subcommand is a module, which imports slow packages only when it runs.

Other packages add commands with entry points in the group `vivavoce.commands`, named like the command; each
refers to a function or a `typer.Typer`.
"""

import os
import sys
from collections.abc import Iterable
from errno import EIO, ENOSPC, EPIPE
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated

import typer

from vivavoce.cli.ask import ask
from vivavoce.cli.call import call
from vivavoce.cli.check import check
from vivavoce.cli.db import app as db
from vivavoce.cli.history import app as history
from vivavoce.cli.models import app as models
from vivavoce.cli.phone import phone
from vivavoce.cli.replay import replay
from vivavoce.cli.serve import serve
from vivavoce.cli.talk import talk
from vivavoce.errors import ConfigError, ProviderError

__all__ = ["GROUP", "commands", "main"]

GROUP = "vivavoce.commands"
SEPARATE = {"bench": "vivavoce-bench"}
"""our commands that are in a separate package"""


def commands(added: Iterable[EntryPoint]) -> typer.Typer:
    """Return `viva` with its own commands and those of other packages."""
    app = typer.Typer(
        name="viva",
        help="Talk with an AI by voice, from anywhere, on any models.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_with_version)
    for command in (serve, phone, ask, talk, call, replay, check):
        app.command()(command)
    for name, group in {"models": models, "history": history, "db": db}.items():
        app.add_typer(group, name=name)
    installed = {point.name: point.load() for point in added}
    for name, found in sorted(installed.items()):
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    for name in SEPARATE.keys() - installed.keys():
        _add_missing(app, name)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"viva {version('vivavoce')}")
        raise typer.Exit


def _with_version(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


def _add_missing(app: typer.Typer, name: str) -> None:
    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    @app.command(name, hidden=True, context_settings=anything)
    def missing(context: typer.Context) -> None:
        raise ConfigError(f"viva {context.info_name} is not installed; write: pip install {SEPARATE[name]}")


def main() -> None:
    """Run a command. `ConfigError` is printed and exits with code 2, other expected errors with code 1."""
    # read by libgomp when it is loaded: otherwise its idle threads spin, and take CPU from other threads
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads stall a small matrix product for 100 ms
    failure: BaseException | None = None
    try:
        commands(entry_points(group=GROUP))()
    except* (ConfigError, ProviderError) as failures:
        failure = _first(failures)
    except* OSError as failures:
        failure = _first(failures)
        if not isinstance(failure, OSError) or failure.errno not in (EIO, ENOSPC, EPIPE):
            raise
        failure = ProviderError("standard output", f"cannot be written: {failure.strerror}")
    if failure:
        print(f"viva: {failure}", file=sys.stderr)
        sys.exit(2 if isinstance(failure, ConfigError) else 1)


def _first(failure: BaseException) -> BaseException:
    """Return the first failure of a group; the failures of other tasks followed from it."""
    return _first(failure.exceptions[0]) if isinstance(failure, BaseExceptionGroup) else failure
