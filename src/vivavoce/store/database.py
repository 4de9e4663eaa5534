"""The database: SQLite in a file, or PostgreSQL by its address; made and upgraded when it is opened."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from functools import lru_cache
from math import inf
from pathlib import Path
from shutil import move
from threading import TIMEOUT_MAX, Timer
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    CompileError,
    DataError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from vivavoce.errors import ConfigError, ProviderError
from vivavoce.store.tables import KEYS, metadata

if TYPE_CHECKING:
    import aiosqlite

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
BUSY_SECONDS = 10
"""seconds that SQLite waits for another process that writes"""
_SQLITE = {"timeout": BUSY_SECONDS}
CONNECT_SECONDS, ANSWER_SECONDS = 10, 30
"""seconds in which PostgreSQL must accept a connection, and write what it is given at once"""
CHECK_SECONDS = 5
"""seconds for which a server reads an SQLite file at its start, to find damage"""
CHECKPOINTS = 50
"""times that emptying SQLite's log is tried, 0.1 s apart, while others read"""
_MERGE = "INSERT INTO items_words (items_words, rank) VALUES ('merge', -500)"
_FREE = "PRAGMA incremental_vacuum(1000)"
"""merges some pages of SQLite's index for searching, and gives some free pages back"""
_ROW_BYTES = 28
"""what PostgreSQL needs for a row besides its columns"""
_UPGRADING = 0x76697661
"""PostgreSQL's advisory lock of whoever upgrades the tables"""
_MIGRATIONS = Path(__file__).with_name("migrations")


