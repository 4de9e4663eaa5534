"""Whatever becomes of databases and disks, conversations go on, the owner is told once, and nothing is lost."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import msgspec
import pytest

from postgresql import schema
from store.played import PARIS, play, record, recorder
from store.relay import relayed
from vivavoce.store import database
from vivavoce.store.database import Database
from vivavoce.store.queries import find_conversation, list_conversations
from vivavoce.store.recorder import recording
from vivavoce.testing.simulation import CallerSays

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 (a thread or another process changes it)
            await anyio.sleep(0.05)


async def counts(database: Database) -> list[int]:
    """Return how many items each conversation has, oldest first."""
    return [one["items"] for one in reversed(await list_conversations(database))]


@pytest.mark.parametrize("failure", ["is_gone", "is_hanging"])
async def test_a_postgresql_that_vanishes_or_hangs_in_mid_conversation_gets_all_when_it_is_back(
    failure: str, postgresql_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivavoce.store.database.ANSWER_SECONDS", 0.5)
    said: list[str] = []
    with schema(postgresql_server) as url, relayed(url) as relay:
        one, database = (
            recorder(relay.url, tmp_path, on_status=said.append),
            Database(url.replace("+psycopg", "")),
        )
        async with recording(one):
            play(one)
            await until(lambda: one._opened.is_set() and not one._journal.pending)
            setattr(relay, failure, True)
            play(one, PARIS, CallerSays(6, "And of Italy?"), until=12)
            await until(lambda: said)
            assert await counts(database) == [2]
            await anyio.sleep(2.5)  # it is tried again, and not told again
            assert len(said) == 1
            setattr(relay, failure, False)
            await until(lambda: len(said) == 2)
            assert await counts(database) == [2, 4]
        await database.close()
    assert said[0].startswith("Conversations go on, but are not stored: store: postgresql")
    assert ("no answer within 0.5 seconds" in said[0]) == (failure == "is_hanging")
    assert said[1] == "Conversations are stored again."


async def test_a_postgresql_that_hangs_does_not_keep_the_server_from_stopping(
    postgresql_server: str, tmp_path: Path
) -> None:
    with schema(postgresql_server) as url, relayed(url) as relay:
        one = recorder(relay.url, tmp_path)
        async with recording(one):
            play(one)
            await until(lambda: one._opened.is_set() and not one._journal.pending)
            relay.is_hanging = True
            play(one)
            began = anyio.current_time()
        assert anyio.current_time() - began < 11
        database = Database(url.replace("+psycopg", ""))
        assert await counts(database) == [2]
        async with recording(recorder(url.replace("+psycopg", ""), tmp_path)):
            pass
        assert await counts(database) == [2, 2], "the next server stores what is in the journal"
        await database.close()


# a file


async def test_a_file_that_becomes_damaged_is_told_and_its_copy_gets_all_that_was_said(tmp_path: Path) -> None:
    file, said = tmp_path / "conversations.db", list[str]()
    url = f"sqlite:///{file}"
    await record(url, tmp_path)
    Database(url).backup(tmp_path / "copy.db")
    one = recorder(url, tmp_path, on_status=said.append)
    async with recording(one):
        play(one)
        await until(lambda: one._opened.is_set() and not one._journal.pending)
        Database(url).backup(tmp_path / "newer.db")
        damage(file)
        play(one)
        await until(lambda: said)
        play(one)
    assert len(said) == 1
    assert "damaged" in said[0] or "malformed" in said[0]
    remove(file)
    (tmp_path / "newer.db").rename(file)
    async with recording(recorder(url, tmp_path)):
        pass
    database = Database(url)
    assert await counts(database) == [2, 2, 2, 2]
    assert await database.problems() == []
    await database.close()


def remove(file: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)


def damage(file: Path) -> None:
    """Overwrite all but the first page of a database."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as pages:
        pages.seek(4096)
        pages.write(b"x" * (file.stat().st_size - 4096))


