"""Simulated conversations: what a caller would notice, and when."""

from itertools import pairwise

import pytest

from engines.simulations import MANUAL, STORY, TRANSCRIBED, done, error, messages, types, with_input
from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, Message
from vivavoce.protocol.session import (
    InputSettings,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSettings,
)
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation

pytestmark = pytest.mark.anyio


# a spoken turn


async def test_a_spoken_question_is_answered_in_the_order_of_the_protocol() -> None:
    timeline = await Simulation(["Paris."], session=TRANSCRIBED).run(
        CallerSays(0.5, "What is the capital of France?"), until=6
    )
    events = [name for name in types(timeline) if name != "input_audio_buffer.append"]
    assert events == [
        "session.created",
        "input_audio_buffer.speech_started",
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        *["response.output_audio.delta"] * 5,
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]


async def test_the_answer_is_there_when_the_turn_is_over() -> None:
    timeline = await Simulation(["Paris."]).run(CallerSays(0.5, "What is the capital of France?"), until=6)
    assert timeline.at(e.ResponseOutputAudioDelta) - timeline.at(e.InputAudioBufferSpeechStopped) < 0.03


async def test_without_a_draft_the_answer_would_come_later() -> None:
    said = CallerSays(0.5, "What is the capital of France?")
    drafted = await Simulation(["Paris."]).run(said, until=6)
    undrafted = await Simulation(["Paris."], limits=Limits(drafts=0)).run(said, until=6)
    assert undrafted.at(e.ResponseOutputAudioDelta) - drafted.at(e.ResponseOutputAudioDelta) > 0.25


async def test_a_caller_who_goes_on_after_a_pause_gets_one_answer_to_all_of_it() -> None:
    simulation = Simulation(["Yes."])
    timeline = await simulation.run(
        CallerSays(0.5, "I would like to know"), CallerSays(2.0, "whether it rains"), until=7
    )
    assert len(timeline.of(e.ResponseCreated)) == 1
    assert _last_words(simulation) == "I would like to know whether it rains"


async def test_a_draft_to_the_same_words_is_used_again() -> None:
    simulation = Simulation(["Yes."])
    await simulation.run(CallerSays(0.5, "Does it rain?"), CallerSays(1.56, "", seconds=0.09), until=6)
    assert len(simulation.chat.requests) == 1


async def test_a_dropped_draft_leaves_no_trace() -> None:
    simulation = Simulation(["Yes."], chat_delay=0.05)
    timeline = await simulation.run(
        CallerSays(0.5, "I would like to know"), CallerSays(2.1, "whether it rains"), until=7
    )
    assert len(simulation.chat.requests) == 2
    assert len(timeline.of(e.ResponseCreated)) == 1
    assert len(timeline.of(e.ConversationItemAdded)) == 2


async def test_the_budget_of_drafts_is_kept() -> None:
    simulation = Simulation(["Yes."], limits=Limits(drafts=1))
    timeline = await simulation.run(
        CallerSays(0.5, "one two three"),
        CallerSays(1.6, "four five six"),
        CallerSays(2.7, "seven eight"),
        until=8,
    )
    assert len(simulation.chat.requests) == 2, "one draft, and the answer itself"
    assert done(timeline).response.status == "completed"


async def test_transcripts_are_sent_only_to_those_who_want_them() -> None:
    session = with_input(transcription=None)
    timeline = await Simulation(["Paris."], session=session).run(
        CallerSays(0.5, "What is the capital?"), until=5
    )
    assert not timeline.of(e.TranscriptionCompleted)
    assert done(timeline).response.status == "completed"


async def test_a_cough_alone_is_not_answered() -> None:
    timeline = await Simulation(["Yes?"]).run(CallerSays(0.5, "", seconds=0.1), until=4)
    assert types(timeline)[0] == "session.created"
    assert not timeline.of(e.InputAudioBufferSpeechStarted, e.ResponseCreated)


async def test_a_noise_without_words_is_answered_by_none() -> None:
    """There is a response, and nothing in it: strands asks for no other until the turn has had its own."""
    timeline = await Simulation(["Yes?"]).run(CallerSays(0.5, "", seconds=0.8), until=4)
    assert timeline.of(e.InputAudioBufferCommitted)
    assert types(timeline)[-3:] == ["response.created", "response.done", "rate_limits.updated"]
    assert (done(timeline).response.status, done(timeline).response.output) == ("completed", ())


async def test_a_turn_that_is_finished_is_answered_sooner_than_one_that_is_not() -> None:
    session = with_input(turn_detection=SemanticVad())
    whole, half = (
        CallerSays(0.5, "What is the capital of France?"),
        CallerSays(0.5, "I would like to know whether"),
    )
    finished = await Simulation(["Paris."], session=session, end_of_turn=0.98).run(whole, until=6)
    unfinished = await Simulation(["Paris."], session=session, end_of_turn=0.05).run(half, until=6)
    stopped = e.InputAudioBufferSpeechStopped
    soon, late = finished.at(stopped) - whole.until, unfinished.at(stopped) - half.until
    assert soon < 0.35
    assert 0.6 < late < 1.6, "doubt costs some hundred milliseconds, never seconds"


