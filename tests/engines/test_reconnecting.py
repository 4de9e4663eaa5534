"""The connection to the upstream server breaks, and the conversation goes on."""

import logging

import anyio
import pytest

from engines.simulations import MANUAL, STORY, TRANSCRIBED, ask, done, error, truncated, with_input
from engines.upstream import UpstreamDouble, check_rules, engines, remote
from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, OutputText
from vivavoce.protocol.responses import Failed
from vivavoce.protocol.session import FunctionTool, Session, TranscriptionSettings
from vivavoce.protocol.settings import DEFAULT
from vivavoce.providers.base import ToolCall
from vivavoce.session.line import Line
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline, Unresponsive

pytestmark = pytest.mark.anyio

WRITTEN_MANUALLY = with_input(turn_detection=None, transcription=TranscriptionSettings(model="scripted"))
WEATHER = FunctionTool(name="weather", parameters={"type": "object", "properties": {}})


def told(upstream: UpstreamDouble, call: int = -1) -> list[e.Event]:
    """What the upstream server was told in a call, but for sound."""
    return [event for event in upstream.received[call] if not isinstance(event, e.InputAudioBufferAppend)]


def items(upstream: UpstreamDouble, call: int = -1) -> list[object]:
    """The items that the upstream server was told."""
    return [event.item for event in told(upstream, call) if isinstance(event, e.ConversationItemCreate)]


# what the upstream server is told again


async def test_the_next_connection_receives_the_session_and_the_history() -> None:
    simulation = Simulation(["Paris, of course.", "Rome."], session=TRANSCRIBED)
    upstream = remote(simulation, breaks=(6.0,))
    kind = e.SessionUpdate(session=Session(instructions="Be kind."))
    steps = [
        ClientSends(0.2, kind),
        CallerSays(0.5, "What is the capital of France?"),
        CallerSays(7, "And of Italy?"),
    ]
    timeline = await simulation.run(*steps, until=12)
    check_rules(timeline)
    assert engines(timeline) == [("lost", "it hung up"), ("remote", "reconnected")]
    update, question, answer = told(upstream)[:3]
    assert update.session.instructions == "Be kind."
    assert question.item.content == (InputText(text="What is the capital of France?"),)
    assert answer.item.content == (OutputText(text="Paris, of course. "),)
    added = [event.item.id for event in timeline.of(e.ConversationItemAdded)]
    assert [item.id for item in items(upstream)] == added[:2]
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed", "completed"]
    assert len(added) == 4, "nothing is told the caller twice"


async def test_a_response_that_broke_off_fails_and_is_requested_again() -> None:
    simulation = Simulation([STORY], session=TRANSCRIBED)
    upstream = remote(simulation, breaks=(4.0,))
    timeline = await simulation.run(CallerSays(0.5, "Tell me a story."), until=14)
    check_rules(timeline)
    first, second = (event.response for event in timeline.of(e.ResponseDone))
    assert (first.status, second.status) == ("failed", "completed")
    assert isinstance(first.status_details, Failed)
    assert first.status_details.error.code == "connection_lost"
    assert first.output[0].status == "incomplete"
    assert 4 <= timeline.at(e.ResponseCreated, 1) < 4.2
    assert items(upstream)[1].content[0].text == first.output[0].content[0].transcript
    assert not timeline.of(e.ErrorEvent)


async def test_a_response_is_requested_again_with_the_same_parameters() -> None:
    simulation = Simulation([STORY])
    upstream = remote(simulation, breaks=(2.5,))
    timeline = await simulation.run(
        *ask(0.5, "A story?", instructions="Be brief.", metadata={"a": "b"}), until=12
    )
    check_rules(timeline)
    (again,) = (event for event in told(upstream) if isinstance(event, e.ResponseCreate))
    assert again.response.instructions == "Be brief."
    assert done(timeline).response.metadata == {"a": "b"}


async def test_a_committed_turn_is_answered_though_its_response_had_not_begun() -> None:
    simulation = Simulation(session=TRANSCRIBED, chat_delay=3)
    upstream = remote(simulation, breaks=(2.05,))
    simulation.engine.limits = Limits()
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=9)
    check_rules(timeline)
    assert done(timeline).response.status == "completed"
    assert len(upstream.connections) == 2


async def test_speech_without_a_transcript_is_replayed_as_audio() -> None:
    simulation = Simulation()
    upstream = remote(simulation, breaks=(5.0,))
    await simulation.run(CallerSays(0.5, "hello there", seconds=1), until=8)
    part = items(upstream)[0].content[0]
    assert 0.9 < len(part.audio) / 48000 < 1.8


