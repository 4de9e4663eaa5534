"""Stored conversations are listed, searched, exported and deleted, alike on both databases."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from store.played import PARIS, record
from vivavoce.errors import ConfigError
from vivavoce.store import tables
from vivavoce.store.database import Database
from vivavoce.store.export import FORMATS
from vivavoce.store.folding import fold, fold_query
from vivavoce.store.pages import OFTEN, ConversationFilter, conversations_page
from vivavoce.store.queries import (
    delete_conversations,
    find_conversation,
    fts_query,
    list_conversations,
    search,
)
from vivavoce.testing.simulation import CallerSays

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def test_conversations_are_listed_newest_first_and_by_pages(
    url: str, database: Database, tmp_path: Path
) -> None:
    for _ in range(3):
        await record(url, tmp_path, until=3)
    everything = [one["id"] for one in await list_conversations(database)]
    first = await list_conversations(database, limit=2)
    second = await list_conversations(database, limit=2, before=first[-1]["id"])
    assert [one["id"] for one in (*first, *second)] == everything
    assert len(set(everything)) == 3
    assert [one["items"] for one in first] == [2, 2]


@pytest.mark.parametrize("times", [1, OFTEN])
async def test_conversations_are_found_by_what_is_said_in_them_seldom_and_often(
    times: int, database: Database
) -> None:
    started = [datetime(2026, 11, day, tzinfo=UTC) for day in range(1, 8)]
    names = [f"sess_{number}" for number in range(len(started))]
    said = {name: "hello" if number % 3 else "welcome" for number, name in enumerate(names)}
    rows = [
        {"id": name, "transport": "websocket", "started": at} for name, at in zip(names, started, strict=True)
    ]
    turns = [(name, turn) for turn in range(-(-times // 4)) for name in reversed(names)]  # they talk at once
    same = {"type": "message", "role": "user", "created": started[0]}
    items = [
        {**same, "conversation_id": name, "id": str(turn), "position": turn, "folded": fold(said[name])}
        for name, turn in turns
    ]
    async with database.writing() as connection:
        await connection.execute(sa.insert(tables.conversations), rows)
        await connection.execute(sa.insert(tables.items), items)
    for words in ("hello", "welcome", "hello welcome", "goodbye"):
        wanted = [name for name in reversed(names) if said[name] == words]
        found = await conversations_page(database, ConversationFilter(words=words), limit=20, before=None)
        assert [one["id"] for one in found] == wanted


async def test_a_conversation_is_found_by_the_beginning_of_its_id_or_by_its_session(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path, until=3)
    (listed,) = await list_conversations(database)
    for name in (listed["id"], listed["id"][:12], listed["session_id"]):
        assert (await find_conversation(database, name))["id"] == listed["id"]


@pytest.mark.parametrize("name", ["", "sess_none", "%", "'; --", "a\0b", "\ud800", "x" * 100_000, "42"])
async def test_what_is_no_id_is_refused_in_a_sentence(name: str, url: str, database: Database) -> None:
    with pytest.raises(ConfigError, match="There is no conversation") as refused:
        await find_conversation(database, name)
    assert len(str(refused.value)) < 200
    with pytest.raises(ConfigError, match="There is no conversation"):
        await list_conversations(database, before=name)


async def test_what_was_said_is_found_however_it_is_spelled(
    url: str, database: Database, tmp_path: Path
) -> None:
    says = [
        CallerSays(0.5, "I live in the U.S.A., at twenty one Main Street."),
        CallerSays(6, "Call me at 555-1234, my e-mail is down."),
    ]
    await record(url, tmp_path, *says, replies=["At seven o'clock?", "Yes."], until=12)
    for query, expected in {
        "usa": 1,
        "21 main streets": 1,
        "5551234": 1,
        "email": 1,
        "o clock": 1,
        "seven o’clock": 1,
        "main usa": 1,
        "usa 5551234": 0,
        "um": 0,
        "": 0,
        '"': 0,
        "NEAR(usa": 0,
        "usa OR nothing": 0,
        "'usa' & !x": 0,
    }.items():
        assert len(await search(database, query)) == expected, query


async def test_the_newest_are_found_first_and_by_pages(url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path, *(CallerSays(at, "Hello again.") for at in (0.5, 5, 10)), until=14)
    found = await search(database, "hello")
    assert [one["row"] for one in found] == sorted((one["row"] for one in found), reverse=True)
    assert len(found) == 3
    assert (await search(database, "hello", limit=2, before=found[0]["row"])) == found[1:]


async def test_a_long_query_takes_no_longer(url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path, until=3)
    assert len(await search(database, "capital " * 12_500)) == 1


@given(st.text(max_size=40))
@settings(max_examples=50)
def test_any_text_is_a_query(query: str) -> None:
    index = sqlite3.connect(":memory:")
    index.execute("CREATE VIRTUAL TABLE words USING fts5 (folded)")
    if alternatives := fold_query(query):
        assert (
            index.execute("SELECT * FROM words WHERE words MATCH ?", (fts_query(alternatives),)).fetchall()
            == []
        )
    index.close()


async def test_of_a_deleted_conversation_nothing_is_left(url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path, CallerSays(0.5, "Remember the xylophone."), until=5)
    await record(url, tmp_path, PARIS, until=5)
    (found,) = await search(database, "xylophones")
    if database.is_sqlite:
        assert b"xyloph" in _bytes(tmp_path)
    await delete_conversations(database, [found["conversation_id"]])
    assert await database.scrub()
    assert await search(database, "xylophones") == []
    assert len(await list_conversations(database)) == 1
    assert len(await search(database, "capital")) == 1
    assert await database.problems() == []
    if database.is_sqlite:
        assert b"xyloph" not in _bytes(tmp_path)
        assert b"capital" in _bytes(tmp_path)


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_a_conversation_is_exported_for_people_for_players_and_for_programs(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path)
    (listed,) = await list_conversations(database)
    found = await find_conversation(database, listed["id"])
    assert '"text": "What is the capital of France?"' in FORMATS["json"](found)
    markdown = FORMATS["markdown"](found)
    assert "**Caller**" in markdown
    assert "Paris, of course." in markdown
    first, second = FORMATS["srt"](found).split("\n\n")
    assert first.splitlines() == [
        "1",
        "00:00:00,660 --> 00:00:02,800",
        "Caller: What is the capital of France?",
    ]
    assert second.splitlines()[2] == "Assistant: Paris, of course."
