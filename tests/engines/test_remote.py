"""Somebody upstream away answers, behind every transport of ours."""

import anyio
import pytest
from msgspec.structs import replace

from engines.simulations import STORY, ask, done, error, truncated, types, user, with_input
from engines.upstream import UpstreamDouble, check_rules, remote
from vivavoce.engines.remote.engine import Remote
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput
from vivavoce.protocol.session import (
    FunctionTool,
    InputSettings,
    OutputSettings,
    Pcmu,
    Session,
    SessionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ToolCall
from vivavoce.session.call import Caller
from vivavoce.session.line import Line
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

pytestmark = pytest.mark.anyio

WEATHER = FunctionTool(name="weather", parameters={"type": "object", "properties": {}})


# relaying


async def test_events_of_the_upstream_server_are_relayed_unchanged() -> None:
    steps = [CallerSays(0.5, "What is the capital of France?")]
    beside = await Simulation(["Paris, of course."]).run(*steps, until=6)
    simulation = Simulation(["Paris, of course."])
    remote(simulation)
    timeline = await simulation.run(*steps, until=6)
    check_rules(timeline)
    assert types(timeline) == types(beside)
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Paris, of course."


async def test_the_upstream_server_receives_our_session_with_the_clients_requests() -> None:
    house = merge(
        DEFAULT, Session(instructions="Be kind.", audio=SessionAudio(output=OutputSettings(voice="marin")))
    )
    simulation = Simulation(session=house, client_session=Session(model="mine", tools=(WEATHER,)))
    upstream = remote(simulation)
    timeline = await simulation.run(until=1)
    (update,) = (event for event in upstream.received[0] if isinstance(event, e.SessionUpdate))
    assert (update.session.instructions, update.session.tools) == ("Be kind.", (WEATHER,))
    assert update.session.audio.output.voice == "marin"
    assert not update.session.model, "it is the upstream server's own"
    (created,) = timeline.of(e.SessionCreated)
    assert created.session.instructions == "Be kind."
    assert created.session.tools == (WEATHER,)


async def test_the_transcriber_is_named_where_the_client_names_none() -> None:
    unnamed = with_input(transcription=TranscriptionSettings())
    simulation = Simulation(session=unnamed)
    upstream = remote(simulation)
    simulation.engine.transcriber = "whisper-1"
    update = Session(
        audio=SessionAudio(input=InputSettings(transcription=TranscriptionSettings(language="fr")))
    )
    await simulation.run(ClientSends(0.5, e.SessionUpdate(session=update)), until=1)
    told = [event.session for event in upstream.received[0] if isinstance(event, e.SessionUpdate)]
    assert [session.audio.input.transcription.model for session in told] == ["whisper-1", "whisper-1"]
    assert told[1].audio.input.transcription.language == "fr"


async def test_a_call_can_be_joined_by_the_session_id_that_the_client_knows() -> None:
    simulation = Simulation()
    remote(simulation)
    switchboard = Switchboard(simulation.engine)
    async with switchboard.connect(Caller("test")) as line:
        created = await anext(line)
        async with switchboard.join(created.session.id) as beside:
            assert (await anext(beside)).session.id == created.session.id
            await beside.send(e.SessionUpdate(session=Session(instructions="Be kind.")))
            updated = await anext(line)
            assert updated.session.id == created.session.id
            assert updated.session.instructions == "Be kind."


async def test_an_update_is_sent_without_what_only_the_server_sets() -> None:
    simulation = Simulation()
    upstream = remote(simulation)
    update = Session(id="mine", model="gpt-realtime", instructions="Be kind.", temperature=0.8)
    timeline = await simulation.run(ClientSends(0.5, e.SessionUpdate(session=update)), until=1)
    told = [event for event in upstream.received[0] if isinstance(event, e.SessionUpdate)][-1]
    assert told.session == Session(instructions="Be kind.")
    check_rules(timeline)


async def test_an_interruption_reaches_the_upstream_server_and_so_does_the_truncation() -> None:
    simulation = Simulation([STORY, "Yes."])
    upstream = remote(simulation)
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story."),
        CallerSays(4, "stop it now"),
        ClientSends(4.6, lambda timeline: truncated(timeline.answer_id, 700)),
        until=9,
    )
    check_rules(timeline)
    first, second = timeline.of(e.ResponseDone)
    assert (first.response.status, second.response.status) == ("cancelled", "completed")
    assert [event.audio_end_ms for event in timeline.of(e.ConversationItemTruncated)] == [700]
    assert any(isinstance(event, e.ConversationItemTruncate) for event in upstream.received[0])
    heard = [item for item in simulation.chat.requests[-1].items if getattr(item, "role", "") == "assistant"]
    assert heard[0].content[0].transcript == "Once upon a"


async def test_client_tools_are_called_through_the_relay() -> None:
    simulation = Simulation(
        [[ToolCall("weather", '{"city": "Rome"}')], "Sunny."], client_session=Session(tools=(WEATHER,))
    )
    remote(simulation)

    def output(timeline: Timeline) -> e.ClientEvent:
        (call,) = timeline.of(e.ResponseFunctionCallArgumentsDone)
        return e.ConversationItemCreate(item=FunctionCallOutput(call_id=call.call_id, output="sunny"))

    timeline = await simulation.run(
        *ask(0.5, "How is the weather?"),
        ClientSends(2, output),
        ClientSends(2.1, e.ConversationItemCreate(item=user("Well?"))),
        ClientSends(2.2, e.ResponseCreate()),
        until=5,
    )
    check_rules(timeline)
    call, said = (event.response.output[0] for event in timeline.of(e.ResponseDone))
    assert isinstance(call, FunctionCall)
    assert call.arguments == '{"city": "Rome"}'
    assert said.content[0].transcript.strip() == "Sunny."


