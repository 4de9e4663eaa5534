"""What the tests of offline providers share: the weights in the user's cache, and recordings of people."""

import os
import wave
from collections.abc import Mapping
from pathlib import Path

import platformdirs
import pytest

RECORDINGS = Path(__file__).parent.parent / "recordings"


async def weights(model: str) -> Mapping[str, Path]:
    """Give the files of a model that was pulled, or skip the test."""
    cache = os.environ.get("VIVAVOCE_CACHE") or platformdirs.user_cache_dir("vivavoce")
    folder = Path(cache) / "models" / model
    if not folder.is_dir():
        pytest.skip(f"{model} was not pulled")
    return {file.name: file for file in folder.iterdir()}


def recording(name: str) -> bytes:
    with wave.open(str(RECORDINGS / f"{name}.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)
        return sound.readframes(sound.getnframes())
