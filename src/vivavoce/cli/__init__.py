"""The command `viva`. Each command is a module of its own, which loads what is heavy only when it runs."""

import os
import sys

import typer

from vivavoce.cli.ask import ask
from vivavoce.cli.bench import bench
from vivavoce.cli.check import check
from vivavoce.cli.models import app as models
from vivavoce.cli.serve import serve
from vivavoce.cli.talk import talk
from vivavoce.errors import ConfigError, ProviderError

__all__ = ["app", "main"]

app = typer.Typer(
    name="viva",
    help="Talk with an AI by voice, from anywhere, on any models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(ask)
app.command()(talk)
app.command()(check)
app.command()(bench)
app.add_typer(models, name="models")


def main() -> None:
    """Run a command. The owner's mistakes end in one sentence and exit code 2, the world's in exit code 1."""
    # libgomp reads this when it is loaded: its threads otherwise spin, and starve whoever else has work
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads stall a small product for 100 ms
    failure: BaseException | None = None
    try:
        app()
    except* (ConfigError, ProviderError) as failures:
        failure = _first(failures)
    if failure:
        print(f"viva: {failure}", file=sys.stderr)
        sys.exit(2 if isinstance(failure, ConfigError) else 1)


def _first(failure: BaseException) -> BaseException:
    """Return the failure that came first; those of the other tasks followed from it."""
    return _first(failure.exceptions[0]) if isinstance(failure, BaseExceptionGroup) else failure
