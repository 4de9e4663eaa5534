"""Conversations whose chat model is an endpoint that does not behave as OpenAI's."""

from dataclasses import replace

import anyio
import pytest

from engines.simulations import ask, done
from providers.openai.endpoint import Answer, Endpoint, body, delta, events, pieces
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, Message
from vivavoce.protocol.session import Session
from vivavoce.testing.simulation import CallerSays, Simulation, Timeline

pytestmark = pytest.mark.anyio

CALL = {"id": "a", "index": 0, "function": {"name": "look", "arguments": "{}"}}


async def talk(*answers: Answer, written: bool = False, until: float = 10) -> Timeline:
    simulation = Simulation(client_session=Session(output_modalities=("text" if written else "audio",)))
    simulation.engine.providers = replace(simulation.engine.providers, chat=Endpoint(list(answers)).chat())
    await simulation.engine.warm_up()
    steps = ask(0.5, "hello there") if written else [CallerSays(0.5, "hello there")]
    return await simulation.run(*steps, until=until)


def words(timeline: Timeline) -> str:
    items = [item for item in done(timeline).response.output if isinstance(item, Message)]
    return "".join(
        getattr(part, "transcript", "") or getattr(part, "text", "") for item in items for part in item.content
    )


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        events(delta(content="Hello "), delta(content="there.")),
        events(delta(content="Hello there."), {"choices": None, "usage": {"completion_tokens": None}}),
        events(delta(content="<thi"), delta(content="nk>hm</think>Hello there."), delta("stop")),
        pieces(
            b'data: {"choices":[{"delta":{"content":"Hello there."},"finish_reason":"stop"}]}\n\n',
            anyio.sleep_forever,
        ),
    ],
)
async def test_an_answer_is_spoken_whole_and_without_an_apology(answer: Answer, written: bool) -> None:
    timeline = await talk(answer, written=written)
    assert done(timeline).response.status == "completed"
    assert words(timeline) == "Hello there."


@pytest.mark.parametrize("written", [False, True])
async def test_a_call_after_a_blank_is_made(written: bool) -> None:
    timeline = await talk(
        events(delta(content="\n\n"), delta("tool_calls", tool_calls=[CALL])), written=written
    )
    (item,) = done(timeline).response.output
    assert isinstance(item, FunctionCall)
    assert done(timeline).response.status == "completed"


async def test_a_signed_call_has_the_id_under_which_its_signature_is_kept() -> None:
    timeline = await talk(events(delta("stop", tool_calls=[{**CALL, "extra_content": {"google": {}}}])))
    (item,) = done(timeline).response.output
    assert isinstance(item, FunctionCall)
    assert item.call_id


async def test_an_answer_of_thoughts_alone_is_empty() -> None:
    timeline = await talk(events(delta(content="<think>hm"), delta(reasoning_content="hm"), delta("stop")))
    assert "hm" not in words(timeline)
    assert "answered nothing" in str(done(timeline).response.status_details)


async def test_who_thinks_for_long_is_not_silent() -> None:
    async def think() -> None:
        await anyio.sleep(9)

    thought = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
    answer = b'data: {"choices":[{"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\n'
    timeline = await talk(pieces(thought, think, thought, think, thought, think, answer), until=35)
    assert done(timeline).response.status == "completed"
    assert words(timeline) == "Hello."


async def test_who_is_busy_is_waited_for_while_the_caller_waits() -> None:
    busy = body('{"error": {"message": "busy"}}', 429, retry_after="2")
    timeline = await talk(busy, events(delta("stop", content="Hello.")))
    assert done(timeline).response.status == "completed"
    assert words(timeline) == "Hello."
    assert timeline.at(e.ResponseOutputAudioDelta) > 2


async def test_words_that_were_written_stay_when_the_endpoint_breaks_off() -> None:
    answer = events(
        delta(content="Hello "), delta(content="there."), {"error": {"message": "lost"}}, done=False
    )
    timeline = await talk(answer, written=True)
    assert done(timeline).response.status == "failed"
    assert "lost" in str(done(timeline).response.status_details)
    assert words(timeline) == "Hello there."


async def test_a_web_page_is_told_as_such() -> None:
    timeline = await talk(body("<html><title>Hi</title></html>"))
    assert "a web page (Hi)" in str(done(timeline).response.status_details)
