from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.transports.webrtc.pacer import FRAME_SECONDS, Pacer

FRAME = 0.02
LEAD = 0.015


def beats(beat: Pacer, count: int, *, silent: bool) -> list[float]:
    """Return when the next so many frames were sent."""
    sent = []
    for _ in range(count):
        sent.append(beat.due)
        beat.go_on(silent=silent)
    return sent


def test_a_frame_is_sent_every_20_ms() -> None:
    assert beats(Pacer(7), 4, silent=True) == pytest.approx([7, 7.02, 7.04, 7.06])


@pytest.mark.parametrize("after", [0.006, 0.01, 0.019])
def test_who_begins_to_speak_in_a_silence_is_sent_at_once(after: float) -> None:
    beat = Pacer(0)
    beat.go_on(silent=True)
    beat.hurry(after)
    assert beats(beat, 3, silent=False) == pytest.approx([after + n * FRAME for n in range(3)])


def test_who_would_be_too_early_waits_a_little() -> None:
    beat = Pacer(0)
    beat.go_on(silent=True)
    beat.hurry(0.001)
    assert beat.due == pytest.approx(FRAME - LEAD)


def test_what_a_voice_was_ahead_is_given_back_in_silence() -> None:
    beat = Pacer(0)
    beat.go_on(silent=True)
    beat.hurry(0.008)
    assert beats(beat, 2, silent=False) == pytest.approx([0.008, 0.028])
    assert beats(beat, 3, silent=True) == pytest.approx([0.048, 0.08, 0.1])


def test_what_was_missed_is_let_go() -> None:
    beat = Pacer(0)
    assert beat.missed(0.05) == 0
    assert beat.missed(0.1) == 5
    assert beat.due == pytest.approx(0.1)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, FRAME)), max_size=60))
def test_no_frame_is_late_nor_ever_earlier_than_the_lead(turns: list[tuple[bool, float]]) -> None:
    beat, sent = Pacer(0), list[float]()
    for speaks, after in turns:
        sent.append(beat.due)
        beat.go_on(silent=not speaks)
        if not speaks:
            beat.hurry(sent[-1] + after)
    for number, at in enumerate(sent):
        assert number * FRAME - LEAD - 1e-9 <= at <= number * FRAME + 1e-9
    assert all(later - sooner > FRAME - LEAD - 1e-9 for sooner, later in pairwise(sent))
    assert FRAME_SECONDS == FRAME
