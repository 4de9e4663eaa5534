"""Noise taken out of what is heard."""

import math
import subprocess
import sys
import wave
from array import array
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.config.schema import Config
from vivavoce.protocol.session import NoiseReduction
from vivavoce.providers.local.rnnoise import RNNoise, RNNoiseSettings, open_rnnoise
from vivavoce.runtime import choose_providers

RECORDINGS = Path(__file__).parents[1] / "recordings"
LATE = 576
"""samples: 33.8 ms"""
NEAR = NoiseReduction(type="near_field")


def recording(name: str) -> bytes:
    with wave.open(str(RECORDINGS / f"{name}.wav")) as file:
        return file.readframes(file.getnframes())


def rnnoise(rest: float) -> RNNoise:
    async def opened() -> RNNoise:
        async def no_weights(name: str) -> dict[str, Path]:
            raise AssertionError(f"{name} is not needed")

        return await open_rnnoise(RNNoiseSettings(rest=rest), no_weights)

    return anyio.run(opened)


STRONG, GENTLE, NOT_AT_ALL = rnnoise(0), rnnoise(0.5), rnnoise(1)


def cleaned(sound: bytes, model: RNNoise, *, chunk: int = 1024, reduction: NoiseReduction = NEAR) -> bytes:
    denoiser = model.denoiser(reduction)
    return b"".join(denoiser.denoise(sound[at : at + chunk]) for at in range(0, len(sound), chunk))


def loudness(sound: bytes) -> float:
    """In dBFS."""
    samples = array("h", sound)
    return 10 * math.log10(sum(sample * sample for sample in samples) / len(samples) / 32768**2 + 1e-12)


def likeness(one: bytes, other: bytes) -> float:
    """1 if they are the same but for their loudness."""
    a, b = array("h", one), array("h", other)
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_a_kitchen_becomes_quiet() -> None:
    noise = recording("noise-kitchen")[: 10 * 32_000]
    assert loudness(cleaned(noise, STRONG)) < loudness(noise) - 12
    assert loudness(noise) - 8 < loudness(cleaned(noise, GENTLE)) < loudness(noise) - 4


def test_what_is_said_stays_and_is_36_ms_late() -> None:
    speech = recording("weather")
    late = cleaned(speech + bytes(2 * LATE), GENTLE)[2 * LATE :]
    assert likeness(late, speech) > 0.95


@pytest.mark.parametrize(
    ("model", "reduction"), [(NOT_AT_ALL, NEAR), (STRONG, NoiseReduction(type="far_field", strength=0))]
)
def test_where_nothing_is_taken_away_it_is_the_same_sound(model: RNNoise, reduction: NoiseReduction) -> None:
    speech = recording("weather")
    late = cleaned(speech + bytes(2 * LATE), model, reduction=reduction)[2 * LATE :]
    assert likeness(late, speech) > 0.99


@settings(max_examples=30)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=30))
def test_as_much_is_given_as_was_taken_however_it_is_cut(lengths: list[int]) -> None:
    sound = recording("weather")[: 2 * sum(lengths)]
    denoiser, at, parts = STRONG.denoiser(NEAR), 0, list[bytes]()
    for length in lengths:
        piece = sound[at : at + 2 * length]
        parts.append(denoiser.denoise(piece))
        assert len(parts[-1]) == len(piece)
        at += 2 * length
    assert b"".join(parts) == cleaned(sound, STRONG, chunk=len(sound))


def test_callers_do_not_hear_each_other() -> None:
    speech, noise = recording("weather")[:64_000], recording("noise-kitchen")[:64_000]
    alone = cleaned(speech, STRONG)
    one, other = STRONG.denoiser(NEAR), STRONG.denoiser(NEAR)
    together = b""
    for at in range(0, len(speech), 1024):
        together += one.denoise(speech[at : at + 1024])
        other.denoise(noise[at : at + 1024])
    assert together == alone


def test_only_the_library_is_loaded() -> None:
    script = (
        "import anyio, sys; from vivavoce.providers.local.rnnoise import PLUGIN;"
        "anyio.run(PLUGIN.open, PLUGIN.settings(), None);"
        "sys.exit(bool({'pyrnnoise', 'matplotlib', 'audiolab'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_looking_at_the_plugin_loads_nothing_heavy() -> None:
    script = "import sys, vivavoce.providers.local.rnnoise; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_it_is_used_where_it_is_installed_unless_the_owner_says_otherwise() -> None:
    assert choose_providers(Config())["denoiser"].plugin.name == "rnnoise"
    assert "denoiser" not in choose_providers(Config.model_validate({"denoiser": {"provider": "none"}}))


def test_without_the_package_nobody_misses_it() -> None:
    """And whoever names it is told what to install."""
    script = (
        "import sys, importlib.metadata as m; found = m.distribution\n"
        "def distribution(name):\n"
        "    if name == 'pyrnnoise': raise m.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "m.distribution = distribution\n"
        "import anyio; from vivavoce.runtime import Runtime, choose_providers\n"
        "from vivavoce.config.schema import Config\n"
        "from vivavoce.errors import ConfigError\n"
        "assert 'denoiser' not in choose_providers(Config())\n"
        "try: anyio.run(Runtime(Config.model_validate({'denoiser': {'provider': 'rnnoise'}})).open)\n"
        "except ConfigError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "pip install 'vivavoce[denoise]'" in said