async def test_a_locked_file_does_not_keep_the_server_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database._SQLITE, "timeout", 1)
    monkeypatch.setattr("vivavoce.store.recorder.CLOSE_SECONDS", 0.2)
    file = tmp_path / "conversations.db"
    await record(f"sqlite:///{file}", tmp_path)
    one, before = recorder(f"sqlite:///{file}", tmp_path), asyncio.all_tasks()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with recording(one):
            play(one)
    assert asyncio.all_tasks() == before, "what is left would keep the process"
    monkeypatch.undo()
    async with recording(recorder(f"sqlite:///{file}", tmp_path)):
        pass
    stored = Database(f"sqlite:///{file}")
    assert await counts(stored) == [2, 2]
    await stored.close()


async def test_a_file_that_was_removed_is_made_again_and_the_owner_is_told(tmp_path: Path) -> None:
    file, said = tmp_path / "conversations.db", list[str]()
    one = recorder(f"sqlite:///{file}", tmp_path, on_status=said.append)
    async with recording(one):
        play(one)
        await until(lambda: one._opened.is_set() and not one._journal.pending)
        remove(file)
        play(one)
        await until(lambda: len(said) == 2)
    assert "conversations.db was removed" in said[0]
    database = Database(f"sqlite:///{file}")
    assert await counts(database) == [2]
    await database.close()


READ_ONLY = """
import os, sys, anyio, sqlite3
sys.path.insert(0, {tests!r})
from pathlib import Path
from tempfile import TemporaryDirectory
from store.played import play, recorder
from vivavoce.store.recorder import recording
import av, fsspec.implementations.local, sqlalchemy.dialects.sqlite.aiosqlite, alembic.command, snowballstemmer

async def main():
    folder = Path({folder!r})
    play(recorder("sqlite:///unused.db", folder / "warm"))  # imports all that a user without rights cannot read
    if os.geteuid() == 0:
        os.setuid(65534)
    one = recorder(f"sqlite:///{{folder}}/conversations.db", folder / "writable", on_status=print,
        recordings=str(folder / "recordings"))
    play(one)
    play(one)
    async with recording(one):
        pass

anyio.run(main)
"""


def allow(folder: Path, folders: int, file: int) -> None:
    (folder / "conversations.db").chmod(file)
    (folder / "recordings").chmod(folders)
    folder.chmod(folders)