async def test_a_turn_detector_that_does_not_answer_is_not_waited_for() -> None:
    session = with_input(turn_detection=SemanticVad())
    simulation = Simulation(["Paris."], session=session, end_of_turn=0.9)
    simulation.engine.providers.turn.delay = 60
    timeline = await simulation.run(CallerSays(0.5, "What is the capital of France?"), until=8)
    assert done(timeline).response.status == "completed"


async def test_the_words_go_up_with_their_sound() -> None:
    timeline = await Simulation([STORY], word_timings=True).run(CallerSays(0.5, "Tell me a story"), until=12)
    told = timeline.of(e.ResponseOutputAudioTranscriptDelta, e.ResponseOutputAudioDelta)
    assert "".join(t.delta for t in told if isinstance(t.delta, str)).strip() == STORY
    assert all(
        isinstance(after.delta, bytes) for before, after in pairwise(told) if isinstance(before.delta, str)
    )


async def test_speech_is_sent_little_before_its_time() -> None:
    timeline = await Simulation([STORY]).run(CallerSays(0.5, "Tell me a story"), until=16)
    first = timeline.at(e.ResponseOutputAudioDelta)
    sent = 0.0
    for heard in timeline.entries:
        if isinstance(heard.event, e.ResponseOutputAudioDelta):
            assert sent - (heard.at - timeline.started_at - first) <= Limits().audio_ahead_seconds + 0.01
            sent += len(heard.event.delta) / 48000


async def test_the_client_may_answer_turns_itself() -> None:
    session = with_input(turn_detection=ServerVad(create_response=False))
    simulation = Simulation(["Paris."], session=session)
    timeline = await simulation.run(
        CallerSays(0.5, "What is the capital?"), ClientSends(4.0, e.ResponseCreate()), until=7
    )
    assert timeline.at(e.ResponseCreated) >= 4.0
    assert len(simulation.chat.requests) == 1, "no draft either"


async def test_committing_in_mid_turn_takes_what_was_said_so_far() -> None:
    simulation = Simulation(["Paris."])
    timeline = await simulation.run(
        CallerSays(0.5, "What is the capital of France?"), ClientSends(1.8, e.InputAudioBufferCommit()), until=4
    )
    assert timeline.of(e.InputAudioBufferCommitted)
    assert timeline.at(e.InputAudioBufferCommitted) == pytest.approx(1.8, abs=0.05)


async def test_a_turn_without_end_is_closed_at_the_limit_and_answered() -> None:
    simulation = Simulation(["That was long."], limits=Limits(input_buffer_seconds=3))
    timeline = await simulation.run(CallerSays(0.5, "and so on " * 20), until=9)
    assert timeline.at(e.InputAudioBufferSpeechStopped) < 5
    assert timeline.of(e.ResponseCreated)


async def test_a_chat_model_may_read_new_instructions_before_the_first_question() -> None:
    simulation = Simulation(["Fine."])
    await simulation.run(ClientSends(0.1, e.SessionUpdate(session=Session(instructions="Be brief."))), until=1)
    assert [request.instructions for request in simulation.chat.prefills] == ["Be brief."]


async def test_a_chat_model_that_cannot_prepare_does_not_end_the_call() -> None:
    simulation = Simulation([ProviderError("chat", "is down")])
    timeline = await simulation.run(
        ClientSends(0.1, e.SessionUpdate(session=Session(instructions="Be brief."))), until=1
    )
    assert simulation.chat.prefills
    assert not timeline.of(e.ErrorEvent)


async def test_a_caller_who_talks_on_drops_the_draft_before_the_next_pause() -> None:
    simulation = Simulation(["Yes."], chat_delay=1.0)
    timeline = await simulation.run(
        CallerSays(0.5, "I would like to know"), CallerSays(1.98, "whether it rains"), until=7
    )
    assert len(simulation.chat.requests) == 2
    assert done(timeline).response.status == "completed"


# manual turns


async def test_in_manual_turns_the_client_decides() -> None:
    simulation = Simulation(["Paris."], session=MANUAL)
    timeline = await simulation.run(
        CallerSays(0.5, "What is the capital of France?"),
        ClientSends(2.6, e.InputAudioBufferCommit()),
        ClientSends(2.61, e.ResponseCreate()),
        until=6,
    )
    assert not timeline.of(e.InputAudioBufferSpeechStarted)
    assert _last_words(simulation) == "What is the capital of France?"
    assert done(timeline).response.status == "completed"


async def test_an_empty_buffer_cannot_be_committed() -> None:
    timeline = await Simulation(session=MANUAL).run(ClientSends(0.0, e.InputAudioBufferCommit()), until=0.5)
    assert error(timeline).code == "input_audio_buffer_commit_empty"


