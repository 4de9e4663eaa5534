"""The scripted providers follow plain instructions, always alike and at the pace of their settings."""

import math
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.errors import ProviderError
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.session import FunctionTool
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall, WordTiming
from vivavoce.providers.registry import Plugin, settings_for
from vivavoce.providers.scripted.providers import (
    CHAT,
    SYNTHESIZER,
    TRANSCRIBER,
    TURN,
    ChatSettings,
    ScriptedChat,
    ScriptedSynthesizer,
    ScriptedTranscriber,
    ScriptedTurnDetector,
    TranscriberSettings,
    TurnSettings,
    seconds_spoken,
)

pytestmark = pytest.mark.anyio

WEATHER = FunctionTool(
    name="get_weather",
    description="Look up the current weather in a city",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
)


def user(text: str) -> Message:
    return Message(role="user", content=(InputText(text=text),))


# pace and trouble


async def reply(request: ChatRequest, **settings: float) -> list[tuple[float, str | ToolCall | ChatUsage]]:
    start = anyio.current_time()
    chat = ScriptedChat(msgspec.convert(settings, ChatSettings))
    return [(round(anyio.current_time() - start, 6), token) async for token in chat.reply(request)]


async def test_tokens_come_at_the_pace_of_the_settings() -> None:
    tokens = await reply(ChatRequest((user("Repeat after me: one two three"),)))
    assert tokens[:3] == [(0.1, "one"), (0.12, " two"), (0.14, " three")]
    assert tokens[3][1] == ChatUsage(input_tokens=6, output_tokens=3)


async def test_it_stops_at_the_limit_of_tokens() -> None:
    tokens = await reply(ChatRequest((user("Count to fifty"),), max_tokens=4))
    assert "".join(str(token) for _, token in tokens[:-1]) == "One, two, three, four,"
    assert tokens[-1][1] == ChatUsage(input_tokens=3, output_tokens=4, finish="length")


async def test_a_tool_call_comes_whole() -> None:
    tokens = await reply(ChatRequest((user("What's the weather in Paris?"),), tools=(WEATHER,)))
    assert tokens[0] == (0.1, ToolCall("get_weather", '{"city":"Paris"}'))


@pytest.mark.parametrize("instruction", ["Fail.", "Please fail", "Be kind.\nFail."])
async def test_it_fails_on_demand(instruction: str) -> None:
    with pytest.raises(ProviderError, match="as it was instructed"):
        await reply(ChatRequest((user("Hello"),), instruction))


async def test_it_fails_in_the_middle_on_demand() -> None:
    tokens = ScriptedChat().reply(ChatRequest((user("Hello"),), "Fail after two words."))
    assert [await anext(tokens), await anext(tokens)] == ["You", " said:"]
    with pytest.raises(ProviderError):
        await anext(tokens)


async def test_it_stays_silent_on_demand() -> None:
    with anyio.move_on_after(60) as scope:
        await reply(ChatRequest((user("Stay silent."),)))
    assert scope.cancelled_caught


async def test_it_says_nothing_on_demand() -> None:
    tokens = await reply(ChatRequest((user("Say nothing."),)))
    assert [token for _, token in tokens] == [ChatUsage(input_tokens=2, output_tokens=0)]


# hearing


def sound(seconds: float, amplitude: int = 5000) -> bytes:
    return array("h", [amplitude, -amplitude] * round(INPUT_RATE * seconds / 2)).tobytes()


async def test_it_tells_how_long_somebody_spoke() -> None:
    transcript = await ScriptedTranscriber().transcribe(sound(2.4))
    assert transcript.text == "I said something for 2.4 seconds."
    assert anyio.current_time() >= 0.1


@given(st.integers(0, 40), st.integers(0, 40), st.integers(10, 150))
def test_silence_around_an_utterance_does_not_count(before: int, after: int, length: int) -> None:
    quiet = sound(0.02, 30)
    assert seconds_spoken(quiet * before + sound(0.02) * length + quiet * after) == round(length / 50, 1)


