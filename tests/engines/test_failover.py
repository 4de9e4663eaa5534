"""The upstream server is down, and the cascade answers in its place."""

import logging

import pytest

from engines.simulations import STORY, TRANSCRIBED, ask, done
from engines.upstream import DOWN, UpstreamDouble, check_rules, engines, failing_over
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCallOutput, InputText, OutputText
from vivavoce.protocol.responses import ResponseParams, WantedAudio, WantedOutput
from vivavoce.protocol.session import FunctionTool, OutputSettings, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

pytestmark = pytest.mark.anyio

WEATHER = FunctionTool(name="weather", parameters={"type": "object", "properties": {}})


def voice(name: str) -> Session:
    return Session(audio=SessionAudio(output=OutputSettings(voice=name)))


async def test_the_cascade_answers_when_the_server_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    simulation, then = Simulation(), Simulation(["Here I am."], session=TRANSCRIBED)
    upstream = failing_over(simulation, then, down=0)
    with caplog.at_level(logging.WARNING):
        timeline = await simulation.run(CallerSays(2, "hello there"), until=6)
    check_rules(timeline)
    assert len(upstream.connections) == 3
    assert engines(timeline) == [("cascade", "far.example.org: cannot be reached")]
    assert timeline.at(e.SessionCreated) == pytest.approx(1.5, abs=0.1)
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Here I am."
    assert "far.example.org: cannot be reached" in caplog.text
    assert not timeline.of(e.ErrorEvent)


async def test_the_cascade_goes_on_with_the_history_when_the_server_is_lost() -> None:
    simulation = Simulation(["Paris."], session=TRANSCRIBED, limits=Limits(upstream_reconnect_seconds=2))
    then = Simulation(["Yes.", "Rome."])
    failing_over(simulation, then, breaks=(6.0,), down=6.0)
    steps = [CallerSays(0.5, "What is the capital of France?"), CallerSays(7, "And of Italy?")]
    timeline = await simulation.run(*steps, until=14)
    check_rules(timeline)
    assert [engine for engine, _ in engines(timeline)] == ["lost", "cascade"]
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed", "completed"]
    question, answer, _now = then.chat.requests[-1].items
    assert question.content == (InputText(text="What is the capital of France?"),)
    assert answer.content == (OutputText(text="Paris. "),)
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Rome."


async def test_a_response_that_broke_off_is_given_by_the_cascade() -> None:
    simulation = Simulation([STORY], session=TRANSCRIBED, limits=Limits(upstream_reconnect_seconds=2))
    failing_over(simulation, Simulation(["Where was I?"]), breaks=(4.0,), down=4.0)
    timeline = await simulation.run(CallerSays(0.5, "Tell me a story."), until=12)
    check_rules(timeline)
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["failed", "completed"]
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Where was I?"


async def test_the_session_is_the_same_but_for_the_voice() -> None:
    wish = merge(voice("cedar"), Session(instructions="Be kind.", tools=(WEATHER,)))
    simulation = Simulation(client_session=wish, session=merge(DEFAULT, voice("marin")))
    then = Simulation(["Yes."], session=merge(DEFAULT, voice("heart")))
    failing_over(simulation, then, down=0)
    again = e.SessionUpdate(session=voice("ash"))
    louder = ResponseParams(audio=WantedAudio(output=WantedOutput(voice="ash")))
    steps = [*ask(3, "Well?"), ClientSends(2, again), ClientSends(5, e.ResponseCreate(response=louder))]
    timeline = await simulation.run(*steps, until=7)
    check_rules(timeline)
    (created,), (updated,) = timeline.of(e.SessionCreated), timeline.of(e.SessionUpdated)
    for session in (created.session, updated.session):
        assert session.instructions == "Be kind."
        assert session.tools == (WEATHER,)
        assert session.audio.output.voice == "heart"
    assert {event.response.audio.output.voice for event in timeline.of(e.ResponseDone)} == {"heart"}


async def test_the_output_of_a_tool_called_upstream_goes_to_the_cascade() -> None:
    def output(timeline: Timeline) -> e.ClientEvent:
        call = timeline.of(e.ResponseFunctionCallArgumentsDone)[0]
        return e.ConversationItemCreate(item=FunctionCallOutput(call_id=call.call_id, output="sunny"))

    simulation = Simulation(
        [[ToolCall("weather", "{}")]],
        client_session=Session(tools=(WEATHER,)),
        limits=Limits(upstream_reconnect_seconds=1),
    )
    then = Simulation(["Sunny."])
    failing_over(simulation, then, breaks=(2.0,), down=2.0)
    timeline = await simulation.run(
        *ask(0.5, "How is the weather?"), ClientSends(3, output), ClientSends(3.1, e.ResponseCreate()), until=9
    )
    check_rules(timeline)
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Sunny."
    assert then.chat.requests[-1].items[-1].output == "sunny"
    assert then.chat.requests[-1].tools == (WEATHER,)


async def test_a_server_that_was_down_is_tried_again_after_the_cooldown() -> None:
    simulation, then = Simulation(["Far."], limits=Limits(upstream_cooldown_seconds=30)), Simulation(["Near."])
    upstream = failing_over(simulation, then, down=0, up=40)
    upstream.now  # noqa: B018 (the clock of the mishaps begins)
    first = await simulation.run(until=3)
    second = await simulation.run(*ask(0.5, "Well?"), until=10)
    assert engines(second) == [("cascade", "far.example.org was down a moment ago")]
    assert second.at(e.SessionCreated) == 0
    assert done(second).response.output[0].content[0].transcript.strip() == "Near."
    assert len(upstream.connections) == 3
    await simulation.run(until=28)
    third = await simulation.run(*ask(0.5, "Well?"), until=5)
    assert not engines(third)
    assert done(third).response.output[0].content[0].transcript.strip() == "Far."
    for timeline in (first, second, third):
        check_rules(timeline)


async def test_a_conversation_that_the_cascade_has_begun_stays_there() -> None:
    simulation = Simulation()
    upstream = failing_over(simulation, Simulation(["Near."]), down=0, up=5)
    timeline = await simulation.run(CallerSays(60, "hello there"), until=65)
    assert len(upstream.connections) == 3
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Near."


async def test_a_session_that_is_refused_starts_no_cooldown() -> None:
    simulation = Simulation(["Far."])
    upstream = failing_over(
        simulation, Simulation(["Near."]), refuses=[ProviderError("far.example.org", "no such voice")]
    )
    first = await simulation.run(*ask(0.5, "Well?"), until=4)
    second = await simulation.run(*ask(0.5, "Well?"), until=4)
    answers = [done(timeline).response.output[0].content[0].transcript.strip() for timeline in (first, second)]
    assert answers == ["Near.", "Far."]
    assert len(upstream.connections) == 2


async def test_a_server_that_is_back_at_once_is_used() -> None:
    simulation = Simulation(["Far."])
    upstream = failing_over(simulation, Simulation(["Near."]), refuses=[DOWN])
    timeline = await simulation.run(*ask(1, "Well?"), until=4)
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Far."
    assert len(upstream.connections) == 2
    assert isinstance(upstream, UpstreamDouble)
