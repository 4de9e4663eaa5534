"""The telephone's sound, code word by code word."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.audio import g711

LAWS: tuple[g711.Law, ...] = ("ulaw", "alaw")
CODES = bytes(range(256))

ULAW_SEGMENTS = [0, 31, 95, 223, 479, 991, 2015, 4063, 8159]
"""Decision values at the ends of the segments, of 14 bits (G.711 table 2a)."""
ALAW_SEGMENTS = [0, 64, 128, 256, 512, 1024, 2048, 4096]
"""The same of 13 bits (table 1a); the first two segments have steps of one size."""


def samples(sound: bytes) -> list[int]:
    return list(array("h", sound))


def pcm(*values: int) -> bytes:
    return array("h", values).tobytes()


@pytest.mark.parametrize("law", LAWS)
def test_every_code_word_comes_back(law: g711.Law) -> None:
    """But the negative zero of µ-law, which says the same as the positive one."""
    back = g711.encode(g711.decode(CODES, law), law)
    different = [code for code in CODES if back[code] != code]
    assert different in ([], [0x7F], [0xFF])
    assert samples(g711.decode(back, law)) == samples(g711.decode(CODES, law))


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [
        ("ulaw", 0xFF, 0),
        ("ulaw", 0x7F, 0),
        ("ulaw", 0x80, 8031 * 4),
        ("ulaw", 0x00, -8031 * 4),
        ("ulaw", 0xF0, 30 * 4),
        ("ulaw", 0xEF, 33 * 4),
        ("ulaw", 0xE0, 93 * 4),
        ("ulaw", 0xDF, 99 * 4),
        ("ulaw", 0x8F, 4191 * 4),
        ("alaw", 0xD5, 1 * 8),
        ("alaw", 0x55, -1 * 8),
        ("alaw", 0xAA, 4032 * 8),
        ("alaw", 0x2A, -4032 * 8),
        ("alaw", 0xDA, 31 * 8),
        ("alaw", 0xC5, 33 * 8),
        ("alaw", 0xF5, 66 * 8),
        ("alaw", 0xA5, 2112 * 8),
    ],
)
def test_code_words_are_worth_what_the_standard_says(law: g711.Law, code: int, value: int) -> None:
    """G.711, tables 1a to 2b, column 8; our samples have 16 bits, its µ-law 14 and its A-law 13."""
    assert samples(g711.decode(bytes([code]), law)) == [value]


def test_the_segments_of_ulaw_begin_where_the_standard_says() -> None:
    values = sorted(set(samples(g711.decode(CODES, "ulaw"))))
    positive = [value // 4 for value in values if value >= 0]
    assert len(positive) == 128
    for segment in range(8):
        low, high = ULAW_SEGMENTS[segment], ULAW_SEGMENTS[segment + 1]
        assert sum(low <= value < high for value in positive) == 16, segment


def test_the_segments_of_alaw_begin_where_the_standard_says() -> None:
    values = sorted(set(samples(g711.decode(CODES, "alaw"))))
    positive = [value / 8 for value in values if value > 0]
    assert len(positive) == 128
    for low, high, steps in zip(ALAW_SEGMENTS, ALAW_SEGMENTS[1:], [32, *[16] * 6], strict=False):
        assert sum(low < value < high for value in positive) == steps, (low, high)


@pytest.mark.parametrize("law", LAWS)
def test_the_laws_are_odd(law: g711.Law) -> None:
    """What is negative sounds as what is positive: only the sign's bit differs."""
    for code in range(128):
        one, other = samples(g711.decode(bytes([code, code ^ 0x80]), law))
        assert one == -other


@pytest.mark.parametrize("law", LAWS)
@given(value=st.integers(-32768, 32767))
def test_a_sample_becomes_the_nearest_that_there_is(law: g711.Law, value: int) -> None:
    known = samples(g711.decode(CODES, law))
    (heard,) = samples(g711.decode(g711.encode(pcm(value), law), law))
    assert abs(heard - value) == min(abs(one - value) for one in known)


@pytest.mark.parametrize("law", LAWS)
@given(sound=st.binary(max_size=400))
def test_a_byte_is_a_sample(law: g711.Law, sound: bytes) -> None:
    assert len(g711.decode(sound, law)) == 2 * len(sound)
    assert len(g711.encode(g711.decode(sound, law), law)) == len(sound)


@pytest.mark.parametrize("law", LAWS)
def test_half_a_sample_cannot_be_encoded(law: g711.Law) -> None:
    with pytest.raises(ValueError, match="multiple of element size"):
        g711.encode(b"abc", law)


@pytest.mark.parametrize("law", LAWS)
def test_nothing_is_nothing(law: g711.Law) -> None:
    assert g711.decode(b"", law) == g711.encode(b"", law) == b""
