"""Sums over stored conversations. That both databases agree is tested where they are asked by HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.store.database import Database
from vivavoce.store.statistics import PERCENTS, stage_statistics
from vivavoce.store.tables import conversations, metadata, timings

DAY = "2026-11-30T00:00:00+00:00"


def percentile(seconds: Sequence[float], percent: int) -> float:
    """Return the smallest value that is not exceeded by this share of all."""
    return min(one for one in seconds if 100 * sum(each <= one for each in seconds) >= percent * len(seconds))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_a_percentile_is_what_its_definition_says(seconds: list[float]) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(conversations.insert(), {"id": "a", "transport": "websocket", "started": DAY})
        same = {"conversation_id": "a", "kind": "spoken", "stage": "first_audio", "detail": "", "began": 0}
        rows = [{**same, "turn_id": str(n), "number": 0, "ended": one} for n, one in enumerate(seconds)]
        connection.execute(timings.insert(), rows)
        years = (datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2027))
        asked = stage_statistics(Database("sqlite://"), "day", *years)
        (found,) = connection.execute(asked).mappings()
    engine.dispose()
    assert {p: found[f"p{p}"] for p in PERCENTS} == {p: percentile(seconds, p) for p in PERCENTS}
    assert (found["key"], found["turns"], found["longest"]) == ("2026-11-30", len(seconds), max(seconds))
