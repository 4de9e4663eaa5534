"""Sums over stored conversations. That both databases agree is tested where they are asked by HTTP."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from vivavoce.store.statistics import PERCENTS, percentiles


def at_most(values: Sequence[int], percent: int) -> int:
    """Return the smallest value that is not exceeded by this share of all."""
    return min(one for one in values if 100 * sum(each <= one for each in values) >= percent * len(values))


@given(st.lists(st.integers(0, 50), min_size=1))
def test_a_percentile_is_what_its_definition_says(values: list[int]) -> None:
    expected = {f"p{percent}": at_most(values, percent) for percent in PERCENTS}
    assert percentiles(Counter(values)) == {"turns": len(values), "longest": max(values), **expected}


def test_half_of_two_is_one() -> None:
    assert percentiles({30: 1, 40: 1}) == {"turns": 2, "p50": 30, "p90": 40, "p95": 40, "longest": 40}
