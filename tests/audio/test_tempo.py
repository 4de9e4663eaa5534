"""Sound is played faster or slower, at the same pitch."""

import math
from array import array
from itertools import pairwise

import pytest

from vivavoce.audio.tempo import Tempo

RATE = 24_000


@pytest.mark.parametrize("tempo", [0.5, 1.5, 3])
def test_the_pitch_stays_and_the_length_changes(tempo: float) -> None:
    tone = array("h", [round(8000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(3 * RATE)]).tobytes()
    stretched = Tempo(RATE, tempo)
    pieces = [stretched.push(tone[at : at + 50_000]) for at in range(0, len(tone), 50_000)]
    played = array("h", b"".join([*pieces, stretched.flush()]))
    seconds = len(played) / RATE
    assert seconds == pytest.approx(3 / tempo, rel=0.02)
    waves = sum(before < 0 <= after for before, after in pairwise(played))
    assert waves / seconds == pytest.approx(440, rel=0.02)
