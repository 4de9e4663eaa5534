"""Audio that says it is linear PCM, and may be G.711 or something else, is told by its sound."""

import wave
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from vivavoce.audio import g711
from vivavoce.audio.g711_detection import EncodingDetector, detect
from vivavoce.audio.resample import resample

RECORDINGS = Path(__file__).parent.parent / "recordings"
SPEECH = ["brooklyn", "weather", "jfk", "lp-de", "short-hello", "cmd-yes", "bc-trn04-26"]


def recording(name: str, rate: int = 8000, gain: float = 1) -> bytes:
    with wave.open(str(RECORDINGS / f"{name}.wav")) as file:
        audio = resample(file.readframes(file.getnframes()), file.getframerate(), rate)
    louder = np.frombuffer(audio, "<i2") * gain
    return np.clip(louder, -32768, 32767).astype("<i2").tobytes()


def g722(audio: bytes) -> bytes:
    encoder = av.CodecContext.create("g722", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "s16"
    encoder.time_base = Fraction(1, 16_000)
    encoded = b""
    for at in range(0, len(audio) - 640, 640):
        samples = np.frombuffer(audio[at : at + 640], "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate = 16_000
        encoded += b"".join(bytes(packet) for packet in encoder.encode(frame))
    return encoded


def pieces(audio: bytes, size: int) -> list[bytes]:
    return [audio[at : at + size] for at in range(0, len(audio) - size, size)]


def found(audio: bytes, size: int) -> list[str | None]:
    detector = EncodingDetector()
    return [detector.push(piece) for piece in pieces(audio, size)]


@pytest.mark.parametrize("gain", [0.1, 1])
@pytest.mark.parametrize("name", SPEECH)
def test_speech_is_read_as_it_was_written(name: str, gain: float) -> None:
    audio = recording(name, gain=gain)
    for encoding, data, size in (
        ("linear", audio, 320),
        ("ulaw", g711.encode(audio, "ulaw"), 160),
        ("alaw", g711.encode(audio, "alaw"), 160),
    ):
        verdicts = found(data, size)
        wrong = [one for one in verdicts if one not in (encoding, None)]
        assert len(wrong) <= 0.01 * len(verdicts), (encoding, wrong)
        sounding = [one for one, piece in zip(verdicts, pieces(audio, 320), strict=False) if any(piece)]
        assert sounding.count(encoding) >= 0.85 * len(sounding), encoding


@pytest.mark.parametrize("name", SPEECH)
def test_overdriven_linear_speech_is_heard(name: str) -> None:
    verdicts = found(recording(name, gain=3), 320)
    assert verdicts.count("linear") >= 0.9 * len(verdicts)


@pytest.mark.parametrize("name", ["noise-room", "noise-kitchen"])
def test_noise_in_a_room_is_no_other_codec(name: str) -> None:
    verdicts = found(recording(name), 320)
    assert verdicts.count("linear") >= 0.95 * len(verdicts)


@pytest.mark.parametrize("gain", [0.05, 1])
@pytest.mark.parametrize("name", [*SPEECH, "noise-room"])
def test_wideband_speech_is_taken_for_nothing_that_it_is_not(name: str, gain: float) -> None:
    detector = EncodingDetector()
    audio = pieces(g722(recording(name, 16_000, gain)), 160)
    verdicts = [detector.push(piece) for piece in audio]
    assert verdicts.count(None) > 0.8 * len(verdicts)
    assert detector.unknown > 0
    assert not any(a and b and a == b == "linear" for a, b in pairwise(verdicts))


def test_what_cannot_tell_is_not_asked() -> None:
    assert detect(b"") == detect(b"\xff" * 160) == detect(bytes(range(33))) == (None, 0)


def test_once_it_is_known_it_stays() -> None:
    detector = EncodingDetector()
    audio = g711.encode(recording("jfk"), "ulaw")
    for piece in pieces(audio, 160):
        detector.push(piece)
    assert detector.push(bytes(160)) == "ulaw"
