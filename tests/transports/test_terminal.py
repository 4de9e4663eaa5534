"""Conversations in the terminal, in time that jumps: the real engine, and a sound card of arrays."""

import io
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import pytest

from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, Simulation
from vivavoce.transports.playout import PlayoutBuffer
from vivavoce.transports.terminal.devices import FRAME_BYTES, FileMicrophone, ticks
from vivavoce.transports.terminal.transport import Captions, Terminal, TerminalTransport

pytestmark = pytest.mark.anyio

RATE = 24_000
LONG = "There was once a lighthouse at the edge of a quiet sea, and nobody knew who had built it."


@dataclass
class Speaker:
    """A loudspeaker that keeps what it plays."""

    latency_ms: float = 0.0
    sound: bytearray = field(default_factory=bytearray)

    async def play(self, playout: PlayoutBuffer) -> None:
        async for _ in ticks():
            self.sound += playout.read_padded(FRAME_BYTES)

    def sounded(self, begin: float, end: float) -> bool:
        return any(self.sound[int(begin * RATE) * 2 : int(end * RATE) * 2])


@dataclass
class Talk:
    """What came of a conversation."""

    captions: str
    heard: list[ObservedEvent]
    speaker: Speaker

    def of(self, kind: type[e.Event]) -> list[e.Event]:
        return [heard.event for heard in self.heard if isinstance(heard.event, kind)]


def spoken(*says: CallerSays, seconds: float) -> bytes:
    sound = array("h", bytes(2 * round(seconds * RATE)))
    for number, say in enumerate(says, 1):
        begin, end = round(say.at * RATE), round(say.until * RATE)
        sound[begin:end] = array("h", [1000 * number] * (end - begin))
    return sound.tobytes()


async def never() -> AsyncIterator[str]:
    await anyio.sleep_forever()
    yield ""


async def hold(
    simulation: Simulation,
    *says: CallerSays,
    seconds: float,
    typed: tuple[tuple[float, str], ...] = (),
    headphones: bool = True,
) -> Talk:
    async def lines() -> AsyncIterator[str]:
        began = anyio.current_time()
        for at, text in typed:
            await anyio.sleep_until(began + at)
            yield text

    heard: list[ObservedEvent] = []
    simulation.caller.utterances = says
    out, speaker = io.StringIO(), Speaker()
    microphone = FileMicrophone(spoken(*says, seconds=seconds))
    terminal = Terminal(microphone, speaker, lines() if typed else never(), Captions(out), headphones)
    board = Switchboard(simulation.engine, listeners=[lambda caller: heard.append])
    await TerminalTransport(board.connect).accept(terminal)
    return Talk(out.getvalue(), heard, speaker)


async def test_both_sides_are_heard_and_written() -> None:
    talk = await hold(
        Simulation(replies=["Paris, of course."]), CallerSays(0.5, "What is the capital?"), seconds=3
    )
    assert talk.captions == "You: What is the capital?\nAnswer: Paris, of course. \n"
    assert talk.speaker.sounded(1.7, 4)


async def test_it_ends_when_the_recording_has_ended_and_all_is_said() -> None:
    talk = await hold(Simulation(replies=[LONG]), CallerSays(0.5, "Tell me a story."), seconds=2)
    assert talk.captions.rstrip().endswith("who had built it.")
    assert not talk.speaker.sounded(len(talk.speaker.sound) / 2 / RATE - 3.5, 60)


async def test_an_interruption_silences_the_voice_and_says_how_much_was_heard() -> None:
    simulation = Simulation(replies=[LONG, "Yes."])
    talk = await hold(
        simulation,
        CallerSays(0.5, "Tell me a story."),
        CallerSays(4, "Stop, that is enough for now"),
        seconds=7,
    )
    (truncated,) = talk.of(e.ConversationItemTruncate)
    assert isinstance(truncated, e.ConversationItemTruncate)
    assert 1500 < truncated.audio_end_ms < 3500
    assert " ...\nYou: Stop, that is enough" in talk.captions
    assert not talk.speaker.sounded(4.6, 5.6)


async def test_without_headphones_the_microphone_is_closed_while_the_voice_sounds() -> None:
    simulation = Simulation(replies=[LONG, "Yes."])
    talk = await hold(
        simulation,
        CallerSays(0.5, "Tell me a story."),
        CallerSays(4, "This is my own voice from the loudspeaker"),
        seconds=7,
        headphones=False,
    )
    assert talk.of(e.ConversationItemTruncate) == []
    assert talk.captions.count("You:") == 1
    assert talk.captions.rstrip().endswith("who had built it.")


async def test_an_empty_line_interrupts() -> None:
    talk = await hold(
        Simulation(replies=[LONG]), CallerSays(0.5, "Tell me a story."), seconds=5, typed=((4, ""),)
    )
    assert len(talk.of(e.ConversationItemTruncate)) == 1
    assert len(talk.of(e.ResponseCancel)) == 1
    assert not talk.speaker.sounded(4.1, 9)
    assert len(talk.of(e.ResponseCreated)) == 1


async def test_what_is_typed_over_the_voice_is_answered_next() -> None:
    simulation = Simulation(replies=[LONG, "Good night."])
    talk = await hold(simulation, CallerSays(0.5, "Tell me a story."), seconds=5, typed=((4, "Enough."),))
    assert talk.captions.endswith(" ...\nAnswer: Good night. \n")
    assert talk.of(e.ErrorEvent) == []


async def test_words_that_are_no_answer_are_shown_as_what_they_are() -> None:
    simulation = Simulation(replies=[["Well, let me see.", ProviderError("chat", "is down")]])
    await simulation.engine.warm_up()
    talk = await hold(simulation, CallerSays(0.5, "Are you there?"), seconds=7)
    assert "Answer: Well, let me see. \nApology: I'm sorry" in talk.captions
