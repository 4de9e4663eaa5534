"""Transport is measured with real servers in processes of their own."""

import pytest

from vivavoce_bench.transport import BARE, measure

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def test_every_server_is_measured_with_as_many_callers_as_wanted() -> None:
    costs = await measure([2], seconds=2, on_status=lambda sentence: None)
    assert [(cost.name, cost.conversations) for cost in costs] == [
        (BARE, 2),
        ("our transport", 2),
        ("viva serve", 2),
    ]
    for cost in costs:
        assert cost.cpu_ms is not None
        assert cost.cpu_ms > 0
    assert costs[2].cpu_ms > costs[0].cpu_ms, "a server that detects speech costs more than one that does not"
