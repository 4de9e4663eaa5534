"""Telephone keys heard in sound."""

import wave
from array import array
from collections.abc import Iterator
from math import pi, sin
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.audio import g711
from vivavoce.audio.dtmf import HIGH, KEYS, LOW, DtmfDetector, tone
from vivavoce.audio.resample import resample

RATES = (8000, 16_000)
RECORDINGS = sorted((Path(__file__).parents[1] / "recordings").glob("*.wav"))


def silence(seconds: float, rate: int) -> bytes:
    return bytes(2 * round(seconds * rate))


def heard(sound: bytes, rate: int, *, chunk: int = 640) -> str:
    detector = DtmfDetector(rate)
    return "".join(detector.push(sound[at : at + chunk]) for at in range(0, len(sound), chunk))


def dialled(keys: str, seconds: float, gap: float, rate: int, *, loudness: float = 0.5) -> bytes:
    """The keys, one after the other, with silence around each."""
    each = [tone(key, seconds, rate, loudness=loudness) + silence(gap, rate) for key in keys]
    return silence(0.1, rate) + b"".join(each) + silence(0.1, rate)


def two_tones(low: float, high: float, seconds: float, rate: int, amplitudes: tuple[float, float]) -> bytes:
    at = [2 * pi * n / rate for n in range(round(seconds * rate))]
    return array(
        "h", [round(amplitudes[0] * sin(low * t) + amplitudes[1] * sin(high * t)) for t in at]
    ).tobytes()


@pytest.mark.parametrize("rate", RATES)
def test_every_key_is_heard_once(rate: int) -> None:
    assert heard(dialled(KEYS, 0.1, 0.1, rate), rate) == KEYS


@pytest.mark.parametrize("rate", RATES)
def test_the_shortest_tones_and_pauses_are_heard(rate: int) -> None:
    """Q.24: tones of 40 ms with pauses of 40 ms between them, wherever they begin."""
    for lead in range(0, 600, 37):
        sound = bytes(2 * lead) + dialled("1998#*00", 0.04, 0.04, rate)
        assert heard(sound, rate) == "1998#*00"


@pytest.mark.parametrize("rate", RATES)
def test_short_keys_in_a_row_are_heard(rate: int) -> None:
    assert heard(dialled("1998#*00", 0.04, 0.04, rate), rate) == "1998#*00"


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_that_is_too_short_is_no_key(rate: int) -> None:
    assert heard(dialled(KEYS, 0.023, 0.1, rate), rate) == ""


def test_a_key_held_long_is_one_key() -> None:
    assert heard(dialled("5", 3.0, 0.1, 8000), 8000) == "5"


def test_a_gap_of_10_ms_is_no_second_press() -> None:
    for start in range(0, 110, 7):
        sound = (
            silence(start / 8000, 8000) + tone("7", 0.06, 8000) + silence(0.01, 8000) + tone("7", 0.06, 8000)
        )
        assert heard(sound + silence(0.1, 8000), 8000) == "7"


def test_what_is_down_is_held_and_then_let_go() -> None:
    detector = DtmfDetector(8000)
    assert detector.push(tone("3", 0.1, 8000)) == "3"
    assert detector.held == "3"
    assert detector.push(silence(0.2, 8000)) == ""
    assert detector.held == ""


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
@pytest.mark.parametrize("loudness", [1.0, 0.1, 0.02])
def test_keys_are_heard_over_a_telephone_line_loud_or_soft(law: g711.Law, loudness: float) -> None:
    line = g711.decode(g711.encode(dialled(KEYS, 0.05, 0.05, 8000, loudness=loudness), law), law)
    assert heard(line, 8000) == KEYS
    assert heard(resample(line, 8000, 16_000), 16_000) == KEYS


@pytest.mark.parametrize("off", [-0.015, -0.008, 0.008, 0.015])
def test_tones_may_be_a_little_off(off: float) -> None:
    """Q.24: 1.5 % are received."""
    for low in range(4):
        for high in range(4):
            sound = two_tones(LOW[low] * (1 + off), HIGH[high] * (1 + off), 0.05, 8000, (6000, 6000))
            assert heard(sound + silence(0.1, 8000), 8000) == KEYS[4 * low + high]


@pytest.mark.parametrize("off", [-0.04, 0.04])
def test_tones_that_are_far_off_are_no_key(off: float) -> None:
    """Q.24: 3.5 % are not."""
    for low, high in zip(LOW, HIGH, strict=True):
        assert heard(two_tones(low * (1 + off), high * (1 + off), 0.2, 8000, (6000, 6000)), 8000) == ""


@pytest.mark.parametrize(
    ("decibels", "key"), [(-7.5, "5"), (-4, "5"), (3.5, "5"), (-10, ""), (6, "")], ids=lambda value: str(value)
)
def test_the_high_tone_may_be_softer_than_the_low_one_but_little_louder(decibels: float, key: str) -> None:
    sound = two_tones(LOW[1], HIGH[1], 0.1, 8000, (4000, 4000 * 10 ** (decibels / 20)))
    assert heard(sound + silence(0.1, 8000), 8000) == key


@pytest.mark.parametrize("frequencies", [(440,), (697,), (1633,), (350, 440), (480, 620), (697, 770), (425,)])
def test_other_tones_of_a_telephone_are_no_keys(frequencies: tuple[int, ...]) -> None:
    one, *other = frequencies
    sound = two_tones(one, other[0] if other else 0, 1.0, 8000, (6000, 6000))
    assert heard(sound, 8000) == ""


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_nobody_presses_keys_by_speaking_or_in_a_kitchen(path: Path) -> None:
    with wave.open(str(path)) as file:
        sound = file.readframes(file.getnframes())
    narrow = resample(sound, 16_000, 8000)
    assert heard(sound, 16_000) == ""
    assert heard(g711.decode(g711.encode(narrow, "ulaw"), "ulaw"), 8000) == ""


@given(
    st.text(KEYS, max_size=6),
    st.floats(0.042, 0.2),
    st.floats(0.042, 0.2),
    st.sampled_from(RATES),
    st.integers(0, 300),
    st.integers(1, 700),
)
def test_whatever_is_dialled_is_heard_however_it_is_cut(
    keys: str, seconds: float, gap: float, rate: int, lead: int, chunk: int
) -> None:
    sound = bytes(2 * lead) + dialled(keys, seconds, gap, rate)
    assert heard(sound, rate, chunk=2 * chunk) == keys


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=2000))
def test_noise_is_never_an_error(samples: list[int]) -> None:
    detector = DtmfDetector(8000)
    assert set(detector.push(array("h", samples).tobytes())) <= set(KEYS)


def test_it_hears_speech_cheaply() -> None:
    """A second of speech takes well under 2 ms even on a busy machine; alone it is 0.3 ms."""
    with wave.open(str(next(path for path in RECORDINGS if path.stem == "jfk"))) as file:
        sound = file.readframes(file.getnframes())
    seconds = len(sound) / 32_000

    def takes() -> Iterator[float]:
        for _ in range(3):
            began = process_time()
            heard(sound, 16_000, chunk=1024)
            yield (process_time() - began) / seconds

    assert min(takes()) < 0.002
