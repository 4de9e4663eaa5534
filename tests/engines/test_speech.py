"""Texts that are read out outside conversations."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from engines.simulations import ask, messages, truncated
from vivavoce.engines.cascade.engine import Cascade
from vivavoce.engines.speech import Speech
from vivavoce.limits import Limits
from vivavoce.protocol.items import OutputAudio
from vivavoce.testing.simulation import ClientSends, Simulation

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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("You should talk to Dr. Smith about that.", "You should talk to Doctor Smith about that."),
        ("The total comes to $5 million.", "The total comes to five million dollars."),
        ("Your CPU runs at 3.50 GHz now.", "Your CPU runs at three point five zero gigahertz now."),
        ("Now, it was in 1905 again.", "Now, it was in nineteen oh five again."),
    ],
)
async def test_conversations_and_speech_requests_read_alike(text: str, said: str) -> None:
    assert " ".join(await spoken(text)) == said
    simulation, speaker = Simulation([text]), Speaker()
    simulation.engine = Cascade(replace(simulation.engine.providers, synthesizer=speaker))
    await simulation.run(*ask(0.1, "Well?"), until=2)
    assert " ".join(speaker.said) == said


async def test_the_words_that_were_heard_are_kept_as_they_were_written() -> None:
    simulation = Simulation(
        ["The total comes to $5 million and no more than that, of course."], word_timings=True
    )
    cut = ClientSends(4, lambda timeline: truncated(timeline.answer_id, 2660))
    await simulation.run(*ask(0.1, "Well?"), cut, *ask(4.5, "And?"), until=6)
    told = messages(simulation)[1]
    assert isinstance(told, OutputAudio)
    assert told.transcript == "The total comes to $5 million and"


async def test_what_nobody_can_say_is_left_out() -> None:
    assert await spoken("Hello there. \N{GRINNING FACE}\n---\nGood bye.") == ["Hello there.", "Good bye."]
