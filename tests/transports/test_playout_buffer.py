from hypothesis import given
from hypothesis import strategies as st

from vivavoce.transports.playout import PlayoutBuffer

MS = 48
items = st.sampled_from(["first", "second"])
steps = st.lists(st.one_of(st.tuples(items, st.integers(1, 50)), st.integers(1, 50)), max_size=30)


def test_what_was_read_counts_as_played() -> None:
    playout = PlayoutBuffer()
    playout.append("answer", b"\1\1" * 24 * 100)
    assert playout.read_padded(30 * MS) == b"\1" * 30 * MS
    assert playout.clear() == {"answer": 30}
    assert playout.read_padded(2) == b"\0\0"


def test_an_item_that_was_played_to_its_end_cannot_be_truncated() -> None:
    playout = PlayoutBuffer()
    playout.append("answer", b"\1" * 10 * MS)
    playout.finish("answer")
    playout.read_padded(20 * MS)
    assert not playout.has_audio
    assert playout.clear() == {}


def test_an_item_that_waits_for_its_next_audio_can_be_truncated() -> None:
    playout = PlayoutBuffer()
    playout.append("answer", b"\1" * 10 * MS)
    playout.read_padded(20 * MS)
    assert playout.clear() == {"answer": 10}


def test_audio_on_its_way_to_the_loudspeaker_was_not_played() -> None:
    playout = PlayoutBuffer()
    playout.append("answer", b"\1" * 100 * MS)
    playout.read_padded(50 * MS)
    assert playout.clear(latency_ms=20) == {"answer": 30}
    playout.append("next", b"\1" * MS)
    playout.read_padded(MS)
    assert playout.clear(latency_ms=20) == {"next": 0}


@given(steps)
def test_nothing_is_lost_or_played_twice_however_it_is_read(acts: list[tuple[str, int] | int]) -> None:
    playout, said, played = PlayoutBuffer(), b"", b""
    for number, act in enumerate(acts, 1):
        if isinstance(act, tuple):
            item, ms = act
            sound = bytes([number]) * ms * MS
            playout.append(item, sound)
            said += sound
        else:
            played += playout.read_padded(act * MS).rstrip(b"\0")
    while playout.has_audio:
        played += playout.read_padded(7 * MS).rstrip(b"\0")
    assert played == said


@given(steps)
def test_as_much_was_played_as_was_read(acts: list[tuple[str, int] | int]) -> None:
    playout, taken = PlayoutBuffer(), 0
    for act in acts:
        if isinstance(act, tuple):
            playout.append(act[0], b"\1" * act[1] * MS)
        else:
            taken += len(playout.read_padded(act * MS).rstrip(b"\0"))
    assert sum(playout.clear().values()) == taken // MS
