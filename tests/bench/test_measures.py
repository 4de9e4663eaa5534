"""Figures from what a caller received: arithmetic."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce_bench.measures import (
    Arrival,
    first_audible,
    interruption_of,
    percentile,
    slope,
    turn_of,
)

SOUND = "response.output_audio.delta"
STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
WROTE = "conversation.item.input_audio_transcription.completed"


def sound(at: float, response: str = "r1", *, seconds: float = 0.1, audible: float | None = 0.0) -> Arrival:
    return Arrival(at, SOUND, response, seconds=seconds, audible=audible)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 100))
def test_a_percentile_lies_between_the_least_and_the_most(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found is not None
    assert min(values) - 1e-6 <= found <= max(values) + 1e-6


def test_percentiles_lie_between_neighbours_in_proportion() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([1.0], 95) == 1.0
    assert percentile([], 50) is None


@given(st.integers(0, 5000), st.integers(1, 100))
def test_the_first_audible_sample_is_found_where_it_is(quiet: int, loud: int) -> None:
    samples = array("h", [100, -100] * quiet + [-600] * loud)
    assert first_audible(samples.tobytes()) == 2 * quiet / OUTPUT_RATE


def test_silence_cannot_be_heard() -> None:
    assert first_audible(bytes(9600)) is None
    assert first_audible(b"") is None


def test_latency_runs_from_the_true_end_of_speech_to_the_first_audible_sample() -> None:
    arrivals = [
        Arrival(10.2, STOPPED),
        Arrival(10.25, WROTE, text="How old is it?"),
        Arrival(10.3, "response.created", "r1"),
        Arrival(10.4, "response.output_audio_transcript.delta", "r1"),
        sound(10.4, audible=None),
        sound(10.41, audible=0.03),
        Arrival(11.0, "response.done", "r1", status="completed"),
    ]
    turn = turn_of(arrivals, 10.0)
    assert turn.latency == pytest.approx(0.53), "silence of 100 ms was played first"
    assert {stage: round(at, 2) for stage, at in turn.stages.items()} == {
        "turn closed": 0.2,
        "transcript": 0.25,
        "answer begun": 0.3,
        "first words": 0.4,
        "first sound": 0.4,
    }
    assert turn.transcript == "How old is it?"
    assert not turn.spoken_over
    assert not turn.closed_early
    assert not turn.failed


def test_an_answer_to_an_earlier_turn_does_not_count() -> None:
    arrivals = [sound(10.1, "r0"), sound(10.5, "r1")]
    assert turn_of(arrivals, 10.0, earlier=["r0"]).latency == pytest.approx(0.5)


def test_a_premature_answer_is_told_apart() -> None:
    turn = turn_of([Arrival(9.5, STOPPED), sound(9.8)], 10.0)
    assert turn.spoken_over
    assert turn.closed_early


def test_an_early_end_of_turn_that_was_taken_back_is_no_answer() -> None:
    arrivals = [
        Arrival(9.5, STOPPED),
        Arrival(9.5, "response.created", "r1"),
        Arrival(9.6, "response.done", "r1", status="cancelled"),
        Arrival(10.2, STOPPED),
        Arrival(10.2, "response.created", "r2"),
        sound(10.4, "r2"),
    ]
    turn = turn_of(arrivals, 10.0)
    assert turn.latency == pytest.approx(0.4)
    assert turn.stages["turn closed"] == pytest.approx(0.2)
    assert turn.closed_early
    assert not turn.spoken_over


def test_a_turn_without_an_answer_says_why() -> None:
    assert turn_of([], 1.0).failed == "no answer"
    assert turn_of([Arrival(1.1, "error", text="too slow")], 1.0).failed == "too slow"


def test_an_answer_is_quiet_when_the_client_drops_what_it_holds() -> None:
    arrivals = [
        sound(4.9, seconds=2.0),
        Arrival(5.3, STARTED),
        Arrival(5.31, "response.done", "r1", status="cancelled"),
    ]
    found = interruption_of(arrivals, 5.0)
    assert found.noticed == pytest.approx(0.3)
    assert found.quiet == pytest.approx(0.3)
    assert found.stopped


def test_an_answer_that_was_held_is_quiet_before_speech_is_certain() -> None:
    found = interruption_of([sound(4.8, seconds=0.3), Arrival(5.3, STARTED)], 5.0)
    assert found.quiet == pytest.approx(0.1)
    assert found.noticed == pytest.approx(0.3)


def test_an_uh_huh_does_not_interrupt() -> None:
    found = interruption_of([sound(4.8), sound(5.2)], 5.0)
    assert found.noticed is None
    assert not found.stopped


def test_growth_is_a_slope() -> None:
    assert slope([(1, 100.0), (10, 109.0), (50, 149.0)]) == pytest.approx(1.0)
    assert slope([(1, 100.0)]) is None
