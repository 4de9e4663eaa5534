"""`viva models`: which weights there are, which are here, and how the others come."""

import sys
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vivavoce.weights.manifest import Model
    from vivavoce.weights.store import Report, Store

__all__ = ["app", "pull_visibly"]

app = typer.Typer(no_args_is_help=True, help="Weights: which there are, which are here, how the others come.")

WIDTH = 90
"""columns that the table needs; a narrower terminal wraps its lines rather than hide names"""

Names = Annotated[
    list[str] | None, typer.Argument(help="Sets and models; also hf:OWNER/REPOSITORY/FILE@REVISION.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing unless something is wrong.")]


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show every known model, and whether it is here."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from vivavoce.weights.store import here

    store = here()
    models = [(model, store.present(model.id) is not None) for model in store.manifest.models]
    if as_json:
        typer.echo(msgspec.json.encode([_facts(model, present) for model, present in models]).decode())
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "does", "MB", "licence", "here"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "MB" else "left")
    for model, present in models:
        table.add_row(model.id, model.role, _megabytes(model.size), model.licence, _presence(model, present))
    console = Console(width=max(Console().width, WIDTH))
    console.print(table)
    sets = "; ".join(f"{name} ({', '.join(ids)})" for name, ids in store.manifest.sets.items())
    console.print(f"\nSets: {sets}.\nThey are kept in {store.folder}.", soft_wrap=True, highlight=False)


@app.command()
def pull(names: Names = None, quiet: Quiet = False) -> None:
    """Fetch models that are not here, and check all of them; without a name, what a first talk needs."""
    from vivavoce.weights.store import here

    store = here()
    pulled = pull_visibly(store, names or ["default"], quiet=quiet)
    if not quiet:
        typer.echo(f"Here and whole: {', '.join(pulled)}.")


@app.command()
def verify(names: Names = None) -> None:
    """Read models from end to end, all that are here unless named; exit code 1 if one is damaged or missing."""
    from vivavoce.weights.store import here

    findings = list(here().verify(names))
    for finding in findings:
        typer.echo(f"{finding.state:8} {finding.model}: {finding.path}")
    if not findings:
        typer.echo("There is nothing to verify.")
    bad = dict.fromkeys(finding.model for finding in findings if finding.state != "ok")
    if bad:
        typer.echo(f"To put it right: viva models pull {' '.join(bad)}", err=True)
        raise typer.Exit(1)


@app.command()
def path(name: Annotated[str, typer.Argument(help="A model.")]) -> None:
    """Print where the files of a model are, a line for each; exit code 1 if they are not here."""
    from vivavoce.weights.store import here

    store = here()
    files = store.present(name)
    if files is None:
        typer.echo(f"{name} is not here; to fetch it: viva models pull {name}", err=True)
        raise typer.Exit(1)
    for file in files.values():
        typer.echo(file)


def pull_visibly(store: "Store", names: Iterable[str], *, quiet: bool = False) -> tuple[str, ...]:
    """Pull and check models and sets, and show how far it is: bars on a terminal, else sentences."""
    from rich import progress
    from rich.console import Console

    from vivavoce.cli.progress import Progress

    if quiet:
        return tuple(store.pull(names, thorough=True, report=lambda name, arrived, total: None))
    if not sys.stderr.isatty():
        return tuple(store.pull(names, thorough=True, report=Progress(partial(typer.echo, err=True))))
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bars:
        return tuple(store.pull(names, thorough=True, report=_bars(bars)))


def _bars(progress: "Progress") -> "Report":
    tasks: dict[str, TaskID] = {}

    def report(name: str, arrived: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name)
        progress.update(tasks[name], completed=arrived, total=total)

    return report


def _facts(model: "Model", present: bool) -> dict[str, object]:
    facts = {
        name: getattr(model, name) for name in ("id", "name", "role", "licence", "languages", "summary", "size")
    }
    return {**facts, "present": present}


def _presence(model: "Model", present: bool) -> str:
    if model.bundled:
        return f"yes, with {model.bundled.extra}" if present else f"comes with {model.bundled.extra}"
    return "yes" if present else "no"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}" if size < 1e7 else f"{size / 1e6:,.0f}"