async def test_a_turn_under_way_is_sent_again_from_its_beginning() -> None:
    simulation = Simulation(["Fine."], session=TRANSCRIBED)
    upstream = remote(simulation, breaks=(1.5,))
    timeline = await simulation.run(CallerSays(0.5, "What is the capital of France?"), until=9)
    check_rules(timeline)
    assert len(upstream.connections) == 2
    (written,) = timeline.of(e.TranscriptionCompleted)
    assert written.transcript == "What is the capital of France?"
    (lost,) = timeline.of(e.TranscriptionFailed)
    assert lost.error.code == "connection_lost"
    first, second = timeline.of(e.InputAudioBufferSpeechStarted)
    assert (first.item_id, second.item_id) == (lost.item_id, written.item_id)
    assert abs(second.audio_start_ms - first.audio_start_ms) < 100, "times count from the beginning of the call"
    assert done(timeline).response.status == "completed"


async def test_audio_sent_while_there_is_no_server_is_sent_afterwards() -> None:
    simulation = Simulation(["Fine."], session=TRANSCRIBED)
    upstream = remote(simulation, breaks=(2.0,), down=2.0, up=6.0)
    timeline = await simulation.run(CallerSays(3, "What is the capital of France?"), until=12)
    check_rules(timeline)
    assert upstream.connections[-1] > 6
    (written,) = timeline.of(e.TranscriptionCompleted)
    assert written.transcript == "What is the capital of France?"
    assert 2600 < timeline.of(e.InputAudioBufferSpeechStarted)[0].audio_start_ms < 3100


async def test_of_that_audio_only_so_much_is_kept() -> None:
    simulation = Simulation(limits=Limits(upstream_audio_seconds=2), session=MANUAL)
    upstream = remote(simulation, breaks=(2.0,), down=2.0, up=10.0)
    await simulation.run(until=15)
    kept = sum(len(one.audio) for one in upstream.received[1] if isinstance(one, e.InputAudioBufferAppend))
    assert kept / 48000 == pytest.approx(15 - upstream.connections[-1] + 2, abs=0.1)


async def test_a_manual_turn_goes_on_where_it_was() -> None:
    simulation = Simulation(["Fine."], session=WRITTEN_MANUALLY)
    remote(simulation, breaks=(1.0,))
    commit = [ClientSends(3, e.InputAudioBufferCommit()), ClientSends(3.1, e.ResponseCreate())]
    timeline = await simulation.run(CallerSays(0.5, "What is the capital of France?"), *commit, until=9)
    check_rules(timeline)
    (written,) = timeline.of(e.TranscriptionCompleted)
    assert written.transcript == "What is the capital of France?"


async def test_what_was_sent_and_not_answered_is_sent_again() -> None:
    simulation = Simulation(["Fine."])
    upstream = remote(simulation, stalls=0.4, breaks=(1.0,), up=1.0)
    update = e.SessionUpdate(event_id="mine", session=Session(instructions="Be kind."))
    timeline = await simulation.run(ClientSends(0.5, update), *ask(0.6, "Well?"), until=5)
    check_rules(timeline)
    assert timeline.of(e.SessionUpdated)[0].session.instructions == "Be kind."
    assert done(timeline).response.status == "completed"
    assert simulation.chat.requests[-1].instructions == "Be kind."
    assert len(upstream.connections) == 2


async def test_what_the_client_requests_while_there_is_no_server_waits() -> None:
    simulation = Simulation(["Fine."])
    remote(simulation, breaks=(1.0,), down=1.0, up=4.0)
    timeline = await simulation.run(*ask(2, "Well?"), until=9)
    check_rules(timeline)
    assert done(timeline).response.status == "completed"
    assert timeline.at(e.ConversationItemAdded) >= 4


async def test_function_calls_and_their_outputs_are_replayed() -> None:
    def output(timeline: Timeline) -> e.ClientEvent:
        call = timeline.of(e.ResponseFunctionCallArgumentsDone)[0]
        return e.ConversationItemCreate(item=FunctionCallOutput(call_id=call.call_id, output="sunny"))

    simulation = Simulation([[ToolCall("weather", "{}")], "Sunny."], client_session=Session(tools=(WEATHER,)))
    upstream = remote(simulation, breaks=(2.0,))
    timeline = await simulation.run(
        *ask(0.5, "How is the weather?"), ClientSends(3, output), *ask(3.2, "Well?"), until=8
    )
    check_rules(timeline)
    assert done(timeline).response.output[0].content[0].transcript.strip() == "Sunny."
    _question, call, result, _answer = items(upstream)
    assert isinstance(call, FunctionCall)
    assert call.call_id == result.call_id


