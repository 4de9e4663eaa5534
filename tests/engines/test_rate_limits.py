"""Rate limits: a sliding minute, and what a client is told of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.simulations import ask, done, errors, types
from vivavoce.engines.cascade.rate_limits import RateLimits, Window
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import Failed, ResponseParams
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline


def test_what_was_used_comes_back_a_minute_later() -> None:
    window = Window(10)
    window.add(4, now=0)
    window.add(6, now=30)
    assert window.remaining == 0
    assert window.seconds_until_some(40) == 20
    assert window.seconds_until_all(40) == 50
    window.advance(60)
    assert window.remaining == 4
    window.advance(90)
    assert window.remaining == 10
    assert window.seconds_until_all(90) == 0


def test_it_is_told_when_to_come_back_after_much_too_much() -> None:
    window = Window(10)
    window.add(5, now=0)
    window.add(50, now=10)
    assert window.remaining == 0
    assert window.seconds_until_some(20) == 50


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5)), max_size=40), st.integers(1, 20))
def test_what_is_free_again_is_free_when_it_was_said_to_be(uses: list[tuple[float, int]], most: int) -> None:
    window, now = Window(most), 0.0
    for pause, amount in uses:
        now += pause
        window.add(amount, now)
        if not window.remaining:
            after = Window(most, window.used, window._uses.copy())
            after.advance(now + window.seconds_until_some(now) + 1e-6)
            assert after.remaining
    window.advance(now + 61)
    assert (window.remaining, window.used, window.seconds_until_all(now + 61)) == (most, 0, 0)


def test_the_limit_that_is_reached_is_named() -> None:
    rates = RateLimits(responses=2, tokens=100)
    assert rates.exceeded(0) is None
    rates.add_response(0)
    rates.add_tokens(100, 1)
    refusal = rates.exceeded(11)
    assert refusal is not None
    assert (refusal.code, "limits.tokens_per_minute" in refusal.message) == ("rate_limit_exceeded", True)
    assert "Try again in 50.0 s" in refusal.message
    rates.add_response(12)
    refusal = rates.exceeded(13)
    assert refusal is not None
    assert "limits.responses_per_minute" in refusal.message
    assert rates.exceeded(61.5) is None


def left(timeline: Timeline, nth: int = -1) -> dict[object, object]:
    return {one.name: one.remaining for one in timeline.of(e.RateLimitsUpdated)[nth].rate_limits}


pytestmark = pytest.mark.anyio


async def test_every_answer_is_followed_by_what_is_left() -> None:
    timeline = await Simulation(["One two three."]).run(
        *ask(0.1, "Count."), CallerSays(4.0, "hello there"), until=9
    )
    names = [name for name in types(timeline) if name in ("response.done", "rate_limits.updated")]
    assert names == ["response.done", "rate_limits.updated"] * 2
    usage = done(timeline, 0).response.usage
    assert left(timeline, 0) == {"requests": 119, "tokens": 200_000 - usage.total_tokens}
    first = timeline.of(e.RateLimitsUpdated)[0].rate_limits
    assert [one.limit for one in first] == [120, 200_000]
    assert 55 < first[0].reset_seconds < first[1].reset_seconds == 60


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    simulation = Simulation(["Yes."], limits=Limits(responses_per_minute=2))
    timeline = await simulation.run(
        *ask(0.1, "one"), *ask(2.0, "two"), *ask(4.0, "three"), *ask(61.0, "four"), until=64
    )
    (refused,) = timeline.of(e.ErrorEvent)
    assert refused.error.code == "rate_limit_exceeded"
    assert "limits.responses_per_minute" in refused.error.message
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed"] * 3


async def test_out_of_band_answers_count_too() -> None:
    simulation = Simulation(["Yes."], limits=Limits(tokens_per_minute=5))
    aside = ResponseParams(conversation="none", output_modalities=("text",))
    timeline = await simulation.run(
        ClientSends(0.1, e.ResponseCreate(response=aside)),
        ClientSends(2.0, e.ResponseCreate(response=aside)),
        until=3,
    )
    assert errors(timeline) == [("rate_limit_exceeded", None)]
    assert left(timeline)["tokens"] == 0


@pytest.mark.parametrize("drafts", [0, 8])
async def test_a_caller_who_speaks_too_often_is_apologised_to_and_no_error_is_sent(drafts: int) -> None:
    simulation = Simulation(["Yes."], limits=Limits(responses_per_minute=1, drafts=drafts))
    await simulation.engine.warm_up()
    timeline = await simulation.run(
        CallerSays(0.5, "hello there"), CallerSays(5.0, "hello again"), CallerSays(70, "and now"), until=75
    )
    assert not timeline.of(e.ErrorEvent)
    first, refused, third = timeline.of(e.ResponseDone)
    assert (first.response.status, third.response.status) == ("completed", "completed")
    assert isinstance(refused.response.status_details, Failed)
    assert refused.response.status_details.error.code == "rate_limit_exceeded"
    assert "sorry" in refused.response.output[0].content[0].transcript
