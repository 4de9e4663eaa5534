"""The sound of what was said, as far as it is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.cascade.item_audio import ItemAudio
from vivavoce.protocol.session import Pcm, Pcma, Pcmu

pytestmark = pytest.mark.anyio
SECOND = bytes(range(240)) * 200


async def test_an_item_gives_back_what_was_said() -> None:
    sounds = ItemAudio(10)
    sounds.open("a", Pcm())
    sounds.add("a", SECOND)
    sounds.add("a", SECOND)
    assert await sounds.of("a") == SECOND * 2
    assert await sounds.of("b") is None


async def test_nothing_is_given_back_where_nothing_was_said() -> None:
    sounds = ItemAudio(10)
    sounds.open("a", Pcm())
    assert await sounds.of("a") is None


async def test_the_oldest_is_forgotten_first() -> None:
    sounds = ItemAudio(2.5)
    for item_id in "abc":
        sounds.open(item_id, Pcm())
        sounds.add(item_id, SECOND)
    assert await sounds.of("a") is None
    assert await sounds.of("b") == SECOND


async def test_an_item_that_is_too_long_is_not_kept_in_part() -> None:
    sounds = ItemAudio(2.5)
    sounds.open("a", Pcm())
    for _ in range(4):
        sounds.add("a", SECOND)
    assert await sounds.of("a") is None
    sounds.open("b", Pcm())
    sounds.add("b", SECOND)
    assert await sounds.of("b") == SECOND


async def test_what_was_cut_is_gone_and_nothing_is_added_beyond() -> None:
    sounds = ItemAudio(10)
    sounds.open("a", Pcm())
    sounds.add("a", SECOND)
    assert await sounds.of("a") == SECOND
    sounds.cut("a", 250.4)
    assert await sounds.of("a") == SECOND[: 250 * 48]
    sounds.add("a", SECOND)
    sounds.cut("a", 900)
    assert await sounds.of("a") == SECOND[: 250 * 48], "a cut is never taken back"


async def test_what_is_forgotten_makes_room() -> None:
    sounds = ItemAudio(1.5)
    for item_id in "ab":
        sounds.open(item_id, Pcm())
        sounds.add(item_id, SECOND)
        sounds.forget(item_id)
    sounds.open("c", Pcm())
    sounds.add("c", SECOND)
    assert await sounds.of("c") == SECOND
    assert await sounds.of("a") is None
    sounds.forget("nobody")


async def test_who_asks_twice_is_given_the_same_bytes() -> None:
    sounds = ItemAudio(10)
    sounds.hear("a", bytes(64_000), Pcm())
    assert await sounds.of("a") is await sounds.of("a")


@pytest.mark.parametrize(("format", "bytes_per_ms"), [(Pcm(), 48), (Pcmu(), 8), (Pcma(), 8)])
async def test_a_caller_is_given_back_in_the_format_they_sent(format: object, bytes_per_ms: int) -> None:
    sounds = ItemAudio(10)
    sounds.hear("a", bytes(32 * 3000), format)  # type: ignore[arg-type]
    told = await sounds.of("a")
    assert told is not None
    assert len(told) / bytes_per_ms == pytest.approx(3000, abs=5)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 1200), st.integers(0, 1500)), max_size=30))
def test_no_more_is_kept_than_is_allowed(acts: list[tuple[str, int, int]]) -> None:
    sounds = ItemAudio(2)
    for item_id, ms, cut in acts:
        if cut % 3 == 0:
            sounds.open(item_id, Pcmu())
        sounds.add(item_id, bytes(8 * ms))
        sounds.cut(item_id, cut)
        assert sum(sounds.kept.values()) <= 2000
        assert sum(sounds.kept.values()) == pytest.approx(sounds.ms)