# old items


async def test_an_old_answer_can_be_truncated() -> None:
    simulation = Simulation([STORY, "Yes."], session=TRANSCRIBED)
    upstream = remote(simulation, breaks=(4.0,))

    def cut(timeline: Timeline) -> e.ClientEvent:
        return truncated(timeline.answer_id, 700)

    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story."), CallerSays(6, "stop it now"), ClientSends(6.5, cut), until=11
    )
    check_rules(timeline)
    (event,) = timeline.of(e.ConversationItemTruncated)
    assert event.audio_end_ms == 700
    answers = [item for item in simulation.chat.requests[-1].items if getattr(item, "role", "") == "assistant"]
    assert answers[0].content == (OutputText(text="Once upon a"),)
    assert len(upstream.connections) == 2


async def test_old_items_can_be_retrieved_and_deleted() -> None:
    simulation = Simulation(["Yes."])
    remote(simulation, breaks=(3.0,))
    timeline = await simulation.run(
        *ask(0.5, "Well?"),
        ClientSends(4, lambda timeline: e.ConversationItemRetrieve(item_id=timeline.answer_id)),
        ClientSends(4.2, lambda timeline: e.ConversationItemDelete(item_id=timeline.answer_id)),
        *ask(4.4, "And now?"),
        until=8,
    )
    check_rules(timeline)
    (shown,) = timeline.of(e.ConversationItemRetrieved)
    assert shown.item.content[0].transcript.strip() == "Yes."
    assert len(timeline.of(e.ConversationItemDeleted)) == 1
    assert [item.role for item in simulation.chat.requests[-1].items] == ["user", "user"]


# how often


async def test_a_session_that_expires_upstream_is_begun_anew() -> None:
    simulation = Simulation(["Fine."])
    upstream = remote(simulation)
    upstream.engine.limits = Limits(conversation_minutes=0.05)
    timeline = await simulation.run(*ask(0.5, "Well?"), *ask(4, "And now?"), until=5.5)
    check_rules(timeline)
    assert engines(timeline)[0] == ("lost", "the session expired there")
    assert len(timeline.of(e.ResponseDone)) == 2
    assert not timeline.of(e.ErrorEvent)


async def test_an_upstream_server_that_falls_silent_is_lost() -> None:
    simulation = Simulation(["Fine."], limits=Limits(upstream_silence_seconds=3))
    upstream = remote(simulation, stalls=1.0, up=3.0)
    timeline = await simulation.run(*ask(1.5, "Well?"), until=9)
    check_rules(timeline)
    assert engines(timeline)[0] == (
        "lost",
        "it fell silent (limits.upstream_silence_seconds, limits.send_seconds)",
    )
    assert upstream.connections[1] == pytest.approx(4.5, abs=0.1)
    assert done(timeline).response.status == "completed"


async def test_an_upstream_server_that_reads_and_says_nothing_is_lost_while_a_microphone_runs() -> None:
    simulation = Simulation([Unresponsive(), "Fine."], limits=Limits(upstream_silence_seconds=3))
    upstream = remote(simulation)
    timeline = await simulation.run(*ask(1.5, "Well?"), until=9)
    assert engines(timeline)[0][0] == "lost"
    assert upstream.connections[1] == pytest.approx(4.5, abs=0.2)


async def test_an_upstream_server_may_be_silent_while_nothing_is_due() -> None:
    simulation = Simulation(limits=Limits(upstream_silence_seconds=3))
    upstream = remote(simulation)
    await simulation.run(until=60)
    assert len(upstream.connections) == 1


async def test_an_upstream_server_that_cannot_be_reached_again_ends_the_call_with_an_error() -> None:
    simulation = Simulation(limits=Limits(upstream_reconnect_seconds=5))
    upstream = remote(simulation, breaks=(2.0,), down=2.0)
    timeline = await simulation.run(until=20)
    assert (error(timeline).type, error(timeline).code) == ("server_error", "upstream_unreachable")
    assert "cannot be reached" in error(timeline).message
    assert 7 < timeline.at(e.ErrorEvent) < 10
    assert len(upstream.connections) > 3
    check_rules(timeline, errors=None)


async def test_a_server_that_cannot_be_reached_at_first_is_tried_three_times() -> None:
    simulation = Simulation()
    upstream = remote(simulation, down=0)
    timeline = await simulation.run(until=20)
    assert error(timeline).code == "upstream_unreachable"
    assert upstream.connections == pytest.approx([0, 0.5, 1.5])