async def test_a_buffer_that_is_full_refuses_more_and_keeps_what_it_has() -> None:
    simulation = Simulation(["Fine."], session=MANUAL, limits=Limits(input_buffer_seconds=2))
    timeline = await simulation.run(
        CallerSays(0.2, "short"),
        ClientSends(2.4, e.InputAudioBufferCommit()),
        ClientSends(2.41, e.ResponseCreate()),
        until=5,
    )
    full = timeline.of(e.ErrorEvent)
    assert {event.error.code for event in full} == {"input_audio_buffer_full"}
    assert "limits.input_buffer_seconds" in full[0].error.message
    assert done(timeline).response.status == "completed"


async def test_clearing_forgets_what_was_said() -> None:
    timeline = await Simulation().run(
        CallerSays(0.5, "never mind me"), ClientSends(1.2, e.InputAudioBufferClear()), until=4
    )
    assert timeline.of(e.InputAudioBufferCleared)
    assert not timeline.of(e.InputAudioBufferCommitted)
    assert not timeline.of(e.ResponseCreated)


async def test_silence_committed_by_hand_is_an_item_without_words() -> None:
    simulation = Simulation(
        ["I heard nothing."],
        session=with_input(turn_detection=None, transcription=TranscriptionSettings(model="scripted")),
    )
    timeline = await simulation.run(ClientSends(1.0, e.InputAudioBufferCommit()), until=2)
    (told,) = timeline.of(e.TranscriptionCompleted)
    assert told.transcript == ""


async def test_nobody_speaks_for_long_and_is_asked() -> None:
    session = with_input(turn_detection=ServerVad(idle_timeout_ms=5000))
    simulation = Simulation(["Are you still there?"], session=session)
    timeline = await simulation.run(until=8)
    (timeout,) = timeline.of(e.InputAudioBufferTimeoutTriggered)
    assert timeout.audio_end_ms - timeout.audio_start_ms >= 5000
    assert done(timeline).response.status == "completed"
    assert isinstance(simulation.chat.requests[0].items[-1], Message)


async def test_turning_detection_off_in_mid_turn_makes_turns_manual() -> None:
    off = Session(audio=SessionAudio(input=InputSettings(turn_detection=None)))
    timeline = await Simulation().run(
        CallerSays(0.5, "hello there you"), ClientSends(1.0, e.SessionUpdate(session=off)), until=4
    )
    assert not timeline.of(e.InputAudioBufferCommitted)
    assert timeline.of(e.SessionUpdated)[0].session.audio.input.turn_detection is None


@pytest.mark.parametrize("before", [ServerVad(), ServerVad(silence_duration_ms=300), SemanticVad(), None])
@pytest.mark.parametrize(
    "after", [ServerVad(silence_duration_ms=900), ServerVad(threshold=0.6), SemanticVad(eagerness="low")]
)
@pytest.mark.parametrize("at", [0.6, 1.5, 3.15])
async def test_a_turn_in_progress_goes_on_under_other_rules(
    before: ServerVad | SemanticVad | None, after: ServerVad | SemanticVad, at: float
) -> None:
    simulation = Simulation(
        ["Paris."],
        session=with_input(turn_detection=before, transcription=TranscriptionSettings(model="scripted")),
    )
    update = Session(audio=SessionAudio(input=InputSettings(turn_detection=after)))
    timeline = await simulation.run(
        CallerSays(0.5, "What is the capital of France?", seconds=2.5),
        ClientSends(at, e.SessionUpdate(session=update)),
        until=9,
    )
    (started,) = timeline.of(e.InputAudioBufferSpeechStarted)
    (stopped,) = timeline.of(e.InputAudioBufferSpeechStopped)
    (committed,) = timeline.of(e.InputAudioBufferCommitted)
    assert started.item_id == stopped.item_id == committed.item_id
    assert _last_words(simulation) == "What is the capital of France?"
    assert done(timeline).response.status == "completed"


async def test_a_turn_in_progress_is_committed_whole_when_turns_become_manual() -> None:
    simulation = Simulation(["Paris."], session=TRANSCRIBED)
    off = Session(audio=SessionAudio(input=InputSettings(turn_detection=None)))
    timeline = await simulation.run(
        CallerSays(0.5, "What is the capital of France?"),
        ClientSends(1.0, e.SessionUpdate(session=off)),
        ClientSends(3.0, e.InputAudioBufferCommit()),
        ClientSends(3.01, e.ResponseCreate()),
        until=6,
    )
    (started,) = timeline.of(e.InputAudioBufferSpeechStarted)
    (committed,) = timeline.of(e.InputAudioBufferCommitted)
    assert committed.item_id == started.item_id
    assert _last_words(simulation) == "What is the capital of France?"
    assert done(timeline).response.status == "completed"


# the same conversation


async def test_the_same_play_gives_the_same_score() -> None:
    scores = set()
    for _ in range(5):
        simulation = Simulation([STORY, "Fine."], session=TRANSCRIBED)
        scores.add(
            str(
                await simulation.run(
                    CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "stop it now please"), until=9
                )
            )
        )
    assert len(scores) == 1


def _last_words(simulation: Simulation) -> str:
    part = messages(simulation)[-1]
    assert isinstance(part, InputAudio)
    return str(part.transcript)
