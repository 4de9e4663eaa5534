"""The shop's books as they are on the first day, on each kind of database that is here."""

import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from support_desk.seed import seed
from support_desk.shop import now, open_database, sessions
from vivavoce import Context

POSTGRESQL = os.environ.get("DESK_TEST_POSTGRESQL", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real_time)])
def database(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def url(database: str, tmp_path: Path) -> Iterator[str]:
    """Give an empty database that nobody else uses."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path}/desk.sqlite3"
        return
    server, schema = create_engine(POSTGRESQL), f"desk_{token_hex(4)}"
    try:
        _do(server, f"CREATE SCHEMA {schema}")
    except OperationalError as error:
        pytest.skip(f"there is no PostgreSQL at {POSTGRESQL} (DESK_TEST_POSTGRESQL): {error.orig}")
    try:
        yield f"{POSTGRESQL}?options=-csearch_path%3D{schema}"
    finally:
        _do(server, f"DROP SCHEMA {schema} CASCADE")
        server.dispose()


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


def _do(server: Engine, what: str) -> None:
    with server.begin() as connection:
        connection.execute(text(what))
