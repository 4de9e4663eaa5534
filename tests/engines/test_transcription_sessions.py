"""Transcription sessions, simulated."""

import pytest
from msgspec import UNSET

from engines.simulations import errors, types
from engines.transcription import deltas, transcribed, transcribing, transcripts
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, InputText, Message
from vivavoce.protocol.session import (
    AnySession,
    SemanticVad,
    ServerVad,
    Session,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

pytestmark = pytest.mark.anyio

NEVER_ASKED = ProviderError("synthesizer", "was asked in a session that only writes down")
WORDS = "Four score and seven years ago our fathers brought forth on this continent a new nation"
TRANSCRIBED = "conversation.item.input_audio_transcription"


def simulation(**cast: object) -> Simulation:
    """A simulation of a client that connects with `?intent=transcription`."""
    return Simulation(synthesizer_failure=NEVER_ASKED, **{"client_session": TranscriptionSession(), **cast})


def opened(session: AnySession) -> ClientSends:
    return ClientSends(0.0, e.SessionUpdate(session=session))


async def test_what_is_said_is_written_down_in_the_order_of_the_protocol() -> None:
    played = simulation()
    timeline = await played.run(CallerSays(0.5, "Four score and seven years"), until=4)
    assert types(timeline) == [
        "session.created",
        "input_audio_buffer.speech_started",
        f"{TRANSCRIBED}.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIBED}.delta",
        f"{TRANSCRIBED}.completed",
    ]
    assert list(transcripts(timeline).values()) == ["Four score and seven years"]
    assert deltas(timeline) == transcripts(timeline)
    assert not played.chat.requests


async def test_the_session_is_shown_as_what_it_is() -> None:
    timeline = await simulation(session=transcribed(turn_detection=SemanticVad(), transcription=None)).run(
        until=0.2
    )
    (created,) = timeline.of(e.SessionCreated)
    session = created.session
    assert isinstance(session, TranscriptionSession)
    assert session.object == "realtime.transcription_session"
    assert session.id.startswith("sess_")
    assert session.audio.input.turn_detection == SemanticVad(eagerness="auto")
    assert session.audio.input.transcription == TranscriptionSettings()


async def test_the_words_come_while_they_are_spoken() -> None:
    timeline = await simulation().run(CallerSays(0.5, WORDS), until=9)
    while_speaking = [at for at in times_of_deltas(timeline) if at < 0.5 + len(WORDS) * 0.06]
    assert len(while_speaking) >= 3
    assert while_speaking[0] < 3
    assert deltas(timeline) == transcripts(timeline) == {item_id(timeline): WORDS}


async def test_usage_is_the_length_of_what_was_said() -> None:
    timeline = await simulation().run(CallerSays(0.5, "Four score and seven", seconds=2), until=5)
    (told,) = timeline.of(e.TranscriptionCompleted)
    assert told.usage.seconds == pytest.approx(2.3, abs=0.1), "the prefix padding is part of it"


@pytest.mark.parametrize("turns", [ServerVad(silence_duration_ms=300), SemanticVad()])
async def test_every_turn_is_an_item(turns: object) -> None:
    said = CallerSays(0.5, "One at a time."), CallerSays(3.5, "And another one.")
    timeline = await simulation(client_session=transcribing(turn_detection=turns)).run(*said, until=7)
    assert list(transcripts(timeline).values()) == ["One at a time.", "And another one."]
    first, second = timeline.of(e.InputAudioBufferCommitted)
    assert second.previous_item_id == first.item_id


async def test_in_manual_turns_the_words_come_before_the_client_commits() -> None:
    timeline = await simulation(client_session=transcribing(turn_detection=None)).run(
        CallerSays(0.5, WORDS), ClientSends(6.5, e.InputAudioBufferCommit()), until=8
    )
    assert not timeline.of(e.InputAudioBufferSpeechStarted, e.InputAudioBufferSpeechStopped)
    assert len([at for at in times_of_deltas(timeline) if at < 6.5]) >= 3
    assert deltas(timeline) == transcripts(timeline) == {item_id(timeline): WORDS}


async def test_in_manual_turns_nobody_is_asked_about_silence() -> None:
    played = simulation(client_session=transcribing(turn_detection=None))
    timeline = await played.run(ClientSends(5.0, e.InputAudioBufferCommit()), until=6)
    assert played.engine.providers.transcriber.requests == 0
    assert list(transcripts(timeline).values()) == [""]
    assert not timeline.of(e.TranscriptionDelta)


async def test_each_commit_begins_anew() -> None:
    commits = ClientSends(2.5, e.InputAudioBufferCommit()), ClientSends(5.5, e.InputAudioBufferCommit())
    said = CallerSays(0.3, "This is the first sentence"), CallerSays(3.0, "and this is the second one.")
    timeline = await simulation(client_session=transcribing(turn_detection=None)).run(*said, *commits, until=7)
    assert list(transcripts(timeline).values()) == ["This is the first sentence", "and this is the second one."]
    assert deltas(timeline) == transcripts(timeline)


async def test_clearing_the_buffer_forgets_what_was_told() -> None:
    steps = ClientSends(2.8, e.InputAudioBufferClear()), ClientSends(5.5, e.InputAudioBufferCommit())
    said = CallerSays(0.3, "never mind these words at all"), CallerSays(3.0, "these are the words that count.")
    timeline = await simulation(client_session=transcribing(turn_detection=None)).run(*said, *steps, until=7)
    assert list(transcripts(timeline).values()) == ["these are the words that count."]
    assert deltas(timeline)[item_id(timeline)] == "these are the words that count."


async def test_nobody_answers_when_asked_to() -> None:
    played = simulation()
    timeline = await played.run(
        CallerSays(0.5, "Hello there."), ClientSends(3.0, e.ResponseCreate(event_id="mine")), until=4
    )
    (refused,) = timeline.of(e.ErrorEvent)
    assert (refused.error.code, refused.error.param, refused.error.event_id) == (
        "invalid_value",
        "type",
        "mine",
    )
    assert '"type": "realtime"' in refused.error.message
    assert not timeline.of(e.ResponseCreated)
    assert not played.chat.requests
    assert list(transcripts(timeline).values()) == ["Hello there."]


async def test_there_is_nothing_to_cancel() -> None:
    timeline = await simulation().run(ClientSends(0.1, e.ResponseCancel()), until=0.5)
    assert errors(timeline) == [("response_cancel_not_active", None)]


async def test_silence_asks_nobody_whether_they_are_there() -> None:
    wish = transcribing(turn_detection=ServerVad(idle_timeout_ms=5000))
    timeline = await simulation(client_session=wish).run(until=8)
    assert not timeline.of(e.InputAudioBufferTimeoutTriggered, e.ErrorEvent)


async def test_what_cannot_be_understood_is_an_event_of_its_own() -> None:
    timeline = await simulation(transcriber_failure=ProviderError("transcriber", "is deaf")).run(
        CallerSays(0.5, "Four score and seven years ago"), until=5
    )
    (failed,) = timeline.of(e.TranscriptionFailed)
    assert "is deaf" in failed.error.message
    assert not timeline.of(e.ErrorEvent, e.TranscriptionCompleted, e.TranscriptionDelta)


async def test_sound_in_an_item_is_written_down_too() -> None:
    played = simulation(transcriber_delay=0.05)
    played.caller.utterances = [CallerSays(0, "Hello there.")]
    sound = b"\xe8\x03" * 24_000
    item = Message(role="user", content=(InputAudio(audio=sound),))
    timeline = await played.run(ClientSends(0.1, e.ConversationItemCreate(item=item)), until=1)
    assert len(transcripts(timeline)) == 1


# how a session becomes one


async def test_the_first_update_may_make_it_one() -> None:
    played = Simulation(synthesizer_failure=NEVER_ASKED)
    timeline = await played.run(
        opened(transcribing(transcription=TranscriptionSettings(model="gpt-4o-transcribe", language="en"))),
        CallerSays(0.5, "Hello there."),
        until=4,
    )
    assert isinstance(timeline.of(e.SessionCreated)[0].session, Session)
    (updated,) = timeline.of(e.SessionUpdated)
    assert isinstance(updated.session, TranscriptionSession)
    assert updated.session.id == timeline.of(e.SessionCreated)[0].session.id
    assert updated.session.audio.input.transcription.model == "gpt-4o-transcribe"
    assert list(transcripts(timeline).values()) == ["Hello there."]
    assert not played.chat.requests


async def test_the_first_update_may_make_it_a_conversation() -> None:
    played = Simulation(["Hello."], client_session=TranscriptionSession())
    timeline = await played.run(
        opened(Session(instructions="Be kind.")), CallerSays(0.5, "Hello there."), until=5
    )
    assert isinstance(timeline.of(e.SessionUpdated)[0].session, Session)
    assert timeline.of(e.ResponseDone)[0].response.status == "completed"


@pytest.mark.parametrize(
    ("wish", "update"), [(None, TranscriptionSession()), (TranscriptionSession(), Session(instructions="Hi."))]
)
async def test_once_something_was_said_it_stays_what_it_is(
    wish: TranscriptionSession | None, update: AnySession
) -> None:
    timeline = await Simulation(client_session=wish).run(
        CallerSays(0.2, "Hello."), ClientSends(3.0, e.SessionUpdate(session=update)), until=4
    )
    assert errors(timeline) == [("invalid_value", "session.type")]


async def test_a_written_word_counts_as_said() -> None:
    item = Message(role="user", content=(InputText(text="Hi."),))
    timeline = await Simulation().run(
        ClientSends(0.0, e.ConversationItemCreate(item=item)), opened(TranscriptionSession()), until=1
    )
    assert errors(timeline) == [("invalid_value", "session.type")]


async def test_an_update_changes_what_it_names() -> None:
    wish = transcribing(transcription=TranscriptionSettings(model="m", language="en", prompt="Gettysburg"))
    update = transcribing(
        transcription=TranscriptionSettings(keywords=("Lincoln",), delay="low"),
        turn_detection=SemanticVad(eagerness="low"),
    )
    logprobs = ("item.input_audio_transcription.logprobs",)
    timeline = await simulation(client_session=wish).run(
        opened(update),
        ClientSends(0.1, e.SessionUpdate(session=TranscriptionSession(include=logprobs))),
        until=0.5,
    )
    session = timeline.of(e.SessionUpdated)[-1].session
    assert session.audio.input.transcription == TranscriptionSettings(
        model="m", language="en", prompt="Gettysburg", keywords=("Lincoln",), delay="low"
    )
    assert session.audio.input.turn_detection == SemanticVad(eagerness="low")
    assert session.include == logprobs
    assert session.audio.input.turn_detection.create_response is UNSET


async def test_an_update_that_is_wrong_changes_nothing() -> None:
    wrong = transcribing(turn_detection=ServerVad(threshold=7.0))
    timeline = await simulation().run(opened(wrong), CallerSays(0.5, "Hello there."), until=4)
    assert errors(timeline) == [("invalid_value", "session.audio.input.turn_detection.threshold")]
    assert list(transcripts(timeline).values()) == ["Hello there."]


async def test_no_log_probabilities_are_made_up() -> None:
    wish = TranscriptionSession(include=("item.input_audio_transcription.logprobs",))
    timeline = await simulation(client_session=wish).run(CallerSays(0.5, "Hello there."), until=4)
    assert timeline.of(e.TranscriptionCompleted)[0].logprobs is UNSET


async def test_transcription_that_is_off_leaves_the_turns() -> None:
    timeline = await simulation(client_session=transcribing(transcription=None)).run(
        CallerSays(0.5, "Hello there."), until=4
    )
    assert timeline.of(e.InputAudioBufferCommitted)
    assert not timeline.of(e.TranscriptionCompleted, e.TranscriptionDelta)


def times_of_deltas(timeline: Timeline) -> list[float]:
    return [
        heard.at - timeline.started_at
        for heard in timeline.entries
        if isinstance(heard.event, e.TranscriptionDelta)
    ]


def item_id(timeline: Timeline) -> str:
    """The id of the first thing said."""
    return str(timeline.of(e.InputAudioBufferCommitted)[0].item_id)
