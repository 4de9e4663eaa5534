"""Time jumps in these tests, unless a test is marked `real_time`."""

import pytest

from vivavoce.testing.clock import JumpingClock


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    if request.node.get_closest_marker("real_time"):
        return "asyncio", {}
    return "asyncio", {"loop_factory": JumpingClock}
