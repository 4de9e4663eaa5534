"""`viva models`: lists, downloads and verifies the weights of models."""

from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.common import Quiet
from vivavoce.cli.progress import Progress

if TYPE_CHECKING:
    from vivavoce.weights.manifest import Model

app = typer.Typer(no_args_is_help=True, help="Weights: which exist, which are here, how to fetch the others.")

WIDTH = 90
"""width of the table; a narrower terminal wraps lines instead of hiding names"""

Names = Annotated[
    list[str] | None, typer.Argument(help="Sets and models; also hf:OWNER/REPOSITORY/FILE@REVISION.")
]


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show every known model, and whether it is here."""
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from vivavoce.weights.store import user_store

    store = user_store()
    models = [(model, store.present(model.id) is not None) for model in store.manifest.models]
    if as_json:
        fields = ("id", "name", "role", "licence", "languages", "summary", "size")
        facts = [{**{name: getattr(model, name) for name in fields}, "present": here} for model, here in models]
        typer.echo(msgspec.json.encode(facts).decode())
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "does", "MB", "licence", "here"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "MB" else "left")
    for model, here in models:
        megabytes = f"{model.size / 1e6:,.1f}" if model.size < 1e7 else f"{model.size / 1e6:,.0f}"
        table.add_row(model.id, model.role, megabytes, model.licence, _presence(model, here))
    console = Console(width=max(Console().width, WIDTH))
    console.print(table)
    sets = "; ".join(f"{name} ({', '.join(ids)})" for name, ids in store.manifest.sets.items())
    console.print(f"\nSets: {sets}.\nThey are kept in {store.folder}.", soft_wrap=True, highlight=False)


def _presence(model: "Model", here: bool) -> str:
    if model.bundled:
        return f"yes, with {model.bundled.extra}" if here else f"comes with {model.bundled.extra}"
    return "yes" if here else "no"


@app.command()
def pull(names: Names = None, quiet: Quiet = False) -> None:
    """Fetch models that are not here, and check all of them; without a name, what a first talk needs."""
    from vivavoce.weights.store import user_store

    with Progress(quiet=quiet) as progress:
        pulled = user_store().pull(names or ["default"], thorough=True, on_progress=progress.on_progress)
    if not quiet:
        typer.echo(f"Complete: {', '.join(pulled)}.")


@app.command()
def verify(names: Names = None) -> None:
    """Read models completely, all that are here unless named; exit code 1 if one is damaged or missing."""
    from vivavoce.weights.store import user_store

    findings = list(user_store().verify(names))
    for finding in findings:
        typer.echo(f"{finding.state:8} {finding.model}: {finding.path}")
    if not findings:
        typer.echo("There is nothing to verify.")
    if bad := dict.fromkeys(finding.model for finding in findings if finding.state != "ok"):
        typer.echo(f"To repair: viva models pull {' '.join(bad)}", err=True)
        raise typer.Exit(1)


@app.command()
def path(name: Annotated[str, typer.Argument(help="A model.")]) -> None:
    """Print where the files of a model are, a line for each; exit code 1 if they are not here."""
    from vivavoce.weights.store import user_store

    files = user_store().present(name)
    if files is None:
        typer.echo(f"{name} is not here; to fetch it: viva models pull {name}", err=True)
        raise typer.Exit(1)
    for file in files.values():
        typer.echo(file)
