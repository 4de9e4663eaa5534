"""Lists, searches and opening, measured on a database that is filled for it."""

from pathlib import Path

import pytest
from rich.console import Console

from vivavoce.errors import ConfigError
from vivavoce.store import tables
from vivavoce.store.database import Database, upsert
from vivavoce_bench.history import COLD, WARM, fill, only_in, run
from vivavoce_bench.report import show_history

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def test_conversations_are_written_listed_searched_and_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/made.db"
    measured = await run(url, [3, 30], 4, lambda sentence: None)
    assert {one.conversations for one in measured} == {3, 30}
    assert all((len(one.cold), len(one.warm)) == (COLD, WARM) for one in measured)
    found = {one.operation: one.found for one in measured if one.conversations == 30}
    assert found["list, first page"] == 20
    assert found["list, middle page"] == 15
    assert found["search, rare"] == found["search, rare and common"] == 1
    assert found["search, common"] == 20
    assert found["search, never said"] == 0
    assert found["open, by id"] == found["open, by session"] == found["open, by beginning"] == 8
    console = Console(record=True, width=120)
    show_history(measured, console)
    assert "search, rare and common" in console.export_text()


async def test_a_database_of_people_is_not_filled(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/people.db")
    await database.open()
    theirs = {"id": "sess_1", "transport": "websocket", "started": "2026-11-30T12:00:00+00:00"}
    async with database.writing() as connection:
        await connection.run_sync(upsert, tables.conversations, [theirs])
    with pytest.raises(ConfigError, match="conversations of people"):
        await fill(database, 10, 1, lambda sentence: None)
    await database.close()


def test_a_word_of_one_conversation_is_in_no_other() -> None:
    assert len({only_in(number) for number in range(0, 20_000, 7)}) == len(range(0, 20_000, 7))
