"""The sound of what was said, as far as it is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.protocol.session import Pcm, Pcma, Pcmu
from vivavoce.session.item_audio import ItemAudio

pytestmark = pytest.mark.anyio
SECOND = bytes(range(240)) * 200


async def test_an_item_gives_back_what_was_said() -> None:
    sounds = ItemAudio(10)
    sounds.open("a", Pcm())
    sounds.append("a", SECOND)
    sounds.append("a", SECOND)
    assert await sounds.read("a") == SECOND * 2
    assert await sounds.read("b") is None


async def test_nothing_is_given_back_where_nothing_was_said() -> None:
    sounds = ItemAudio(10)
    sounds.open("a", Pcm())
    assert await sounds.read("a") is None


async def test_the_oldest_is_forgotten_first() -> None:
    sounds = ItemAudio(2.5)
    for item_id in "abc":
        sounds.open(item_id, Pcm())
        sounds.append(item_id, SECOND)
    assert await sounds.read("a") is None
    assert await sounds.read("b") == SECOND


async def test_an_item_that_is_too_long_is_not_kept_in_part() -> None:
    sounds = ItemAudio(2.5)
    sounds.open("a", Pcm())
    for _ in range(4):
        sounds.append("a", SECOND)
    assert await sounds.read("a") is None
    sounds.open("b", Pcm())
    sounds.append("b", SECOND)
    assert await sounds.read("b") == SECOND


async def test_what_was_cut_is_gone_and_nothing_is_added_beyond() -> None:
    sounds = ItemAudio(10)
    sounds.open("a", Pcm())
    sounds.append("a", SECOND)
    assert await sounds.read("a") == SECOND
    sounds.truncate("a", 250.4)
    assert await sounds.read("a") == SECOND[: 250 * 48]
    sounds.append("a", SECOND)
    sounds.truncate("a", 900)
    assert await sounds.read("a") == SECOND[: 250 * 48], "a cut is never taken back"


async def test_what_is_forgotten_makes_room() -> None:
    sounds = ItemAudio(1.5)
    for item_id in "ab":
        sounds.open(item_id, Pcm())
        sounds.append(item_id, SECOND)
        sounds.delete(item_id)
    sounds.open("c", Pcm())
    sounds.append("c", SECOND)
    assert await sounds.read("c") == SECOND
    assert await sounds.read("a") is None
    sounds.delete("nobody")


async def test_reading_twice_gives_the_same_bytes() -> None:
    sounds = ItemAudio(10)
    sounds.store_input("a", bytes(64_000), Pcm())
    assert await sounds.read("a") is await sounds.read("a")


@pytest.mark.parametrize(("format", "bytes_per_ms"), [(Pcm(), 48), (Pcmu(), 8), (Pcma(), 8)])
async def test_a_caller_is_given_back_in_the_format_they_sent(format: object, bytes_per_ms: int) -> None:
    sounds = ItemAudio(10)
    sounds.store_input("a", bytes(32 * 3000), format)  # type: ignore[arg-type]
    told = await sounds.read("a")
    assert told is not None
    assert len(told) / bytes_per_ms == pytest.approx(3000, abs=5)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 1200), st.integers(0, 1500)), max_size=30))
def test_no_more_is_kept_than_is_allowed(acts: list[tuple[str, int, int]]) -> None:
    sounds = ItemAudio(2)
    for item_id, ms, cut in acts:
        if cut % 3 == 0:
            sounds.open(item_id, Pcmu())
        sounds.append(item_id, bytes(8 * ms))
        sounds.truncate(item_id, cut)
        kept_ms = sum(len(sounds.stored(one)) / 8 for one in "abcd")
        assert kept_ms <= 2000
        assert kept_ms == pytest.approx(sounds.ms)


def opened(sounds: ItemAudio, ids: str) -> ItemAudio:
    for item_id in ids:
        sounds.open(item_id, Pcmu())
    return sounds


def test_the_oldest_items_lose_their_beginning_as_well() -> None:
    sounds = opened(ItemAudio(0.0125, keep_beginning=True), "abc")
    for name in "abc":
        sounds.append(name, bytes(40))
    assert [len(sounds.stored(name)) for name in "abc"] == [0, 40, 40]
    sounds.append("b", bytes(40))
    assert [len(sounds.stored(name)) for name in "abc"] == [0, 80, 0]


def test_of_a_long_item_the_beginning_can_be_kept() -> None:
    sounds = opened(ItemAudio(0.002, keep_beginning=True), "ab")
    sounds.append("a", b"0123456789")
    sounds.append("a", b"abcdefgh")
    assert sounds.stored("a") == b"0123456789abcdef"
    sounds.truncate("a", 1)
    sounds.append("b", b"01234567")
    assert (sounds.stored("a"), sounds.stored("b")) == (b"01234567", b"01234567")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.booleans())))
def test_no_more_is_kept_than_is_allowed_with_beginnings(acts: list[tuple[str, int, bool]]) -> None:
    sounds = opened(ItemAudio(0.0125, keep_beginning=True), "abc")
    for name, size, cut in acts:
        sounds.truncate(name, size / 8) if cut else sounds.append(name, bytes(size))
        kept = sum(len(sounds.stored(one)) for one in "abc")
        assert kept <= 100
        assert sounds.ms == pytest.approx(kept / 8)
