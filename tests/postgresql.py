"""A PostgreSQL for tests: the one of `VIVAVOCE_TEST_POSTGRESQL`, or that libpq finds, or that they start."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from clients.serving import reserved_port

ADDRESS = os.environ.get("VIVAVOCE_TEST_POSTGRESQL", "postgresql+psycopg://")
INSTALLED = Path("/usr/lib/postgresql")


@contextmanager
def postgresql() -> Iterator[str]:
    """Give the address of a server; skip the test, loudly, where none runs and none is installed."""
    if _error(ADDRESS) is None:
        yield ADDRESS
        return
    programs = sorted(INSTALLED.glob("*/bin"))
    where = str(programs[-1]) if programs else None
    if not shutil.which("initdb", path=where):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"PostgreSQL is not tested: none is installed, nor at {ADDRESS}: {_error(ADDRESS)}"
        )
    with (
        TemporaryDirectory(prefix="viva-postgresql-", ignore_cleanup_errors=True) as name,
        reserved_port() as port,
    ):
        folder = Path(name) / "data"
        as_nobody = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        if as_nobody:  # it refuses to run as root
            shutil.chown(name, "nobody")

        def run(program: str, *options: str) -> None:
            found = shutil.which(program, path=where)
            command = [*as_nobody, str(found), "--pgdata", str(folder), *options]
            subprocess.run(command, check=True, cwd=name, stdout=subprocess.DEVNULL)

        run("initdb", "--auth=trust", "--username=test", "--no-sync", "--encoding=UTF8")
        options = f"-p {port} -k {name} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "--wait", "--log", f"{name}/log", "--options", options, "start")
        try:
            yield f"postgresql+psycopg://test@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "--mode=immediate", "stop")


@contextmanager
def schema(server: str) -> Iterator[str]:
    """Give the address of an empty schema, which is removed afterwards."""
    name = f"viva_{token_hex(4)}"
    _do(server, f"CREATE SCHEMA {name}")
    try:
        yield make_url(server).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(False)
    finally:
        _do(server, f"DROP SCHEMA {name} CASCADE")


def _error(server: str) -> str | None:
    try:
        _do(server, "SELECT 1")
    except OperationalError as error:
        return str(error.orig)
    return None


def _do(server: str, what: str) -> None:
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.execute(text(what))
    engine.dispose()
