"""Whole turns with our own server, over real sockets: at each of its addresses, in each dialect."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from clients.talk import sound_of
from vivavoce.connect import Endpoint, azure, connect, endpoint_at, openai
from vivavoce.protocol import events as e
from vivavoce.protocol.dialects import BETA, FIRST_BETA, GA
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Message,
    OutputAudio,
)
from vivavoce.protocol.session import (
    FunctionTool,
    InputSettings,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.session.conversation import Conversation
from vivavoce.session.line import Line

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dialects.md"
KEY = "sk-mellon"
WEATHER = FunctionTool(
    name="get_weather",
    description="Tells the weather in a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
HEARING = InputSettings(
    turn_detection=ServerVad(silence_duration_ms=200),
    transcription=TranscriptionSettings(model="m", prompt="Heard: What is the weather in Paris?"),
)
SILENCE = bytes(48_000)

Found = Callable[[str], Endpoint]
PLACES: dict[str, Found] = {
    "OpenAI": lambda url: openai("m", key=KEY, url=url),
    "OpenAI's beta": lambda url: openai("m", key=KEY, url=url, beta=True),
    "the shortest address": lambda url: endpoint_at(url.replace("/v1", "/realtime")),
    "the first beta": lambda url: endpoint_at(f"{url}?api-version=2024-10-01-preview", dialect=FIRST_BETA),
    "Azure": lambda url: azure(url, "m", key=KEY),
    "Azure, by a token": lambda url: azure(url, "m", token=KEY),
    "Azure's preview": lambda url: azure(url, "m", key=KEY, api_version="2025-04-01-preview"),
    "Azure's first preview": lambda url: azure(url, "m", key=KEY, api_version="2024-10-01-preview"),
}


class Ear:
    """Hears a line, and keeps what has been said."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.events: list[e.Event] = []
        self.view = Conversation()

    async def until(self, kind: type[e.Event]) -> e.Event:
        """Hear as far as an event of this kind."""
        with anyio.fail_after(30):
            async for event in self.line:
                self.events.append(event)
                self.view.apply(event)
                if isinstance(event, kind):
                    return event
        raise AssertionError(f"the line ended before a {kind.__name__}")

    @property
    def done(self) -> list[str]:
        """The items that are done, in order."""
        over = [event for event in self.events if isinstance(event, e.ConversationItemDone)]
        return [str(event.item.id) for event in over]


@pytest.mark.parametrize("found", PLACES.values(), ids=PLACES)
async def test_a_tool_is_called_in_a_written_turn(scripted: str, found: Found) -> None:
    async with connect(found(scripted)) as line:
        ear = Ear(line)
        await ear.until(e.SessionCreated)
        await line.send(e.SessionUpdate(session=Session(tools=(WEATHER,), output_modalities=("text",))))
        question = Message(role="user", content=(InputText(text="What is the weather in Paris?"),))
        await line.send(e.ConversationItemCreate(item=question))
        await line.send(e.ResponseCreate())
        await answer_the_call(ear)
        await ear.until(e.ResponseDone)
    _, call, _, answer = ear.view.items
    assert isinstance(call, FunctionCall)
    assert (call.name, call.arguments, call.status) == ("get_weather", '{"city":"Paris"}', "completed")
    assert isinstance(answer, Message)
    assert answer.status == "completed"
    assert "sunny" in str(answer.content)
    assert ear.done == [str(item.id) for item in ear.view.items]
    told = [event for event in ear.events if isinstance(event, e.ResponseFunctionCallArgumentsDone)]
    assert [event.name for event in told] == ["get_weather"]


async def answer_the_call(ear: Ear) -> None:
    """Hear a response that calls a tool, and tell what came of it."""
    over = await ear.until(e.ResponseDone)
    assert isinstance(over, e.ResponseDone)
    (call,) = over.response.output
    assert isinstance(call, FunctionCall)
    output = FunctionCallOutput(call_id=str(call.call_id), output="It is sunny.")
    await ear.line.send(e.ConversationItemCreate(item=output))
    await ear.line.send(e.ResponseCreate())


