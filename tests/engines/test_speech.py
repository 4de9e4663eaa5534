"""Texts that are read out outside conversations."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from vivavoce.engines.speech import Speech
from vivavoce.limits import Limits
from vivavoce.testing.simulation import Simulation

pytestmark = pytest.mark.anyio


@dataclass
class Speaker:
    """Notes what it is to say."""

    said: list[str] = field(default_factory=list)

    async def speak(self, text: str, *, voice: str | None = None, speed: float = 1.0) -> AsyncIterator[bytes]:
        self.said.append(text)
        yield bytes(4800)


async def spoken(text: str) -> list[str]:
    speaker = Speaker()
    speech = Speech(replace(Simulation().engine.providers, synthesizer=speaker), Limits())
    sound = [chunk async for chunk in speech.synthesize(text)]
    assert len(sound) == len(speaker.said)
    return speaker.said


async def test_a_text_is_read_out_as_one_would_say_it() -> None:
    assert await spoken("It costs $5. **Really**, it does.") == ["It costs five dollars.", "Really, it does."]


async def test_what_nobody_can_say_is_left_out() -> None:
    assert await spoken("Hello there. \N{GRINNING FACE}\n---\nGood bye.") == ["Hello there.", "Good bye."]