@pytest.mark.parametrize("audio", [b"", b"\0", bytes(32000), sound(0.04), sound(2, 100)])
async def test_it_hears_nothing_in_silence(audio: bytes) -> None:
    assert (await ScriptedTranscriber().transcribe(audio)).text == ""


async def test_it_hears_what_it_is_told_to_hear() -> None:
    always = ScriptedTranscriber(TranscriberSettings(text="Good morning."))
    assert (await always.transcribe(sound(1))).text == "Good morning."
    table = ScriptedTranscriber(TranscriberSettings(transcripts={"1.7": "How old is it?", "0.5": "Yes."}))
    assert (await table.transcribe(sound(0.8))).text == "Yes."
    assert (await table.transcribe(sound(3))).text == "How old is it?"
    assert (await table.transcribe(sound(1), prompt="Heard: my name is Ada")).text == "my name is Ada"


# speaking


async def spoken(text: str, voice: str | None = None, speed: float = 1.0) -> list[bytes | WordTiming]:
    return [chunk async for chunk in ScriptedSynthesizer().speak(text, voice=voice, speed=speed)]


def pcm(chunks: list[bytes | WordTiming]) -> bytes:
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))


@pytest.mark.parametrize("speed", [0.5, 1.0, 1.5])
async def test_speech_has_a_real_duration(speed: float) -> None:
    text = "The tide is high, and the boats are in."
    seconds = len(pcm(await spoken(text, speed=speed))) / 2 / OUTPUT_RATE
    assert seconds == pytest.approx(len(text) * 0.065 / speed, rel=0.01)


async def test_it_marks_the_words() -> None:
    chunks = await spoken("Good  morning, Ada.")
    assert [chunk.chars for chunk in chunks if isinstance(chunk, WordTiming)] == [0, 6, 15]
    assert isinstance(chunks[0], WordTiming)


async def test_chunks_are_small_and_whole() -> None:
    sizes = [len(chunk) for chunk in await spoken("Supercalifragilistic words") if isinstance(chunk, bytes)]
    assert max(sizes) <= OUTPUT_RATE // 10 * 2
    assert not any(size % 2 for size in sizes)


async def test_it_can_be_heard() -> None:
    samples = array("h", pcm(await spoken("Hello")))
    loudness = 20 * math.log10(math.sqrt(sum(s * s for s in samples) / len(samples)) / 32768)
    assert -22 < loudness < -18
    assert max(abs(s) for s in samples) < 32767


async def test_voices_differ() -> None:
    assert pcm(await spoken("Hello", "alloy")) != pcm(await spoken("Hello", "marin"))
    assert pcm(await spoken("Hello", "alloy")) == pcm(await spoken("Hello", "alloy"))


@pytest.mark.parametrize("text", ["", "   "])
async def test_nothing_sounds_like_nothing(text: str) -> None:
    assert await spoken(text) == []


async def test_it_stops_when_nobody_listens() -> None:
    speech: AsyncIterator[bytes | WordTiming] = ScriptedSynthesizer().speak("Hello there")
    assert isinstance(await anext(speech), WordTiming)
    await speech.aclose()  # type: ignore[attr-defined]


# turns and plugins


async def test_the_turn_detector_has_one_opinion() -> None:
    assert await ScriptedTurnDetector(TurnSettings(over=0.3)).predict_end_of_turn(sound(1)) == 0.3
    patient = ScriptedTurnDetector(TurnSettings(patience_seconds=2))
    assert await patient.predict_end_of_turn(sound(1)) == 0.0
    assert await patient.predict_end_of_turn(sound(3)) == 1.0


@pytest.mark.parametrize("plugin", [TRANSCRIBER, CHAT, SYNTHESIZER, TURN], ids=lambda plugin: plugin.role)
async def test_every_role_is_on_offer(plugin: Plugin[msgspec.Struct]) -> None:
    async def no_weights(model: str) -> dict[str, Path]:
        raise AssertionError(f"{model} was asked for")

    assert plugin.name == "scripted"
    assert await plugin.open(settings_for(plugin, {}), no_weights)
    assert plugin.about(plugin.settings())
