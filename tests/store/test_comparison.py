"""When a caller speaks again, and what became different."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.test_replay import HELLO, conversation, item, stage
from vivavoce.store.comparison import (
    PAUSE_SECONDS,
    Comparison,
    Said,
    Step,
    StoredOutputs,
    compare,
    cost_of,
    percentile,
    plan,
    summarize,
)
from vivavoce.store.replay import StoredToolCall, turns_of


def cues(steps: list[Step]) -> list[tuple[str, float]]:
    return [(step.after, pytest.approx(step.seconds)) for step in steps]


def test_the_caller_speaks_after_an_answer_or_interrupts_it_as_they_did() -> None:
    steps = plan(turns_of(HELLO))
    assert [step.turn.number for step in steps] == [1, 2, 3]
    assert cues(steps) == [("answer", 0.5), ("interruption", 0.9), ("turn", 1.0)]


def test_a_long_pause_is_made_shorter() -> None:
    late = conversation(item("u1", "user", "Hm.", 60), u1=(60.0, 61.0))
    assert cues(plan(turns_of(late))) == [("turn", PAUSE_SECONDS)]


def test_after_a_written_answer_the_caller_waits_until_it_is_there() -> None:
    record = conversation(
        item("u1", "user", "Hi.", 1), item("a1", "assistant", "Hello.", 2), item("u2", "user", "Bye.", 3)
    )
    record["timings"] = [stage("u1", "first_text", 1.0, 1.8)]
    assert cues(plan(turns_of(record))) == [("turn", 1.0), ("answer", 1.2)]
    assert turns_of(record)[1].wait == pytest.approx(0.8)


def test_tools_return_what_they_returned_then() -> None:
    calls = [
        StoredToolCall("weather", '{"city": "Paris", "day": 1}', "sunny"),
        StoredToolCall("weather", '{"day": 1, "city": "Paris"}', "rain"),
        StoredToolCall("lights", "not JSON", "on"),
        StoredToolCall("slow", "{}", None),
    ]
    outputs = StoredOutputs(calls)
    assert [outputs.output("weather", '{"city":"Paris","day":1}') for _ in range(3)] == [
        "sunny",
        "rain",
        "rain",
    ]
    assert outputs.output("lights", "not JSON") == "on"
    assert outputs.output("slow", "") is None
    assert outputs.output("weather", '{"city":"Rome","day":1}') is None
    assert [call.name for call in outputs.unknown] == ["slow", "weather"]


def test_turns_are_compared_with_those_that_came_of_them() -> None:
    then = turns_of(HELLO)
    today = conversation(
        item("b1", "user", "What's the weather", 2),
        item("b2", "user", "in Rome?", 3),
        item("c1", "assistant", "It is sunny in Paris!", 4),
        item("b3", "user", "Thanks", 7),
        b1=(1.0, 1.8),
        b2=(2.1, 2.6),
        b3=(6.1, 6.6),
    )
    today["timings"] = [stage("b2", "first_audio", 2.7, 3.0)]
    said = {1: Said(1.0, 2.5, False), 2: Said(6.0, 6.5, False), 3: Said(8.0, 8.0, True)}
    weather, thanks, bye = compare(then, turns_of(today), said)
    assert (weather.said_today, weather.errors, weather.words) == ("What's the weather in Rome?", 1, 6)
    assert (weather.wait_then, weather.wait_today) == (pytest.approx(1.1), pytest.approx(0.5))
    assert weather.is_answer_changed
    assert [call.name for call in weather.calls_then] == ["weather"]
    assert (thanks.errors, thanks.words, thanks.is_missing, thanks.wait_today) == (0, 1, False, None)
    assert (bye.errors, bye.is_spoken, bye.said_today) == (None, False, "")


def test_what_was_spoken_then_and_is_written_today_has_another_wait() -> None:
    (turn,) = compare(turns_of(HELLO), [], {1: Said(1.0, 1.0, True)})
    assert (turn.errors, turn.wait_then) == (None, None)
    assert turn.is_missing


def test_costs_are_known_only_if_all_of_them_are() -> None:
    usage = [{"cost": 0.25}, {"cost": 0.5}]
    assert cost_of({**HELLO, "usage": usage}) == 0.75
    assert cost_of({**HELLO, "usage": [*usage, {"cost": None}]}) is None
    assert cost_of(HELLO) is None


def test_conversations_are_summed_up() -> None:
    said = {1: Said(1.0, 2.5, False), 2: Said(6.0, 6.5, False), 3: Said(8.0, 8.0, True)}
    again = conversation(
        item("b1", "user", "What is the weather in Paris?", 2),
        item("c1", "assistant", "Sunny.", 4),
        b1=(1, 2.5),
    )
    again["timings"] = [stage("b1", "first_audio", 2.7, 3.5)]
    comparison = Comparison(
        "sess_1", [], compare(turns_of(HELLO), turns_of(again), said), 0.25, 0.5, [], ["Oh."]
    )
    summary = summarize([comparison, Comparison("sess_2", [], [], None, 0.0, [], [])])
    assert (summary.conversations, summary.turns, summary.problems) == (2, 3, 1)
    assert (summary.transcripts, summary.changed_transcripts, summary.word_error_rate) == (
        2,
        1,
        pytest.approx(1 / 7),
    )
    assert (summary.answers_then, summary.answers_today, summary.missing_answers) == (1, 1, 0)
    assert summary.waits_then == (pytest.approx(1.1), pytest.approx(1.1))
    assert summary.waits_today == (pytest.approx(1.0), pytest.approx(1.0))
    assert (summary.cost_then, summary.cost_today) == (None, 0.5)
    nothing = summarize([])
    assert (nothing.word_error_rate, nothing.waits_then, nothing.cost_then) == (None, (None, None), None)


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([50, 90, 100]))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], percent: int
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)
