"""Quiet speech is detected as loud speech is, and what is quiet beside it is not."""

from array import array

import pytest

from providers.offline import recording, weights
from vivavoce.audio.samples import samples, to_pcm
from vivavoce.engines.cascade.leveled_detector import LeveledDetector
from vivavoce.providers.base import FRAME_BYTES
from vivavoce.providers.local.silero import PLUGIN, SileroSettings


class LoudIsSpeech:
    def probability(self, frame: bytes) -> float:
        return float(max(array("h", frame)) - min(array("h", frame)) > 6000)


def frame(level: int) -> bytes:
    return array("h", [level, -level] * (FRAME_BYTES // 4)).tobytes()


def probabilities(detector: LeveledDetector, *levels: int) -> list[float]:
    return [detector.probability(frame(level)) for level in levels]


@pytest.mark.parametrize("level", [150, 1000, 20_000, 32_767])
def test_speech_is_detected_at_any_level(level: int) -> None:
    assert probabilities(LeveledDetector(LoudIsSpeech()), 0, level, level) == [0, 1, 1]


def test_silence_stays_silence() -> None:
    assert probabilities(LeveledDetector(LoudIsSpeech()), 0, 1, 20, 0) == [0, 0, 0, 0]


def test_what_is_quiet_beside_the_speech_is_not_amplified() -> None:
    assert probabilities(LeveledDetector(LoudIsSpeech()), 20_000, 200, 200) == [1, 0, 0]


def test_in_a_recording_those_at_a_distance_count_as_well() -> None:
    detector = LeveledDetector(LoudIsSpeech(), is_recording=True)
    assert probabilities(detector, 20_000, 200, 0, 20_000) == [1, 1, 0, 1]


def test_who_goes_on_more_quietly_is_followed() -> None:
    detector = LeveledDetector(LoudIsSpeech())
    assert probabilities(detector, 8000, *[4000] * 40, 2500) == [1] * 42


def test_an_echo_of_the_answer_is_neither_amplified_nor_the_level_of_the_caller() -> None:
    detector = LeveledDetector(LoudIsSpeech())
    detector.adapts = False
    assert probabilities(detector, 200, 20_000) == [0, 1]
    detector.adapts = True
    assert probabilities(detector, 200) == [1]
    detector.adapts = False
    assert probabilities(detector, 200, 20) == [1, 0]


@pytest.mark.anyio
@pytest.mark.real_time
@pytest.mark.models
async def test_a_recording_with_a_peak_of_minus_45_dbfs_has_all_of_its_speech() -> None:
    silero = await PLUGIN.open(SileroSettings(), weights)
    sound = samples(recording("jfk"))[: 5 * 16_000]

    def spoken(dbfs: float) -> list[bool]:
        pcm = to_pcm(sound / abs(sound).max() * 10 ** (dbfs / 20))
        detector = LeveledDetector(silero.detector())  # type: ignore[attr-defined]
        frames = range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)
        return [detector.probability(pcm[at : at + FRAME_BYTES]) > 0.5 for at in frames]

    loud, quiet = spoken(-6), spoken(-45)
    assert sum(one != other for one, other in zip(loud, quiet, strict=True)) < 0.05 * len(loud)
    assert loud.index(True) == quiet.index(True)


def test_a_constant_offset_is_learnt_while_nobody_speaks_and_is_no_level() -> None:
    quiet, speech = (
        array("h", [2000 + level, 2000 - level] * (FRAME_BYTES // 4)).tobytes() for level in (0, 150)
    )
    detector = LeveledDetector(LoudIsSpeech())
    assert [detector.probability(one) for one in [*[quiet] * 20, speech, speech]] == [*[0] * 20, 1, 1]
