"""Live sound at another rate: little delay, nothing lost, however it is cut."""

import math
import operator
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audio.resample import DELAY_MS, Resampler, resample

WAYS = [(24_000, 16_000), (16_000, 24_000), (8_000, 16_000), (8_000, 24_000), (24_000, 8_000), (16_000, 8_000)]
ODD_WAYS = [(44_100, 24_000), (24_000, 44_100), (48_000, 24_000), (24_000, 48_000), (22_050, 16_000)]
ways = pytest.mark.parametrize(("rate_in", "rate_out"), WAYS + ODD_WAYS)


def tone(hertz: float, rate: int, seconds: float = 0.5, loud: float = 20_000) -> bytes:
    step = 2 * math.pi * hertz / rate
    return array("h", (round(loud * math.sin(step * i)) for i in range(int(rate * seconds)))).tobytes()


def decibels(sound: bytes) -> float:
    """Loudness in dB under a full tone of `tone`'s, without the first and last tenth."""
    samples = array("h", sound)
    samples = samples[len(samples) // 10 : -len(samples) // 10]
    power = sum(x * x for x in samples) / len(samples)
    return 10 * math.log10(max(power, 1e-3) / (20_000**2 / 2))


@settings(max_examples=60)
@given(
    st.sampled_from(WAYS + ODD_WAYS),
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=600),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_however_sound_is_cut_the_samples_are_the_same(
    way: tuple[int, int], samples: list[int], cuts: list[int]
) -> None:
    sound = array("h", samples).tobytes()
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(sound[at : at + 2 * cut])
        at += 2 * cut
    live = Resampler(*way)
    assert b"".join(live.push(piece) for piece in [*pieces, sound[at:]]) == Resampler(*way).push(sound)


@ways
def test_long_sound_in_one_piece_is_the_same_as_in_frames(rate_in: int, rate_out: int) -> None:
    sound, frame = tone(440, rate_in, 2.5), rate_in // 50 * 2
    live = Resampler(rate_in, rate_out)
    frames = [live.push(sound[at : at + frame]) for at in range(0, len(sound), frame)]
    assert b"".join(frames) == Resampler(rate_in, rate_out).push(sound)


@ways
def test_sound_is_hardly_late(rate_in: int, rate_out: int) -> None:
    click = array("h", [0] * rate_in)
    click[rate_in // 2] = 30_000
    heard = array("h", Resampler(rate_in, rate_out).push(click.tobytes()))
    loudest = max(range(len(heard)), key=heard.__getitem__)
    assert 0 < (loudest / rate_out - 0.5) * 1000 < 3
    assert DELAY_MS < 3


@ways
def test_what_speech_is_made_of_is_kept(rate_in: int, rate_out: int) -> None:
    for hertz in (200, 1000, 3000):
        assert decibels(Resampler(rate_in, rate_out).push(tone(hertz, rate_in))) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "hertz"),
    [
        (24_000, 16_000, 10_000),
        (24_000, 16_000, 9_000),
        (16_000, 8_000, 4_500),
        (16_000, 8_000, 5_000),
        (24_000, 8_000, 4_300),
        (24_000, 8_000, 5_000),
        (24_000, 8_000, 10_000),
    ],
)
def test_what_cannot_be_kept_does_not_come_back_as_something_else(
    rate_in: int, rate_out: int, hertz: int
) -> None:
    assert decibels(Resampler(rate_in, rate_out).push(tone(hertz, rate_in))) < -80


@pytest.mark.parametrize(("rate_in", "rate_out"), [(8_000, 16_000), (8_000, 24_000), (16_000, 24_000)])
def test_a_higher_rate_adds_no_mirror_image(rate_in: int, rate_out: int) -> None:
    loud = array("h", resample(tone(1000, rate_in), rate_in, rate_out))
    clean = array("h", tone(1000, rate_out))
    within = range(rate_out // 50, len(clean) - rate_out // 50)
    assert max(abs(loud[i] - clean[i]) for i in within) < 20_000 / 100  # 40 dB


@pytest.mark.parametrize("hertz", [300, 1000, 2000, 3000, 3400, 3700])
def test_telephone_audio_has_no_images(hertz: int) -> None:
    live = Resampler(8_000, 24_000).push(tone(hertz, 8_000))
    samples = [x * math.cos(2 * math.pi * (8_000 - hertz) * i / 24_000) for i, x in enumerate(array("h", live))]
    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / len(samples)) for i in range(len(samples))]
    image = 2 * sum(map(operator.mul, samples, window)) / sum(window)
    assert 20 * math.log10(max(abs(image), 1e-3) / 20_000) < -80


@ways
def test_a_whole_recording_is_neither_late_nor_shorter(rate_in: int, rate_out: int) -> None:
    whole = array("h", resample(tone(500, rate_in), rate_in, rate_out))
    want = array("h", tone(500, rate_out))
    assert abs(len(whole) - len(want)) <= 1
    within = range(rate_out // 50, len(want) - rate_out // 50)
    assert max(abs(whole[i] - want[i]) for i in within) <= 200


def test_the_loudest_sound_does_not_turn_over() -> None:
    step = array("h", [0] * 100 + [32767] * 2400).tobytes()
    heard = array("h", Resampler(24_000, 16_000).push(step))
    assert max(heard) == 32767
    assert min(heard[200:]) > 32_000  # the filter swings beyond the step, and is held


def test_the_same_rate_is_the_same_sound() -> None:
    assert Resampler(16_000, 16_000).push(b"\x01\x02") == b"\x01\x02"
    assert resample(b"\x01\x02", 16_000, 16_000) == b"\x01\x02"


def test_no_sound_is_no_sound() -> None:
    assert Resampler(24_000, 16_000).push(b"") == b""
    assert resample(b"", 24_000, 16_000) == b""


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="buffer size"):
        Resampler(24_000, 16_000).push(b"\x01\x02\x03")
