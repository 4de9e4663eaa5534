"""What is too old is deleted."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from store.played import play, recorder
from vivavoce.store.database import Database
from vivavoce.store.queries import list_conversations
from vivavoce.store.recorder import recording
from vivavoce.store.retention import expire
from vivavoce.store.tables import conversations

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def test_old_conversations_are_deleted_with_their_recordings(
    url: str, database: Database, tmp_path: Path
) -> None:
    loud = recorder(url, tmp_path, recordings=str(tmp_path / "recordings"))
    play(loud)
    play(loud)
    async with recording(loud):
        pass
    new, old = await list_conversations(database)
    sounds = {path.stem for path in (tmp_path / "recordings").iterdir()}
    assert sounds == {new["id"], old["id"]}
    async with database.writing() as connection:
        change = sa.update(conversations).where(conversations.c.id == old["id"])
        await connection.execute(change.values(ended="2020-01-01T00:00:00+00:00"))
    assert await expire(database, 30) == 1
    assert await expire(database, 30) == 0
    assert [one["id"] for one in await list_conversations(database)] == [new["id"]]
    assert [path.stem for path in (tmp_path / "recordings").iterdir()] == [new["id"]]
