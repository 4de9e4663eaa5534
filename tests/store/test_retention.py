"""What is too old, or too much, is deleted, and nothing else."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from store.played import play, recorder
from vivavoce.dates import utc_now
from vivavoce.errors import ProviderError
from vivavoce.store.database import Database
from vivavoce.store.queries import list_conversations
from vivavoce.store.recorder import recording
from vivavoce.store.retention import FILL, Retention, delete_with_recordings, unknown_recordings
from vivavoce.store.tables import conversations

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def record_loudly(url: str, folder: Path, count: int) -> list[str]:
    """Return the ids of recorded conversations, oldest first, each a day after the one before."""
    loud = recorder(url, folder, recordings=str(folder / "recordings"))
    for _ in range(count):
        play(loud)
    async with recording(loud):
        pass
    database = Database(url)
    ids = [one["id"] for one in reversed(await list_conversations(database))]
    for days, one in enumerate(ids):
        await change(database, one, ended=utc_now() - timedelta(days=count - days))
    await database.close()
    return ids


async def change(database: Database, conversation: str, **values: object) -> None:
    async with database.writing() as connection:
        own = sa.update(conversations).where(conversations.c.id == conversation)
        await connection.execute(own.values(**values))


async def left(database: Database) -> set[str]:
    return {one["id"] for one in await list_conversations(database)}


def sounds(folder: Path) -> Mapping[str, int]:
    return {path.stem: path.stat().st_size for path in (folder / "recordings").iterdir()}


async def test_old_conversations_are_deleted_with_their_recordings(
    url: str, database: Database, tmp_path: Path
) -> None:
    old, new = await record_loudly(url, tmp_path, 2)
    assert sounds(tmp_path).keys() == {new, old}
    said: list[str] = []
    retention = Retention(database, spool=tmp_path / "journal", days=1.5, on_status=said.append)
    assert await retention.delete_all() == 1
    assert await retention.delete_all() == 0
    assert await left(database) == {new} == sounds(tmp_path).keys()
    assert said == ["1 conversations older than 1.5 days were deleted ([store] keep_days)."]


async def test_when_all_take_too_much_the_oldest_are_deleted_until_some_room_is_left(
    url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivavoce.store.retention.AT_ONCE", 1)
    first, second, third, going_on = await record_loudly(url, tmp_path, 4)
    await change(database, going_on, started=datetime(2026, 1, 1, tzinfo=UTC), ended=None)
    sound = sounds(tmp_path)
    (tmp_path / "recordings" / "mine.ogg").write_bytes(bytes(10**6))
    (tmp_path / "recordings" / f"sess_{'0' * 24}.ogg").write_bytes(bytes(10**6))  # of another database
    taken, said = await database.used_bytes() + sum(sound.values()), list[str]()

    def retention(most: int) -> Retention:
        return Retention(database, spool=tmp_path / "journal", max_bytes=most, on_status=said.append)

    assert await retention(taken + 10_000).delete_all() == 0
    assert said == []
    most = taken - 1
    assert await retention(most).delete_all() >= 1
    assert first not in await left(database)
    assert {third, going_on} <= await left(database)
    assert await database.used_bytes() + sum(sound[one] for one in await left(database)) <= FILL * most
    assert await retention(most).delete_all() == 0
    assert "more than [store] keep_bytes" in said[0]
    assert len(said) == 1
    assert await retention(1).delete_all() >= 1
    assert await left(database) == {going_on}, "a conversation in progress is never deleted"
    assert sounds(tmp_path).keys() == {going_on, "mine", f"sess_{'0' * 24}"}
    assert second


async def test_a_clock_that_is_wrong_deletes_nothing(url: str, database: Database, tmp_path: Path) -> None:
    of_1970, new = await record_loudly(url, tmp_path, 2)
    await change(database, of_1970, ended=datetime(1970, 1, 1, tzinfo=UTC))
    dates = [utc_now(), utc_now() + timedelta(days=20_000)]
    ahead = Retention(database, spool=tmp_path, days=30, date=lambda: dates[0])
    dates.pop(0)
    assert await ahead.delete_all() == 0, "it was set ahead while the server ran"
    back = Retention(database, spool=tmp_path, days=30, date=lambda: datetime(1970, 1, 2, tzinfo=UTC))
    assert await back.delete_all() == 0
    assert await left(database) == {of_1970, new}


async def test_what_cannot_be_deleted_is_kept_and_holds_up_nothing_else(
    url: str, database: Database, tmp_path: Path
) -> None:
    stuck, gone = await record_loudly(url, tmp_path, 2)
    sound = tmp_path / "recordings" / f"{stuck}.ogg"
    sound.unlink()
    sound.mkdir()
    with pytest.raises(ProviderError, match="1 conversations are kept"):
        await delete_with_recordings(database, [stuck, gone])
    assert await left(database) == {stuck}
    sound.rmdir()
    await delete_with_recordings(database, [stuck, gone])
    assert await left(database) == set()


async def test_recordings_of_no_conversation_are_found(url: str, database: Database, tmp_path: Path) -> None:
    (known,) = await record_loudly(url, tmp_path, 1)
    folder = tmp_path / "recordings"
    for name, is_old in (("sess_" + "a" * 24, True), ("sess_" + "b" * 24, False), ("diary", True)):
        (folder / f"{name}.ogg").write_bytes(b"sound")
        if is_old:
            os.utime(folder / f"{name}.ogg", (0, 0))
    os.utime(folder / f"{known}.ogg", (0, 0))
    assert await unknown_recordings(database, str(folder)) == {f"{folder}/sess_{'a' * 24}.ogg": 5}
    assert await unknown_recordings(database, str(tmp_path / "nowhere")) == {}


async def test_what_was_deleted_gives_its_space_back_to_the_disk(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/conversations.db")
    await database.open()
    async with database.writing() as connection:
        row = {"transport": "test", "started": utc_now(), "ended": utc_now()}
        many = [{"id": f"sess_{number}", "instructions": "Be kind. " * 500, **row} for number in range(1000)]
        await connection.execute(sa.insert(conversations), many)
    full = await database.used_bytes()
    await delete_with_recordings(database, [one["id"] for one in many][:900])
    assert await database.used_bytes() < full / 5
    assert database.file.stat().st_size < full / 5
    assert await database.problems() == []
    await database.close()
