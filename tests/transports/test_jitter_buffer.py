from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.transports.webrtc.jitter_buffer import JitterBuffer, packet_samples

FRAME = 960
TOC = bytes([1 << 3])
"""of a packet of 20 ms, mono"""


def packet(number: int) -> bytes:
    return TOC + number.to_bytes(2, "big")


def push(buffer: JitterBuffer, number: int, *, start: int = 0, time: int | None = None) -> list[bytes | int]:
    timestamp = number * FRAME if time is None else time
    return buffer.add((start + number) % 2**16, (start * FRAME + timestamp) % 2**32, packet(number))


def numbers(chunks: list[bytes | int]) -> list[int]:
    return [int.from_bytes(chunk[1:], "big") for chunk in chunks if isinstance(chunk, bytes) and chunk[1:]]


def length(chunks: list[bytes | int]) -> int:
    return sum(chunk if isinstance(chunk, int) else packet_samples(chunk) for chunk in chunks)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0 << 3, 0, 480),
        (1 << 3, 0, 960),
        (3 << 3, 0, 2880),
        (11 << 3, 0, 2880),
        (12 << 3, 0, 480),
        (15 << 3, 0, 960),
        (16 << 3, 0, 120),
        (31 << 3, 0, 960),
        (31 << 3 | 1, 0, 1920),
        (31 << 3 | 2, 0, 1920),
        (1 << 3 | 3, 6, 5760),
    ],
)
def test_a_packet_says_how_long_it_is(first: int, second: int, expected: int) -> None:
    assert packet_samples(bytes([first, second])) == expected


def test_what_is_no_packet_has_no_length() -> None:
    assert packet_samples(b"") == 0
    assert packet_samples(b"\x03") == 0


@pytest.mark.parametrize("start", [0, 65_530, 32_760])
def test_packets_go_on_as_they_come(start: int) -> None:
    buffer = JitterBuffer()
    assert [numbers(push(buffer, n, start=start)) for n in range(12)] == [[n] for n in range(12)]


def test_a_packet_that_is_overtaken_is_waited_for() -> None:
    buffer = JitterBuffer()
    assert [numbers(push(buffer, n)) for n in (0, 2, 3, 1, 4)] == [[0], [], [], [1, 2, 3], [4]]


def test_a_packet_that_does_not_come_is_concealed() -> None:
    buffer = JitterBuffer()
    heard = [push(buffer, n) for n in (0, 2, 3, 4, 5)]
    assert heard[:4] == [[packet(0)], [], [], []]
    assert heard[4] == [TOC, packet(2), packet(3), packet(4), packet(5)]


def test_of_what_is_lost_for_long_the_beginning_is_concealed_and_the_rest_silence() -> None:
    buffer = JitterBuffer()
    heard = [push(buffer, n) for n in (0, 11, 12, 13, 14)]
    assert heard[4][:6] == [TOC] * 5 + [5 * FRAME]


def test_an_empty_packet_is_not_heard() -> None:
    buffer = JitterBuffer()
    push(buffer, 0)
    assert buffer.add(1, 0, b"") == []
    assert buffer.add(2, FRAME, packet(1)) == [packet(1)]


def test_no_packet_is_heard_twice_or_too_late() -> None:
    buffer = JitterBuffer()
    assert [numbers(push(buffer, n)) for n in (0, 0, 1, 3, 4, 5, 6, 2)] == [
        [0],
        [],
        [1],
        [],
        [],
        [],
        [3, 4, 5, 6],
        [],
    ]


def test_a_sender_that_saves_silence_is_heard_silent() -> None:
    buffer = JitterBuffer()
    push(buffer, 0)
    assert push(buffer, 1, time=10 * FRAME) == [9 * FRAME, packet(1)]


def test_silence_that_was_put_in_as_it_passed_is_not_put_in_again() -> None:
    buffer = JitterBuffer()
    push(buffer, 0)
    passed = [buffer.pass_time(FRAME) for _ in range(6)]
    assert passed == [[FRAME]] * 6
    assert push(buffer, 1, time=10 * FRAME) == [3 * FRAME, packet(1)]


def test_what_was_held_back_is_heard_when_nothing_more_comes() -> None:
    buffer = JitterBuffer()
    push(buffer, 0)
    push(buffer, 2)
    assert buffer.pass_time(FRAME) == [TOC, packet(2), FRAME]


def test_words_that_come_late_are_heard_all_the_same() -> None:
    buffer = JitterBuffer()
    push(buffer, 0)
    for _ in range(10):
        buffer.pass_time(FRAME)
    assert [numbers(push(buffer, n)) for n in (1, 2, 3)] == [[1], [2], [3]]


def test_a_sender_that_begins_anew_is_heard() -> None:
    buffer = JitterBuffer()
    push(buffer, 0)
    assert buffer.add(30_000, 77, packet(7)) == [packet(7)]
    assert buffer.add(30_001, 77 + FRAME, packet(8)) == [packet(8)]


@given(st.integers(0, 2**16 - 1), st.integers(1, 60), st.randoms(use_true_random=False))
def test_however_a_network_shuffles_a_little_all_is_heard_in_order(
    start: int, count: int, chance: Random
) -> None:
    order = sorted(range(1, count + 1), key=lambda n: n + chance.random() * 2)
    buffer = JitterBuffer()
    heard = push(buffer, 0, start=start)
    for number in order:
        heard += push(buffer, number, start=start)
    assert numbers(heard) == list(range(count + 1))
    assert length(heard) == (count + 1) * FRAME


@given(st.sets(st.integers(1, 50), max_size=30))
def test_whatever_is_lost_time_is_kept(lost: set[int]) -> None:
    buffer, heard = JitterBuffer(), list[bytes | int]()
    for number in range(60):
        if number not in lost:
            heard += push(buffer, number)
    assert numbers(heard) == [number for number in range(60) if number not in lost]
    assert length(heard) == 60 * FRAME


@given(
    st.lists(
        st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=4)), max_size=50
    )
)
def test_whatever_comes_little_is_made_of_it(packets: list[tuple[int, int, bytes]]) -> None:
    buffer = JitterBuffer()
    for sequence, timestamp, payload in packets:
        assert length(buffer.add(sequence, timestamp, payload)) <= 4 * 48_000 + 5 * 63 * 2880
