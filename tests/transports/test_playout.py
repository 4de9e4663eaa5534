from hypothesis import given
from hypothesis import strategies as st

from vivavoce.transports.playout import Playout

MS = 48
items = st.sampled_from(["first", "second"])
steps = st.lists(st.one_of(st.tuples(items, st.integers(1, 50)), st.integers(1, 50)), max_size=30)


def test_what_was_played_is_what_was_heard() -> None:
    playout = Playout()
    playout.say("answer", b"\1\1" * 24 * 100)
    assert playout.take(30 * MS) == b"\1" * 30 * MS
    assert playout.drop() == {"answer": 30}
    assert playout.take(2) == b"\0\0"


def test_an_answer_that_was_played_to_its_end_cannot_be_cut() -> None:
    playout = Playout()
    playout.say("answer", b"\1" * 10 * MS)
    playout.end("answer")
    playout.take(20 * MS)
    assert not playout.busy
    assert playout.drop() == {}


def test_an_answer_that_waits_for_its_next_sound_can_be_cut() -> None:
    playout = Playout()
    playout.say("answer", b"\1" * 10 * MS)
    playout.take(20 * MS)
    assert playout.drop() == {"answer": 10}


def test_sound_on_its_way_to_the_ear_was_not_heard() -> None:
    playout = Playout()
    playout.say("answer", b"\1" * 100 * MS)
    playout.take(50 * MS)
    assert playout.drop(lag_ms=20) == {"answer": 30}
    playout.say("next", b"\1" * MS)
    playout.take(MS)
    assert playout.drop(lag_ms=20) == {"next": 0}


@given(steps)
def test_nothing_is_lost_or_played_twice_however_it_is_cut(acts: list[tuple[str, int] | int]) -> None:
    playout, said, played = Playout(), b"", b""
    for number, act in enumerate(acts, 1):
        if isinstance(act, tuple):
            item, ms = act
            sound = bytes([number]) * ms * MS
            playout.say(item, sound)
            said += sound
        else:
            played += playout.take(act * MS).rstrip(b"\0")
    while playout.busy:
        played += playout.take(7 * MS).rstrip(b"\0")
    assert played == said


@given(steps)
def test_as_much_was_heard_as_was_taken(acts: list[tuple[str, int] | int]) -> None:
    playout, taken = Playout(), 0
    for act in acts:
        if isinstance(act, tuple):
            playout.say(act[0], b"\1" * act[1] * MS)
        else:
            taken += len(playout.take(act * MS).rstrip(b"\0"))
    assert sum(playout.drop().values()) == taken // MS
