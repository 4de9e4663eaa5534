"""`viva db`: the database of stored conversations."""

from pathlib import Path
from typing import Annotated

import typer

from vivavoce.cli.common import File, configuration, recordings_folder
from vivavoce.cli.history import configured_database

app = typer.Typer(no_args_is_help=True, help="The database of conversations: upgrade, backup, restore, check.")


@app.command()
def upgrade(config: File = None) -> None:
    """Make the tables, or bring them up to date; `viva serve` does so itself."""
    import anyio

    from vivavoce.store.entries import refold

    database = configured_database(config)

    async def run() -> None:
        await database.open()
        await refold(database)
        await database.close()

    anyio.run(run)
    print(f"{database.about} is up to date.")


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The copy.")], config: File = None
) -> None:
    """Write a copy of the database in a file, also while a server uses it. PostgreSQL has pg_dump."""
    configured_database(config).backup(target)
    print(f"{target} is a copy, and in order.")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A copy.")], config: File = None
) -> None:
    """Replace the database by a copy, while no server uses it; the old one is kept beside it."""
    database = configured_database(config)
    old = database.restore(source)
    print(f"{database.about} is now what {source} was." + (f" What was there is in {old}." if old else ""))


@app.command()
def check(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the index for searching anew, first.")
    ] = False,
    scrub: Annotated[bool, typer.Option("--scrub", help="Remove what deleted rows have left behind.")] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Delete recordings of no conversation, first.")
    ] = False,
    config: File = None,
) -> None:
    """Read the whole database, and say what is wrong; exit code 1 if something is."""
    import anyio

    from vivavoce.store.files import ask, delete
    from vivavoce.store.retention import unknown_recordings

    database = configured_database(config)
    folder = recordings_folder(configuration(file=config).config)

    async def unknown() -> list[str]:
        found = await unknown_recordings(database, folder)
        if sweep:
            for url in found:
                await ask(delete, url)
                print(f"{url} is deleted.")
        elif found:
            size = f"{len(found)} recordings in {folder} ({sum(found.values()) / 1e6:,.1f} MB)"
            return [f"{size} belong to no conversation of this database; write: viva db check --sweep"]
        return []

    async def run() -> list[str]:
        await database.open(upgrade=False)
        if rebuild:
            await database.rebuild_index()
        left = (
            [] if not scrub or await database.scrub() else ["deleted words are in the log: somebody reads it"]
        )
        found = [*await database.problems(), *left, *await unknown()]
        await database.close()
        return found

    problems = anyio.run(run)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print(f"{database.about} is in order.")
