"""A database that nobody else uses, of both kinds."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from postgresql import schema
from vivavoce.store.database import Database


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/conversations.db"
        return
    with schema(request.getfixturevalue("postgresql_server")) as empty:
        yield empty.replace("+psycopg", "")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    yield database
    await database.close()
