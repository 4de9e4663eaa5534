"""Time jumps in these tests, unless they are `real_time`. Two real servers are there for whoever needs them."""

import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from clients.serving import running
from postgresql import postgresql
from vivavoce.testing.clock import JumpingClock

settings.register_profile("any machine", deadline=None)  # how fast code is, benchmarks show
settings.load_profile("any machine")

DATA = TemporaryDirectory(prefix="viva-data-")
os.environ["XDG_DATA_HOME"] = DATA.name  # what servers of tests store is not the user's


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    if request.node.get_closest_marker("real_time"):
        return "asyncio", {}
    return "asyncio", {"loop_factory": JumpingClock}


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("--preset", "scripted", folder=tmp_path_factory.mktemp("scripted")) as url:
        yield url


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(folder=tmp_path_factory.mktemp("offline")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with postgresql() as url:
        yield url
