"""The way in is measured with real servers in processes of their own."""

import pytest

from vivavoce_bench.transport import BARE, measure

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def test_every_way_is_measured_with_as_many_callers_as_wanted() -> None:
    ways = await measure([2], seconds=2, tell=lambda sentence: None)
    assert [(way.name, way.conversations) for way in ways] == [
        (BARE, 2),
        ("our transport", 2),
        ("viva serve", 2),
    ]
    for way in ways:
        assert way.cpu_ms is not None
        assert way.cpu_ms > 0
    assert ways[2].cpu_ms > ways[0].cpu_ms, "who hears costs more than who does not"