async def test_a_server_that_refuses_for_good_is_not_tried_again() -> None:
    simulation = Simulation()
    upstream = remote(
        simulation, refuses=[ProviderError("far.example.org", "refuses the connection (HTTP 401): wrong key")]
    )
    timeline = await simulation.run(until=5)
    assert "wrong key" in error(timeline).message
    assert len(upstream.connections) == 1


async def test_a_server_that_accepts_and_sends_nothing_is_given_up() -> None:
    simulation = Simulation(limits=Limits(upstream_connect_seconds=2))
    upstream = remote(simulation, stalls=0)
    timeline = await simulation.run(until=30)
    assert "limits.upstream_connect_seconds" in error(timeline).message
    assert len(upstream.connections) == 3


async def test_a_server_that_hangs_up_again_and_again_is_given_up() -> None:
    simulation = Simulation()
    upstream = remote(simulation, breaks=tuple(n + 1.0 for n in range(20)))
    timeline = await simulation.run(until=20)
    assert error(timeline).code == "upstream_unreachable"
    assert len(upstream.connections) == 5


class Choosy:
    """An engine that does not like how it is to hold the conversation."""

    async def converse(self, line: Line, session: object = None) -> None:
        update = await anext(line)
        complaint = ProtocolError("No such voice.", code="invalid_value", event_id=update.event_id)
        await line.send(error_event(complaint))


async def test_the_error_of_a_server_that_rejects_the_session_is_passed_on() -> None:
    simulation = Simulation()
    upstream = remote(simulation)
    upstream.engine = Choosy()
    timeline = await simulation.run(until=3)
    assert "No such voice." in error(timeline).message
    assert len(upstream.connections) == 1


async def test_an_old_answer_can_be_truncated_again_and_again() -> None:
    simulation = Simulation([STORY, "Yes."], session=TRANSCRIBED)
    remote(simulation, breaks=(4.0,), down=4.0, up=5.0)
    cuts = [
        ClientSends(4.5, lambda timeline, ms=ms: truncated(timeline.answer_id, ms)) for ms in (1500, 700, 0)
    ]
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story."), *cuts, CallerSays(8, "And now?"), until=12
    )
    check_rules(timeline)
    assert [event.audio_end_ms for event in timeline.of(e.ConversationItemTruncated)] == [1500, 700, 0]
    assert not [item for item in simulation.chat.requests[-1].items if item.id == timeline.answer_id]


class Forgetful:
    """An engine that takes no item that anybody tells it, and no wish for an answer."""

    def __init__(self) -> None:
        self.asked = 0

    async def converse(self, line: Line, session: object = None) -> None:
        await anext(line)
        await line.send(e.SessionUpdated(session=DEFAULT))
        async for event in line:
            if isinstance(event, e.ConversationItemCreate | e.ResponseCreate):
                self.asked += 1
                complaint = ProtocolError("Not here.", code="invalid_value", event_id=event.event_id)
                await line.send(error_event(complaint))


async def test_errors_about_the_replay_are_logged_and_not_relayed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    simulation = Simulation([STORY], session=TRANSCRIBED, limits=Limits(upstream_silence_seconds=3))
    upstream, forgetful = remote(simulation, breaks=(4.0,)), Forgetful()
    first = upstream.engine
    upstream.engine = Alternately(first, forgetful)
    with caplog.at_level(logging.WARNING):
        timeline = await simulation.run(CallerSays(0.5, "Tell me a story."), until=20)
    check_rules(timeline)
    assert forgetful.asked == 3
    assert caplog.text.count("Not here.") == 3
    assert len(upstream.connections) == 2, "nothing is owed any more"


class Alternately:
    """One engine for the first call, another for all that follow."""

    def __init__(self, *engines: object) -> None:
        self.engines = list(engines)

    async def converse(self, line: Line, session: object = None) -> None:
        engine = self.engines.pop(0) if len(self.engines) > 1 else self.engines[0]
        await engine.converse(line)


class Deaf:
    """An engine that agrees, and listens no more."""

    async def converse(self, line: Line, session: object = None) -> None:
        await anext(line)
        await line.send(e.SessionUpdated(session=DEFAULT))
        await anyio.sleep_forever()


async def test_an_upstream_server_that_reads_nothing_any_more_is_lost() -> None:
    simulation = Simulation(["Fine."], session=TRANSCRIBED, limits=Limits(send_seconds=3))
    upstream = remote(simulation)
    upstream.engine = Alternately(Deaf(), upstream.engine)
    timeline = await simulation.run(CallerSays(8, "hello there"), until=14)
    check_rules(timeline)
    assert len(upstream.connections) == 2
    assert done(timeline).response.status == "completed"