@pytest.mark.parametrize("found", PLACES.values(), ids=PLACES)
async def test_a_tool_is_called_in_a_spoken_turn(scripted: str, found: Found) -> None:
    async with connect(found(scripted)) as line:
        ear = Ear(line)
        await ear.until(e.SessionCreated)
        await line.send(e.SessionUpdate(session=Session(tools=(WEATHER,), audio=SessionAudio(input=HEARING))))
        updated = await ear.until(e.SessionUpdated)
        assert isinstance(updated, e.SessionUpdated)
        assert isinstance(updated.session, Session)
        assert updated.session.audio.input.turn_detection.silence_duration_ms == 200  # type: ignore[union-attr]
        for sound in (sound_of("weather"), SILENCE):
            await line.send(e.InputAudioBufferAppend(audio=sound))
        await answer_the_call(ear)
        await ear.until(e.ResponseDone)
    question, _, _, answer = ear.view.items
    assert isinstance(question, Message)
    assert question.content == (InputAudio(transcript="What is the weather in Paris?"),)
    assert isinstance(answer, Message)
    assert isinstance(answer.content[0], OutputAudio)
    assert "sunny" in str(answer.content[0].transcript)
    sounds = [event.delta for event in ear.events if isinstance(event, e.ResponseOutputAudioDelta)]
    assert len(b"".join(sounds)) > 24_000
    assert ear.done == [str(item.id) for item in ear.view.items]


@pytest.mark.parametrize("beta", [False, True])
async def test_what_was_said_may_be_written_down_only(scripted: str, beta: bool) -> None:
    there = endpoint_at(f"{scripted}?intent=transcription", dialect=BETA if beta else GA)
    async with connect(there) as line:
        ear = Ear(line)
        created = await ear.until(e.SessionCreated)
        assert isinstance(created, e.SessionCreated)
        assert isinstance(created.session, TranscriptionSession)
        settings = TranscriptionSession(audio=TranscriptionAudio(input=HEARING))
        await line.send(e.SessionUpdate(session=settings))
        await ear.until(e.SessionUpdated)
        for sound in (sound_of("weather"), SILENCE):
            await line.send(e.InputAudioBufferAppend(audio=sound))
        told = await ear.until(e.TranscriptionCompleted)
        assert isinstance(told, e.TranscriptionCompleted)
        assert told.transcript == "What is the weather in Paris?"


@pytest.mark.parametrize("found", [PLACES["OpenAI"], PLACES["OpenAI's beta"]], ids=["GA", "beta"])
async def test_a_mistake_is_told_by_the_name_that_ga_has_for_it(scripted: str, found: Found) -> None:
    wrong = InputSettings(turn_detection=ServerVad(threshold=7))
    async with connect(found(scripted)) as line:
        await line.send(e.SessionUpdate(event_id="mine", session=Session(audio=SessionAudio(input=wrong))))
        told = await Ear(line).until(e.ErrorEvent)
        assert isinstance(told, e.ErrorEvent)
        assert told.error.param == "session.audio.input.turn_detection.threshold"
        assert told.error.param in told.error.message
        assert told.error.event_id == "mine"


async def test_a_second_line_may_join_a_call(scripted: str) -> None:
    async with connect(endpoint_at(scripted)) as line:
        created = await Ear(line).until(e.SessionCreated)
        assert isinstance(created, e.SessionCreated)
        async with connect(endpoint_at(f"{scripted}?call_id={created.session.id}&extras=1")) as beside:
            await beside.send(e.SessionUpdate(session=Session(instructions="Be kind.")))
            updated = await Ear(line).until(e.SessionUpdated)
    assert isinstance(updated, e.SessionUpdated)
    assert isinstance(updated.session, Session)
    assert updated.session.instructions == "Be kind."


async def test_the_page_on_dialects_begins_a_response(scripted: str) -> None:
    (sample,) = re.findall(r"```python\n(import anyio.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    there = scripted.removesuffix("/v1").replace("http", "ws")
    code = sample.replace("ws://127.0.0.1:8765", there)
    done = await anyio.run_process([sys.executable, "-c", code])
    assert done.stdout.decode() == "completed\n"
