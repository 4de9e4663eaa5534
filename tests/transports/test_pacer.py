from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.transports.webrtc.pacer import FRAME_SECONDS, Pacer

FRAME = 0.02
LEAD = 0.015


def due_times(pacer: Pacer, count: int, *, silent: bool) -> list[float]:
    """Return when the next so many frames were sent."""
    sent = []
    for _ in range(count):
        sent.append(pacer.due)
        pacer.sent(silent=silent)
    return sent


def test_a_frame_is_sent_every_20_ms() -> None:
    assert due_times(Pacer(7), 4, silent=True) == pytest.approx([7, 7.02, 7.04, 7.06])


@pytest.mark.parametrize("after", [0.006, 0.01, 0.019])
def test_a_response_that_begins_in_a_silence_is_sent_at_once(after: float) -> None:
    pacer = Pacer(0)
    pacer.sent(silent=True)
    pacer.start_early(after)
    assert due_times(pacer, 3, silent=False) == pytest.approx([after + n * FRAME for n in range(3)])


def test_a_response_that_would_be_too_early_waits_a_little() -> None:
    pacer = Pacer(0)
    pacer.sent(silent=True)
    pacer.start_early(0.001)
    assert pacer.due == pytest.approx(FRAME - LEAD)


def test_the_lead_of_a_response_is_made_up_for_in_silence() -> None:
    pacer = Pacer(0)
    pacer.sent(silent=True)
    pacer.start_early(0.008)
    assert due_times(pacer, 2, silent=False) == pytest.approx([0.008, 0.028])
    assert due_times(pacer, 3, silent=True) == pytest.approx([0.048, 0.08, 0.1])


def test_frames_that_are_too_late_are_skipped() -> None:
    pacer = Pacer(0)
    assert pacer.skip_late(0.05) == 0
    assert pacer.skip_late(0.1) == 5
    assert pacer.due == pytest.approx(0.1)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, FRAME)), max_size=60))
def test_no_frame_is_late_nor_ever_earlier_than_the_lead(turns: list[tuple[bool, float]]) -> None:
    pacer, sent = Pacer(0), list[float]()
    for speaks, after in turns:
        sent.append(pacer.due)
        pacer.sent(silent=not speaks)
        if not speaks:
            pacer.start_early(sent[-1] + after)
    for number, at in enumerate(sent):
        assert number * FRAME - LEAD - 1e-9 <= at <= number * FRAME + 1e-9
    assert all(later - sooner > FRAME - LEAD - 1e-9 for sooner, later in pairwise(sent))
    assert FRAME_SECONDS == FRAME