async def test_a_file_and_a_folder_that_may_only_be_read_are_told_once_each_and_nothing_is_harmed() -> None:
    with TemporaryDirectory(prefix="viva-read-only-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/conversations.db"
        await record(url, folder / "writable")
        (folder / "recordings").mkdir()
        before = (folder / "conversations.db").read_bytes()
        allow(folder, 0o555, 0o444)
        for path in (folder / "writable", folder / "writable/journal"):
            path.chmod(0o777)
        script = READ_ONLY.format(tests=str(Path(__file__).parents[1]), folder=str(folder))
        ran = await anyio.run_process([sys.executable, "-c", script], check=False)
        assert ran.returncode == 0, ran.stderr.decode()
        said = ran.stdout.decode().splitlines()
        assert len([line for line in said if "are not stored" in line]) == 1, said
        assert len([line for line in said if "are not recorded" in line]) == 1, said
        assert "readonly database" in ran.stdout.decode()
        assert (folder / "conversations.db").read_bytes() == before
        allow(folder, 0o755, 0o644)
        async with recording(recorder(url, folder / "writable")):
            pass
        database = Database(url)
        assert await counts(database) == [2, 2, 2]
        await database.close()


async def test_tables_of_a_newer_version_are_left_alone_and_the_conversation_goes_on(
    url: str, database: Database, tmp_path: Path
) -> None:
    async with database.writing() as connection:
        known = (await connection.exec_driver_sql("SELECT version_num FROM alembic_version")).scalar_one()
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    said: list[str] = []
    one = recorder(url, tmp_path, on_status=said.append)
    play(one)
    async with recording(one):
        pass
    (told,) = said
    assert "made by a newer vivavoce" in told
    assert await counts(database) == []
    async with database.writing() as connection:
        await connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{known}'")  # noqa: S608
    async with recording(recorder(url, tmp_path)):
        pass
    assert await counts(database) == [2]


TWO = """
import sys, anyio
sys.path.insert(0, {tests!r})
from pathlib import Path
from tempfile import TemporaryDirectory
from store.played import play, recorder
from vivavoce.store.recorder import recording

async def main():
    one = recorder({url!r}, Path({folder!r}), on_status=print, recordings={folder!r} + "/recordings")
    async with recording(one):
        for _ in range(5):
            play(one)
            await anyio.sleep(0.2)

anyio.run(main)
"""


async def test_servers_share_a_database_and_a_folder(url: str, database: Database, tmp_path: Path) -> None:
    script = TWO.format(tests=str(Path(__file__).parents[1]), url=url, folder=str(tmp_path))
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(anyio.run_process, [sys.executable, "-c", script])
    async with recording(recorder(url, tmp_path)):  # stores what one has left that had too little time
        pass
    assert await counts(database) == [2] * 15
    assert await database.problems() == []
    assert len([*(tmp_path / "recordings").iterdir()]) == 15
    for one in await list_conversations(database):
        assert one["ended_by"] == "caller"
        (sound,) = (await find_conversation(database, one["id"]))["recordings"]
        assert sound["seconds"] == pytest.approx(6, abs=1)


# values


async def test_a_number_that_fits_into_no_column_is_left_out_and_keeps_nothing_else_out(
    url: str, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = recorder(url, tmp_path), recorder(url, tmp_path)
    play(one)
    (entry, *_) = one._journal.read().splitlines()
    row = {"conversation_id": msgspec.json.decode(entry)[2]["id"], "kind": "response"}
    row |= {"created": "2026-01-01T00:00:00+00:00"}
    one.put("usage", {**row, "source_id": "resp_1", "input_tokens": 10**30})
    one.put("usage", {**row, "source_id": "resp_2", "created": "yesterday"})
    one.put("usage", {**row, "source_id": "resp_3", "colour": "red"})
    one.put("diaries", row)
    one.put("items", row)
    one._journal.append(b"\0\0\0\n")
    play(one)
    async with recording(one):
        pass
    async with recording(two):
        pass
    assert one.problem is None
    assert await counts(database) == [2, 2]
    assert caplog.text.count("is not stored") == 2
    assert caplog.text.count("is left out") == 3


async def test_a_bug_of_the_recorder_is_told_to_the_owner(tmp_path: Path) -> None:
    said: list[str] = []
    one = recorder(f"sqlite:///{tmp_path}/conversations.db", tmp_path, on_status=said.append)
    one._database.write = None  # type: ignore[assignment, method-assign]
    play(one)
    async with recording(one):
        await until(lambda: said)
    assert said == [f"Conversations go on, but are not stored: {one.problem}"]
    assert "an internal error" in said[0]


# the clock


async def test_a_clock_that_jumps_back_makes_no_negative_time(
    url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dates of one conversation go on evenly, whatever the clock does; the next has the clock's."""
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def jumping() -> datetime:
        nonlocal now
        now -= timedelta(hours=1)
        return now

    monkeypatch.setattr("vivavoce.dates.utc_now", jumping)
    one = recorder(url, tmp_path)
    play(one)
    play(one)
    async with recording(one):
        pass
    listed = await list_conversations(database)
    assert [found["started"] for found in listed] == sorted(
        (found["started"] for found in listed), reverse=True
    )
    for found in listed:
        whole = await find_conversation(database, found["id"])
        assert (whole["ended"] - whole["started"]).total_seconds() == pytest.approx(6, abs=0.1)
        made = [item["created"] for item in whole["items"]]
        assert whole["started"] <= made[0] <= made[1] <= whole["ended"]
        assert all(stage["ended"] >= stage["began"] >= 0 for stage in whole["timings"])
        assert all(item["ended"] >= item["began"] >= 0 for item in whole["items"])
