"""The shop's books as they are on the first day, on each kind of database that is here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from postgresql import schema
from support_desk.seed import seed
from support_desk.shop import now, open_database, sessions
from vivavoce import Context


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real_time)])
def database(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give an empty database that nobody else uses."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path}/desk.sqlite3"
        return
    with schema(request.getfixturevalue("postgresql_server")) as empty:
        yield empty


@pytest.fixture
def shop(url: str) -> Iterator[Engine]:
    """Open the database of the shop, on its first day."""
    engine = open_database(url)
    with sessions.begin() as session:
        seed(session, now().date())
    yield engine
    engine.dispose()


@pytest.fixture
def call() -> Context:
    """One conversation, as the tools see it: nobody knows yet who is calling."""
    return context()


@pytest.fixture
def grace() -> Context:
    """A conversation with Grace Miller."""
    return context(customer=2017)


def context(**state: object) -> Context:
    return Context("call_1", "caller_1", state, _say)


async def _say(words: str) -> None:
    raise AssertionError(f"nothing is to be said, but {words!r}")
