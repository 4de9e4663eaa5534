"""What a caller hears is what a peer would play, at the time at which it would."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from client.telephone.answering import tone
from vivavoce.client.telephone.playout_queue import LATE_SECONDS, PlayoutQueue

RATE = 8000


def queue(capacity: float = 10.0) -> PlayoutQueue:
    return PlayoutQueue(RATE, capacity)


def places(of: PlayoutQueue) -> list[tuple[float, float]]:
    return [(one.start / RATE, one.end / RATE) for one in of.played]


def test_audio_that_comes_at_once_is_played_one_after_the_other() -> None:
    heard = queue()
    for _ in range(3):
        heard.push(tone(1), 2.0)
    assert places(heard) == [(2.0, 3.0), (3.0, 4.0), (4.0, 5.0)]
    assert (heard.lead, heard.until, heard.waiting(3.5)) == (3.0, 5.0, 1.5)


def test_a_frame_that_is_a_little_late_leaves_no_hole_and_a_later_one_does() -> None:
    heard = queue()
    heard.push(tone(0.02), 1.0)
    heard.push(tone(0.02), 1.019 + LATE_SECONDS)
    heard.push(tone(0.02), 1.04 + LATE_SECONDS + 0.05)
    assert places(heard)[:2] == [(1.0, 1.02), (1.02, 1.04)]
    assert places(heard)[2][0] == 1.13


def test_clearing_cuts_off_what_was_not_played_yet() -> None:
    heard = queue()
    heard.push(tone(1), 0.0)
    heard.push(tone(1), 0.0)
    heard.clear(1.25)
    assert places(heard) == [(0.0, 1.0), (1.0, 1.25)]
    assert heard.audible_until == heard.until == 1.25
    heard.clear(3.0)
    assert places(heard) == [(0.0, 1.0), (1.0, 1.25)]


def test_what_does_not_fit_into_the_queue_is_lost_and_counted() -> None:
    heard = queue(capacity=1.5)
    heard.push(tone(1), 0.0)
    heard.push(tone(1), 0.0)
    assert (heard.until, heard.lost) == (1.5, 0.5)


def test_the_track_has_the_length_of_the_call_and_silence_where_nothing_came() -> None:
    heard = queue()
    heard.push(tone(0.5), 1.0)
    assert heard.track(2.0) == bytes(2 * RATE) + tone(0.5) + bytes(RATE)
    assert heard.track(1.25) == bytes(2 * RATE) + tone(0.25)
    assert heard.track(0.5) == bytes(RATE)


STEPS = st.lists(
    st.tuples(st.sampled_from(["push", "clear"]), st.integers(0, 3000), st.floats(0, 1)), max_size=40
)


@given(STEPS)
def test_two_sounds_are_never_played_at_once(steps: list[tuple[str, int, float]]) -> None:
    heard, at, cleared = queue(capacity=0.5), 0.0, 0.0
    for what, samples, later in steps:
        at += later
        if what == "push":
            heard.push(tone(samples / RATE), at)
        else:
            heard.clear(at)
            cleared = at
    assert all(before.end <= after.start for before, after in pairwise(heard.played))
    assert all(one.arrived <= one.start / RATE + LATE_SECONDS + 1 / RATE for one in heard.played)
    assert all(one.end <= round(cleared * RATE) or one.arrived >= cleared for one in heard.played)
