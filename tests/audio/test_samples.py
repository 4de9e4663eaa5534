import pytest
from hypothesis import given
from hypothesis import strategies as st

np = pytest.importorskip("numpy")

from vivavoce.audio.samples import limited, normalized, samples, split, to_pcm, trimmed  # noqa: E402

RATE = 100
loudness = st.floats(-1, 1, width=32)


@given(st.binary())
def test_pcm_survives_the_way_there_and_back(pcm: bytes) -> None:
    there = to_pcm(samples(pcm))
    assert len(there) == len(pcm) // 2 * 2
    assert (
        np.abs(np.frombuffer(there, "<i2").astype(int) - np.frombuffer(pcm[: len(there)], "<i2")).max(initial=0)
        <= 1
    )


@given(st.lists(loudness, max_size=500), st.sampled_from([0.5, 1.0, 3.0]))
def test_pieces_are_short_and_nothing_is_lost(values: list[float], seconds: float) -> None:
    sound = np.array(values, np.float32)
    cut = list(split(sound, RATE, seconds))
    assert np.array_equal(np.concatenate(cut), sound)
    assert all(len(piece) <= seconds * RATE for piece in cut)


def test_a_long_sound_is_cut_in_its_pause() -> None:
    sound = np.ones(250, np.float32)
    sound[160:190] = 0
    assert len(next(split(sound, RATE, 2.0))) in range(160, 190)


@given(st.lists(loudness, max_size=200))
def test_trimming_keeps_all_that_is_loud(values: list[float]) -> None:
    sound = np.array(values, np.float32)
    kept, tail = trimmed(sound, RATE, 0.5, 0.01)
    assert (np.abs(kept) >= 0.5).sum() == (np.abs(sound) >= 0.5).sum()
    assert 0 <= tail <= len(sound) / RATE
    if len(kept):
        assert (np.abs(kept[:2]) >= 0.5).any()
        assert (np.abs(kept[-2:]) >= 0.5).any()


@pytest.mark.parametrize("loud", [0.02, 0.3, 1.0])
def test_a_faint_and_a_loud_voice_become_equal(loud: float) -> None:
    wave = np.sin(np.arange(4000, dtype=np.float32)) * np.float32(loud)
    assert np.abs(normalized(wave)).max() == pytest.approx(0.5, abs=0.01)


def test_a_click_is_no_level() -> None:
    wave = np.sin(np.arange(8000, dtype=np.float32)) * np.float32(0.02)
    wave[:200] = 0.9
    assert np.abs(normalized(wave)[400:]).max() == pytest.approx(0.5, abs=0.03)
    assert np.abs(normalized(wave)).max() <= 1


def test_silence_stays_silence() -> None:
    assert not normalized(np.zeros(100, np.float32)).any()
    assert not len(normalized(np.zeros(0, np.float32)))
    assert not len(trimmed(np.zeros(100, np.float32), RATE, 0.5, 0.01)[0])


@given(st.lists(st.floats(-5, 5, width=32), max_size=50))
def test_rounding_off_bends_only_the_peaks(values: list[float]) -> None:
    sound = np.array(values, np.float32)
    bent = limited(sound, 0.7, 0.9)
    assert np.abs(bent).max(initial=0) <= np.float32(0.9)
    assert np.array_equal(bent[np.abs(sound) <= np.float32(0.7)], sound[np.abs(sound) <= np.float32(0.7)])
    assert np.array_equal(np.sign(bent), np.sign(sound))
