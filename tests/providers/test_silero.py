from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.offline import recording, weights
from vivavoce.errors import ConfigError
from vivavoce.providers.base import FRAME_BYTES, FRAME_MS
from vivavoce.providers.local.onnx import open_session
from vivavoce.providers.local.silero import PLUGIN, Silero, SileroDetector, SileroSettings

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


def heard(detector: SileroDetector, sound: bytes) -> Iterator[float]:
    for start in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES):
        yield detector.probability(sound[start : start + FRAME_BYTES])


def longest_speech_ms(detector: SileroDetector, sound: bytes) -> int:
    run = longest = 0
    for probability in heard(detector, sound):
        run = run + 1 if probability >= 0.5 else 0
        longest = max(longest, run)
    return longest * FRAME_MS


async def silero(settings: SileroSettings | None = None) -> Silero:
    return await PLUGIN.open(settings or SileroSettings(), weights)  # type: ignore[return-value]


@pytest.mark.models
async def test_a_question_is_speech() -> None:
    detector = (await silero()).detector()
    assert longest_speech_ms(detector, recording("brooklyn")) > 1000


@pytest.mark.models
@pytest.mark.parametrize("name", ["noise-sb2", "noise-room"])
async def test_noise_is_not_speech(name: str) -> None:
    detector = (await silero()).detector()
    assert longest_speech_ms(detector, recording(name)) < 200


@pytest.mark.models
async def test_two_callers_do_not_hear_each_other() -> None:
    model = await silero()
    sound = recording("brooklyn")
    alone = list(heard(model.detector(), sound))
    speaker, listener = model.detector(), model.detector()
    together, silence = [], []
    for start in range(0, len(sound) - FRAME_BYTES + 1, FRAME_BYTES):
        together.append(speaker.probability(sound[start : start + FRAME_BYTES]))
        silence.append(listener.probability(bytes(FRAME_BYTES)))
    assert together == alone
    assert max(silence) < 0.2


@pytest.mark.models
async def test_gain_makes_a_whisper_audible() -> None:
    from vivavoce.audio.samples import samples

    quiet = (samples(recording("brooklyn")) * 20).astype("<i2").tobytes()
    plain, loud = await silero(), await silero(SileroSettings(gain=800))
    assert longest_speech_ms(plain.detector(), quiet) < longest_speech_ms(loud.detector(), quiet)


def test_a_file_that_is_no_model_is_the_owners_mistake(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"broken\.onnx cannot be opened as a model"):
        open_session(broken)