async def test_g711_is_relayed_unchanged() -> None:
    simulation = Simulation(
        session=merge(DEFAULT, Session(audio=SessionAudio(output=OutputSettings(format=Pcmu()))))
    )
    remote(simulation)
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=4)
    seconds = sum(len(event.delta) for event in timeline.of(e.ResponseOutputAudioDelta)) / 8000
    assert 0.2 < seconds < 1
    check_rules(timeline)


async def test_a_transcription_session_is_requested_as_one() -> None:
    simulation = Simulation(client_session=TranscriptionSession())
    upstream = remote(simulation)
    timeline = await simulation.run(CallerSays(0.5, "take this down please"), until=4)
    assert isinstance(upstream.sessions[0], TranscriptionSession)
    (written,) = timeline.of(e.TranscriptionCompleted)
    assert written.transcript == "take this down please"
    assert not timeline.of(e.ResponseCreated)
    check_rules(timeline)


async def test_an_error_has_the_id_of_the_clients_event_if_it_had_one() -> None:
    simulation = Simulation()
    remote(simulation)
    cancels = [ClientSends(0.5, e.ResponseCancel(event_id="mine")), ClientSends(0.6, e.ResponseCancel())]
    timeline = await simulation.run(*cancels, until=1)
    assert [event.error.event_id for event in timeline.of(e.ErrorEvent)] == ["mine", None]
    check_rules(timeline, errors=None)


async def test_an_error_about_a_sidebands_event_goes_to_the_sideband() -> None:
    simulation = Simulation()
    remote(simulation)
    switchboard = Switchboard(simulation.engine)
    async with switchboard.connect(Caller("test")) as line:
        created = await anext(line)
        async with switchboard.join(created.session.id) as beside:
            await anext(beside)
            await beside.send(e.ResponseCancel())
            assert (await anext(beside)).error.code == "response_cancel_not_active"
            await line.send(e.SessionUpdate(session=Session()))
            assert isinstance(await anext(line), e.SessionUpdated), "the caller heard nothing of it"


# limits


class Talker:
    """An engine that never stops talking, or one that never listens."""

    def __init__(self, *, listens: bool) -> None:
        self.listens, self.told, self.heard = listens, 0, 0

    async def converse(self, line: Line, session: object = None) -> None:
        await line.send(e.SessionCreated(session=DEFAULT))
        await anext(line)
        await line.send(e.SessionUpdated(session=DEFAULT))
        if not self.listens:
            await anyio.sleep_forever()
        word = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "la "}
        while True:
            await line.send(e.ResponseOutputTextDelta(**word))
            self.told += 1


async def test_a_slow_client_slows_the_upstream_server() -> None:
    talker = Talker(listens=True)
    switchboard = Switchboard(Remote(UpstreamDouble(talker).connect))
    async with switchboard.connect(Caller("test")) as line:
        await anyio.sleep(60)
        told = talker.told
        assert told < 6 * Limits().line_depth, "what waits is bounded"
        for _ in range(100):
            await anext(line)
        await anyio.sleep(1)
        assert talker.told == told + 100


async def test_a_slow_upstream_server_slows_the_client() -> None:
    switchboard = Switchboard(
        Remote(UpstreamDouble(Talker(listens=False)).connect, limits=Limits(send_seconds=1000))
    )
    said = 0
    async with switchboard.connect(Caller("test")) as line:
        with anyio.move_on_after(60):
            while True:
                await line.send(e.InputAudioBufferAppend(audio=bytes(960)))
                said += 1
    assert 0 < said < 8 * Limits().line_depth, "what waits is bounded"


async def test_a_conversation_is_only_so_long() -> None:
    simulation = Simulation(limits=Limits(conversation_minutes=0.05))
    remote(simulation)
    timeline = await simulation.run(until=5)
    assert error(timeline).code == "session_expired"
    assert timeline.at(e.ErrorEvent) == pytest.approx(3)


async def test_too_many_requested_responses_are_refused_by_the_relay() -> None:
    simulation = Simulation(limits=Limits(responses_per_minute=1))
    upstream = remote(simulation)
    upstream.engine.limits = Limits()
    timeline = await simulation.run(*ask(0.5, "One?"), *ask(3, "Two?"), until=5)
    assert error(timeline).code == "rate_limit_exceeded"
    assert sum(isinstance(event, e.ResponseCreate) for event in upstream.received[0]) == 1


async def test_a_response_too_many_that_the_server_began_itself_is_cancelled() -> None:
    simulation = Simulation([STORY], limits=Limits(responses_per_minute=1))
    upstream = remote(simulation)
    upstream.engine.limits = Limits()
    timeline = await simulation.run(CallerSays(0.5, "one please"), CallerSays(8, "two please"), until=14)
    first, second = timeline.of(e.ResponseDone)
    assert (first.response.status, second.response.status) == ("completed", "cancelled")
    assert second.response.status_details.reason == "client_cancelled"


async def test_a_session_has_only_so_many_tools() -> None:
    simulation = Simulation(limits=Limits(tools=1))
    remote(simulation)
    two = (WEATHER, replace(WEATHER, name="time"))
    timeline = await simulation.run(ClientSends(0.5, e.SessionUpdate(session=Session(tools=two))), until=1)
    assert "limits.tools" in error(timeline).message


async def test_a_conversation_has_only_so_many_items() -> None:
    simulation = Simulation(limits=Limits(items=1))
    remote(simulation)
    steps = [ClientSends(at, e.ConversationItemCreate(item=user("Hello."))) for at in (0.5, 0.8)]
    assert "limits.items" in error(await simulation.run(*steps, until=1)).message
