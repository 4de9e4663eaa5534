"""How long to wait before a server is connected to again."""

from hypothesis import given
from hypothesis import strategies as st

from vivavoce.backoff import jittered
from vivavoce.connect.reconnect import reconnect_delay


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_wait_grows_and_has_an_end(attempt: int, chance: float) -> None:
    def wait(attempt: int, chance: float) -> float:
        return reconnect_delay(attempt, lambda seconds: jittered(seconds, lambda: chance))

    assert 0.5 <= wait(attempt, chance) <= 30
    assert wait(attempt, 0) <= wait(attempt, chance) <= wait(attempt, 1) == 2 * wait(attempt, 0)
    assert wait(attempt + 1, chance) >= wait(attempt, chance)


def test_the_first_waits_are_short() -> None:
    waits = [reconnect_delay(attempt, lambda seconds: seconds) for attempt in (1, 2, 3, 4, 5, 6, 7)]
    assert waits == [1, 2, 4, 8, 16, 30, 30]