class Database:
    """A database by its URL, such as `sqlite:////folder/file` or `postgresql://user@host/name`.

    Raises `ConfigError` for another URL. Its methods raise `ProviderError` where the database fails, which is
    not `retryable` if it refuses a row as such; and `ConfigError` where its owner has to do something.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
            self.url = parsed.set(drivername=DRIVERS[parsed.drivername])
        except (ArgumentError, KeyError) as error:
            known = "such as sqlite:////folder/conversations.db or postgresql://user@host/database"
            raise ConfigError(f"[store] url is no address of a database, {known}.") from error
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.file = Path(self.url.database or "conversations.db")
        self._engine = self._connect()
        self._writer = _prepared(sa.create_engine(parsed, connect_args=_SQLITE)) if self.is_sqlite else None
        """writes into SQLite, in a thread"""

    @property
    def about(self) -> str:
        """The file; or the address, without its password."""
        return str(self.file) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that writes, and is committed if nothing is raised."""
        async with self._connected() as connection, connection.begin():
            yield connection

    async def write(self, work: Callable[[sa.Connection], None]) -> None:
        """Call `work` with a connection in a transaction that is committed if it raises nothing.

        For SQLite that is in a thread: its async driver changes threads four times for each statement, which
        takes more CPU than the statements do. For PostgreSQL it is here, so `work` must not compute for long.
        """
        with self._describing():
            if self._writer:
                await anyio.to_thread.run_sync(self._write_into_file, self._writer, work)
                return
            try:
                with anyio.fail_after(ANSWER_SECONDS):  # a server that hangs says nothing, for hours
                    async with self._engine.begin() as connection:
                        await connection.run_sync(work)
            except TimeoutError as error:
                raise TimeoutError(f"there was no answer within {ANSWER_SECONDS:g} seconds") from error

    def _write_into_file(self, engine: sa.Engine, work: Callable[[sa.Connection], None]) -> None:
        if not self.file.exists():  # what is written into a file without a name is lost
            raise FileNotFoundError(f"{self.file.name} was removed")
        with engine.begin() as connection:
            work(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that reads one state. What is cancelled does not go on."""
        with self._describing():
            async with self._engine.connect() as connection:
                await connection.execution_options(vivavoce="BEGIN")
                driver = (await connection.get_raw_connection()).driver_connection
                try:
                    yield connection
                except anyio.get_cancelled_exc_class():
                    if self.is_sqlite:  # its thread would go on to the end; PostgreSQL's driver cancels itself
                        await cast("aiosqlite.Connection", driver).interrupt()
                    raise

    async def rows(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        """Return the rows that a statement finds, each by the names of its columns."""
        async with self.reading() as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection. With SQLite, whose steps are short, cancelling waits until it is given back.

        To end a connection that was cancelled, SQLAlchemy stops aiosqlite's thread and then asks it to close.
        In a cancelled scope that never ends, and the end of the event loop waits for it.
        """
        with self._describing(), anyio.CancelScope(shield=self.is_sqlite):
            async with self._engine.connect() as connection:
                yield connection

    async def open(self, *, upgrade: bool = True) -> None:
        """Check the database and make or upgrade its tables; with `upgrade=False` raise if they are not new.

        Before an SQLite file is upgraded, it is copied. Both are done in one transaction.
        """
        if self.is_sqlite and upgrade:
            if await anyio.to_thread.run_sync(self._make_file):
                await self.close()  # connections to a file that was removed
        elif self.is_sqlite:
            _require(self.file)
        async with self.writing() if upgrade else self.reading() as connection:
            if not self.is_sqlite and upgrade:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADING)))
            await connection.run_sync(self._upgrade if upgrade else self._compare_revision)

    async def close(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=self.is_sqlite):
            await self._engine.dispose()
        if self._writer:
            self._writer.dispose()

    async def scrub(self) -> bool:
        """Remove what deleted rows have left behind; return whether nothing of it can be read any more.

        SQLite overwrites deleted rows (`secure_delete`), but FTS5 keeps deleted words until its parts are
        merged, and the log keeps old pages until it is emptied, which waits for others that read. All is done
        in steps, between which others can write. PostgreSQL is asked for VACUUM, after which the space is used
        again; its own log and backups are its administrator's.
        """
        async with self._connected() as connection:
            if not self.is_sqlite:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.exec_driver_sql(
                    "VACUUM items, events, usage, timings, summaries, conversations"
                )
                return True
            await connection.execution_options(vivavoce="")
            await _repeat(connection, _MERGE, "SELECT total_changes()", least=2)
            await _repeat(connection, _FREE, "PRAGMA freelist_count", least=1)
            for _ in range(CHECKPOINTS):
                checkpoint = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                if not checkpoint.scalar_one():
                    return True
                await anyio.sleep(0.1)
        return False

    async def used_bytes(self, enough: int = 0) -> int:
        """Return the bytes that rows and indexes need, without space that is free to be used again.

        PostgreSQL does not tell that space. So if its tables take more than `enough`, what their rows need is
        estimated, for which it counts them.
        """
        async with self.reading() as connection:
            if self.is_sqlite:
                pragmas = ("page_count", "freelist_count", "page_size")
                found = [await connection.exec_driver_sql(f"PRAGMA {name}") for name in pragmas]
                pages, free, size = (one.scalar_one() for one in found)
                return int((pages - free) * size)
            names = [table.name for table in metadata.sorted_tables]
            taken = {name: await _number(connection, f"pg_total_relation_size('{name}')") for name in names}
            needed = sum(taken.values())
            if needed <= enough:
                return round(needed)
            needed = 0
            for name in names:
                rows = f"(SELECT avg(pg_column_size(one.*)) FROM (SELECT * FROM {name} LIMIT 1000) AS one)"  # noqa: S608
                own = f"coalesce((SELECT count(*) FROM {name}) * ({rows} + {_ROW_BYTES}), 0)"  # noqa: S608
                table = max(1, await _number(connection, f"pg_table_size('{name}')"))
                needed += taken[name] * min(1, await _number(connection, own) / table)
            return round(needed)

    async def problems(self) -> Sequence[str]:
        """Return what is wrong with the tables and the index for searching; reads all of it."""
        await self.open(upgrade=False)
        if not self.is_sqlite:
            async with self.reading() as connection:
                bad = "SELECT count(*) FROM items WHERE folded IS NOT NULL AND words IS NULL"
                missing = (await connection.exec_driver_sql(bad)).scalar_one()
            return [f"{missing} items are not in the index"] if missing else []
        async with self._connected() as connection:
            await connection.execution_options(vivavoce="")
            found = (await connection.exec_driver_sql("PRAGMA integrity_check")).scalars().all()
            orphans = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all()
            try:
                verify = "INSERT INTO items_words (items_words, rank) VALUES ('integrity-check', 1)"
                await connection.exec_driver_sql(verify)
                index = []
            except DBAPIError as error:
                index = [f"the index for searching: {error.orig}"]
        rows = [f"a row of {row[0]} belongs to no conversation" for row in orphans]
        return [*(one for one in found if one != "ok"), *rows, *index]

    async def rebuild_index(self) -> None:
        """Make SQLite's index for searching anew; PostgreSQL's is always right."""
        if self.is_sqlite:
            async with self.writing() as connection:
                await connection.exec_driver_sql("INSERT INTO items_words (items_words) VALUES ('rebuild')")

    def backup(self, target: Path) -> None:
        """Write a copy of a database in a file, also while it is used. Raises `ConfigError` for PostgreSQL."""
        if not self.is_sqlite:
            raise ConfigError(
                f"{self.about} is backed up by PostgreSQL's own means; write: pg_dump --format=custom"
            )
        if target.exists():
            raise ConfigError(f"{target} is there already; name another file.")
        _check(self.file)
        with self._describing():
            _copy(self.file, target)

    def restore(self, source: Path) -> Path | None:
        """Replace a database in a file by a copy, while nobody uses it; return where the old one is, if any.

        Raises `ConfigError` for PostgreSQL, for a damaged copy, and while the database is used.
        """
        if not self.is_sqlite:
            raise ConfigError(f"{self.about} is restored by PostgreSQL's own means; write: pg_restore")
        _check(source)
        old = self.file.with_name(f"{self.file.name}.before-restore")
        if self.file.exists():
            if old.exists():
                raise ConfigError(f"{old} is there already, from an earlier restore; move it away.")
            self._check_unused()
            for end in ("-wal", "-shm", ""):
                if (part := self.file.with_name(self.file.name + end)).exists():
                    move(part, old.with_name(old.name + end))
        with self._describing():
            _copy(source, self.file)
        return old if old.exists() else None

    def _check_unused(self) -> None:
        """Raise if another process has the file open: then SQLite cannot leave its log."""
        with closing(sqlite3.connect(self.file, timeout=0)) as connection:
            try:
                connection.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.OperationalError as error:
                raise ConfigError(f"{self.file} is in use ({error}); stop the server first.") from error
            except sqlite3.DatabaseError:  # damaged, which is why it is replaced
                return

    def _connect(self) -> AsyncEngine:
        options: dict[str, Any] = {"connect_args": _SQLITE}
        if not self.is_sqlite:
            options = {"connect_args": {"connect_timeout": CONNECT_SECONDS}, "pool_pre_ping": True}
        try:
            engine = create_async_engine(self.url, **options)
        except ImportError as error:
            raise ConfigError(f"{error}; write: pip install 'vivavoce[store,postgres]'") from error
        if self.is_sqlite:
            _prepared(engine.sync_engine)
        return engine

    @contextmanager
    def _describing(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError, OverflowError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            problem, refused = " ".join(str(cause).split()), _is_refusal(error)
            if type(cause) is sqlite3.DatabaseError:  # no subclass: a page that cannot be
                raise _damaged(self.file, problem) from error
            raise ProviderError("store", f"{self.about}: {problem}", retryable=not refused) from error

    def _make_file(self) -> bool:
        """Make an SQLite file, or check the one that is there; return whether it was made."""
        if self.file.exists():
            _check(self.file, CHECK_SECONDS)
            return False
        with self._describing():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch(mode=0o600)  # SQLite gives its log the same
        return True

    def _compare_revision(self, connection: sa.Connection) -> bool:
        """Return whether the tables are made and current; raise if they are newer, or older."""
        current, known = self._revisions(connection)
        if current != known[0]:
            raise ConfigError(f"{self.about} has an older form; write: viva db upgrade")
        return True

    def _revisions(self, connection: sa.Connection) -> tuple[str | None, Sequence[str]]:
        """Return the revision of the tables, and those that we know, newest first. Raise if it is newer.

        Alembic knows them as well, but to import it takes a command longer than to list conversations.
        """
        is_made = sa.inspect(connection).has_table("alembic_version")
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version") if is_made else None
        current = found.scalar_one_or_none() if found else None
        known = sorted((path.name[1:5] for path in (_MIGRATIONS / "versions").glob("r*.py")), reverse=True)
        if current is not None and current not in known:
            raise ConfigError(
                f"{self.about} was made by a newer vivavoce (revision {current}; this one knows {known[0]}); "
                "update vivavoce. Nothing was changed."
            )
        return current, known

    def _upgrade(self, connection: sa.Connection) -> None:
        from alembic import command
        from alembic.config import Config

        current, known = self._revisions(connection)
        if current == known[0]:
            return
        if current is not None and self.is_sqlite:
            copy = self.file.with_name(f"{self.file.name}.before-{known[0]}")
            copy.unlink(missing_ok=True)
            _copy(self.file, copy)
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows, or change those that are there. All have the same columns, of which some are its key."""
    statement = _upsert(table, tuple(rows[0]), connection.dialect.name == "sqlite")
    connection.execute(statement, [dict(row) for row in rows])


@lru_cache
def _upsert(table: sa.Table, columns: tuple[str, ...], is_sqlite: bool) -> sa.Insert:
    """Return the statement for rows with these columns. To make it takes longer than to execute it."""
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(table)
    changed = {name: insert.excluded[name] for name in columns if name not in KEYS[table.name]}
    return insert.on_conflict_do_update(index_elements=KEYS[table.name], set_=changed)


def _is_refusal(error: Exception) -> bool:
    """Return whether a database, or its driver, refuses a value as such, so that it need not be tried again."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError)
    return isinstance(error, CompileError | StatementError | OverflowError)


async def _number(connection: AsyncConnection, expression: str) -> float:
    return float((await connection.exec_driver_sql(f"SELECT {expression}")).scalar_one())


async def _repeat(connection: AsyncConnection, statement: str, measure: str, *, least: int) -> None:
    """Execute a statement, each time on its own, until what is measured changes by less than `least`."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    after = (await connection.exec_driver_sql(measure)).scalar_one()
    before = inf
    while abs(after - before) >= least:
        # `execute` ends at the first row, of which `incremental_vacuum` has one, without columns, for each page
        await raw.executescript(statement)
        before, after = after, (await connection.exec_driver_sql(measure)).scalar_one()


def _require(file: Path) -> None:
    if not file.exists():
        raise ConfigError(f"{file}: there is no such file; nothing was stored yet.")


def _check(file: Path, seconds: float = TIMEOUT_MAX) -> None:
    """Raise `ConfigError` if an SQLite file is missing or damaged, as far as can be read in so many seconds."""
    _require(file)
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as connection:
            timer = Timer(seconds, connection.interrupt)
            timer.start()
            try:
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            finally:
                timer.cancel()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise ProviderError("store", f"{file}: {error}", retryable=True) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(file, str(error)) from error
    else:
        if found != "ok":
            raise _damaged(file, found)


def _damaged(file: Path, problem: str) -> ConfigError:
    return ConfigError(f"{file} is damaged ({problem}); write: viva db restore a-backup")


def _copy(source: Path, target: Path) -> None:
    """Copy an SQLite file that may be in use, its log included."""
    with closing(sqlite3.connect(source, timeout=BUSY_SECONDS)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def _prepared(engine: sa.Engine) -> sa.Engine:
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    """Let transactions begin where we say so, and set what belongs to each connection."""
    connection.isolation_level = None
    cursor = connection.cursor()
    # the first has an effect on a new file only, in which free pages can then be given back in steps
    for pragma in (
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """Begin: to write at once (else, after another process has written, SQLite fails), unless we only read."""
    if begin := connection.get_execution_options().get("vivavoce", "BEGIN IMMEDIATE"):
        connection.exec_driver_sql(str(begin))
