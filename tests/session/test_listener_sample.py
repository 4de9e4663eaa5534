"""The listener that `docs/contributing.md` shows measures conversations."""

from pathlib import Path

import pytest

from samples.response_times import ResponseTimes, measure
from vivavoce.client import EventLog
from vivavoce.config.schema import Config
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.runtime import Runtime
from vivavoce.session.call import Caller
from vivavoce.testing.simulation import CallerSays, Simulation

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs/contributing.md"
QUESTION = e.ConversationItemCreate(item=Message(role="user", content=(InputText(text="Hello?"),)))


async def test_a_listener_measures_a_conversation() -> None:
    (seconds,) = await measure()
    timeline = await Simulation(["Paris, of course."]).run(
        CallerSays(0.5, "What is the capital of France?"), until=6
    )
    expected = timeline.at(e.ResponseOutputAudioDelta) - timeline.at(e.InputAudioBufferSpeechStopped)
    assert seconds == pytest.approx(expected)


async def test_a_runtime_gives_every_conversation_its_listeners() -> None:
    log, callers = EventLog(100), list[str]()

    def record(caller: Caller) -> object:
        callers.append(caller.transport)
        return log.on_event

    config = Config.model_validate(
        {job: {"provider": "scripted"} for job in ("turn", "transcriber", "chat", "synthesizer")}
    )
    runtime = Runtime(config, listeners=[record, ResponseTimes().listen])
    await runtime.use_providers(Simulation().engine.providers)
    async with runtime.switchboard.connect(Caller("test")) as line:
        await line.send(QUESTION)
        while not isinstance(await anext(line), e.ConversationItemDone):
            pass
    assert callers == ["test"]
    assert [one.type for one in log] == [
        "session.created",
        "conversation.item.create",
        "conversation.item.added",
        "conversation.item.done",
    ]


def test_the_page_shows_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for section in ("listener", "measure"):
        assert f"tests/samples/response_times.py:{section}" in page
