"""`viva history`: conversations that were stored."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vivavoce.cli.common import File, configuration, journal_folder
from vivavoce.errors import ConfigError, alternatives

if TYPE_CHECKING:
    from vivavoce.store.database import Database
    from vivavoce.store.queries import Record

app = typer.Typer(
    no_args_is_help=True, help="Conversations that were stored: list, show, search, export, delete."
)

Result = TypeVar("Result")
Id = Annotated[str, typer.Argument(metavar="ID", help="A conversation, or the beginning of its id.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Identity = Annotated[str | None, typer.Option(help="Those of a person, by the identity that is stored.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
LINE = 100
"""characters of a line of a list"""


@app.command("list")
def list_(
    limit: Limit = 20,
    before: Annotated[str | None, typer.Option(help="Only those before this conversation.")] = None,
    identity: Identity = None,
    as_json: AsJson = False,
    config: File = None,
) -> None:
    """List conversations, newest first."""
    from vivavoce.store.pages import ConversationFilter
    from vivavoce.store.queries import list_conversations

    async def run(database: "Database") -> "Sequence[Record]":
        where = ConversationFilter(identity=identity).conditions(database)
        return await list_conversations(database, limit=limit, before=before, where=where)

    found = _ask(run, config)
    if as_json:
        _print_json(found)
        return
    for one in found:
        print(f"{one['id']}  {one['started']:%Y-%m-%d %H:%M}  {one['items']:4}  {_line(one['first'])}")


@app.command()
def show(conversation: Id, as_json: AsJson = False, config: File = None) -> None:
    """Show a conversation: who said what, what was heard of it, and how long each stage took."""
    from rich.console import Console

    from vivavoce.store.queries import stored_waterfall
    from vivavoce.store.timings import draw_waterfall

    record = _find(conversation, config)
    _export(record, "json" if as_json else "markdown", None)
    if not as_json and (rows := stored_waterfall(record)):
        Console().print("\n", draw_waterfall(rows))


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="What was said, however it was spelled.")],
    limit: Limit = 20,
    as_json: AsJson = False,
    config: File = None,
) -> None:
    """Find what was said, newest first; all the words must be in what one of both said at once."""
    from vivavoce.store.export import speaker
    from vivavoce.store.queries import search

    found = _ask(lambda database: search(database, " ".join(words), limit=limit), config)
    if as_json:
        _print_json(found)
        return
    for one in found:
        print(
            f"{one['conversation_id']}  {one['created']:%Y-%m-%d %H:%M}  {speaker(one)}: {_line(one['text'])}"
        )


@app.command()
def export(
    conversation: Id,
    as_: Annotated[str, typer.Option("--format", help="json, markdown, srt or wav.")] = "json",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; else standard output.")] = None,
    config: File = None,
) -> None:
    """Write a conversation as JSON, Markdown, subtitles or sound."""
    from vivavoce.store.export import FORMATS

    if as_ not in (*FORMATS, "wav"):
        raise ConfigError(f"--format cannot be {as_!r}; {alternatives(as_, (*FORMATS, 'wav'))}.")
    _export(_find(conversation, config), as_, output)


@app.command()
def delete(
    conversations: Annotated[list[str] | None, typer.Argument(metavar="IDS...", help="Conversations.")] = None,
    identity: Identity = None,
    config: File = None,
) -> None:
    """Delete conversations with all that belongs to them, so that nothing of them is left in the file."""
    from vivavoce.store.entries import store_left
    from vivavoce.store.queries import find_conversation, ids_of
    from vivavoce.store.retention import delete_with_recordings

    if not conversations and not identity:
        raise ConfigError("Which conversations? Write: viva history delete ID, or --identity SOMEBODY")
    journal = journal_folder(configuration(file=config).config)

    async def run(database: "Database") -> tuple[int, bool]:
        await store_left(database, journal)  # what a killed server has left is deleted as well
        ids = [(await find_conversation(database, each))["id"] for each in conversations or ()]
        ids += await ids_of(database, identity) if identity else []
        return len(ids), await delete_with_recordings(database, ids, journal)

    count, is_scrubbed = _ask(run, config)
    print(f"Deleted: {count}.")
    if not is_scrubbed:
        problem = "somebody reads the database, so deleted words are still in its log"
        raise ConfigError(f"{problem}; write, when nobody does: viva db check --scrub")


def _find(conversation: str, config: Path | None) -> "Record":
    from vivavoce.store.queries import find_conversation

    return _ask(lambda database: find_conversation(database, conversation), config)


def _export(record: "Record", kind: str, output: Path | None) -> None:
    from vivavoce.store.export import FORMATS

    try:
        if kind == "wav":
            _write_wav(record, output)
        elif output:
            output.write_text(FORMATS[kind](record), encoding="utf-8")
        else:
            print(FORMATS[kind](record), end="")
    except OSError as error:
        raise ConfigError(f"{output or 'The recording'}: {error}.") from error


def _write_wav(record: "Record", output: Path | None) -> None:
    from vivavoce.store.playback import from_store
    from vivavoce.store.recordings import write_wav

    if not record["recordings"]:
        raise ConfigError(f"{record['id']} has no recording.")
    if output is None:
        raise ConfigError("Sound needs a file; write: --output conversation.wav")
    with output.open("wb") as sink:
        from_store(lambda: write_wav(record["recordings"][0]["url"], sink))


@asynccontextmanager
async def open_database(config: Path | None) -> "AsyncIterator[Database]":
    """Yield the database that the configuration names, as it is. Raises `ConfigError` if it cannot be read."""
    database = configured_database(config)
    await database.open(upgrade=False)
    try:
        yield database
    finally:
        await database.close()


def configured_database(config: Path | None) -> "Database":
    """Return the database that the configuration names, without opening it. Raises `ConfigError`."""
    from vivavoce.extras import missing_packages

    if missing := ", ".join(missing_packages("store")):
        raise ConfigError(f"Stored conversations need {missing}; write: pip install 'vivavoce[store]'")
    from vivavoce.store.database import Database

    return Database(configuration(file=config).config.store_url)


def _ask(question: "Callable[[Database], Awaitable[Result]]", config: Path | None) -> Result:
    import anyio

    async def run() -> Result:
        async with open_database(config) as database:
            return await question(database)

    return anyio.run(run)


def _print_json(records: "object") -> None:
    from vivavoce.store.export import to_json

    print(to_json(records), end="")


def _line(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= LINE else f"{line[:LINE]}…"
