"""The database is made, upgraded, checked, copied and restored; what is newer or in use is refused."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.played import PARIS, play, record, recorder
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.store import migrations
from vivavoce.store.database import Database
from vivavoce.store.entries import refold
from vivavoce.store.queries import list_conversations, search
from vivavoce.store.recorder import recording
from vivavoce.store.tables import metadata

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


@pytest.mark.parametrize(
    "url", ["", "conversations.db", "mysql://host/x", "sqlite+pysqlite:///x", "postgres:::"]
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of a database"):
        Database(url)


async def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    def compare(connection: sa.Connection) -> list[object]:
        options = {
            "include_object": lambda _, name, kind, reflected, other: (
                not (kind == "table" and str(name).startswith("items_words"))
                and name not in ("words", "ix_items_words")
            )
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(compare) == []


def test_the_name_of_a_migration_begins_with_its_revision() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    names = {one.revision: Path(one.path).name for one in script.walk_revisions()}
    assert {revision: name[1:5] for revision, name in names.items()} == {one: one for one in names}
    assert script.get_current_head() == max(names)


async def test_opening_again_changes_nothing(url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path, until=3)
    again = Database(url)
    await again.open()
    await again.open(upgrade=False)
    assert len(await list_conversations(again)) == 1
    await again.close()


async def test_newer_tables_are_refused_and_left_as_they_are(
    url: str, database: Database, tmp_path: Path
) -> None:
    await database.open()
    async with database.writing() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    said = list[str]()
    one = recorder(url, tmp_path, on_status=said.append)
    play(one)
    async with recording(one):
        pass
    assert "newer vivavoce (revision 9999" in said[0]
    assert await list_conversations(database) == []
    async with database.writing() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    async with recording(recorder(url, tmp_path)):
        pass
    assert len(await list_conversations(database)) == 1


async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    gone = recorder("postgresql://viva:secret@127.0.0.1:1/none", tmp_path)
    play(gone)
    async with recording(gone):
        pass
    assert gone.problem is not None
    assert "127.0.0.1" in gone.problem
    assert "secret" not in gone.problem


async def test_two_processes_write_into_one_database(url: str, database: Database, tmp_path: Path) -> None:
    one, other = recorder(url, tmp_path / "1"), recorder(url, tmp_path / "2")
    play(one)
    play(other)
    async with recording(one), recording(other):
        play(one)
        play(other)
    assert len(await list_conversations(database)) == 4
    assert await database.problems() == []


async def test_what_was_folded_by_an_older_version_is_folded_again(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path)
    async with database.writing() as connection:
        await connection.exec_driver_sql("UPDATE items SET folded = 'nothing'")
        await connection.exec_driver_sql("UPDATE facts SET value = '0'")
    assert await search(database, "france") == []
    await refold(database)
    assert len(await search(database, "france")) == 1


async def test_a_backup_is_complete_while_others_write_and_can_be_restored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/conversations.db"
    await record(url, tmp_path)
    database = Database(url)
    await database.open()
    copy = tmp_path / "copy.db"
    database.backup(copy)
    with pytest.raises(ConfigError, match="is there already"):
        database.backup(copy)
    await record(url, tmp_path, PARIS)
    async with database.reading() as connection:
        await connection.exec_driver_sql("SELECT count(*) FROM items")
        with pytest.raises(ConfigError, match=r"in use .* stop the server first"):
            database.restore(copy)
    await database.close()
    old = database.restore(copy)
    assert old
    assert len(await list_conversations(database)) == 1
    assert await database.problems() == []
    assert sqlite3.connect(old).execute("SELECT count(*) FROM conversations").fetchone() == (2,)
    await database.close()


async def test_a_damaged_file_can_be_replaced_by_a_copy_but_not_by_a_damaged_one(tmp_path: Path) -> None:
    url, file, copy = (
        f"sqlite:///{tmp_path}/conversations.db",
        tmp_path / "conversations.db",
        tmp_path / "copy.db",
    )
    await record(url, tmp_path)
    database = Database(url)
    database.backup(copy)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ConfigError, match=r"is damaged .* viva db restore"):
        await database.open()
    with pytest.raises(ConfigError, match="is damaged"):
        database.restore(file)
    database.restore(copy)
    assert len(await list_conversations(database)) == 1
    await database.close()


async def test_an_index_that_lacks_something_is_found_and_made_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/conversations.db"
    await record(url, tmp_path)
    database = Database(url)
    async with database.writing() as connection:
        await connection.exec_driver_sql("INSERT INTO items_words (items_words) VALUES ('delete-all')")
    (problem,) = await database.problems()
    assert "the index for searching" in problem
    await database.rebuild_index()
    assert await database.problems() == []
    await database.close()


async def test_a_database_that_does_not_exist_is_not_made_by_a_question(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(ConfigError, match="nothing was stored yet"):
        await database.open(upgrade=False)
    assert not database.file.exists()


async def test_a_row_that_is_refused_does_not_keep_others_out(
    url: str, database: Database, tmp_path: Path
) -> None:
    one = recorder(url, tmp_path)
    one.put("conversations", {"id": "x", "transport": None}, new=True)  # without what a conversation must have
    play(one)
    async with recording(one):
        pass
    assert len(await list_conversations(database)) == 1


async def test_postgresql_is_copied_by_its_own_programs(postgresql_server: str, tmp_path: Path) -> None:
    database = Database(postgresql_server.replace("+psycopg", ""))
    with pytest.raises(ConfigError, match="pg_dump"):
        database.backup(tmp_path / "copy")
    with pytest.raises(ProviderError, match="does_not_exist"):
        async with database.reading() as connection:
            await connection.exec_driver_sql("SELECT * FROM does_not_exist")
    await database.close()
