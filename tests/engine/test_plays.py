"""Conversations as plays: what a caller would notice, and when."""

from array import array
from itertools import pairwise

import pytest
from msgspec.structs import replace

from vivavoce.errors import ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    ItemReference,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.protocol.response import Cancelled, Failed, Incomplete, ResponseParams
from vivavoce.protocol.session import (
    FunctionTool,
    InputSettings,
    OutputSettings,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers import ToolCall
from vivavoce.testing.stage import Answer, Do, Forever, React, Say, Score, Stage

pytestmark = pytest.mark.anyio

STORY = "Once upon a time there was a very long story. It went on and on, and then on and on again. The end."


def heard_as(**settings: object) -> Session:
    """Our default session with other settings for hearing."""
    return merge(DEFAULT, Session(audio=SessionAudio(input=InputSettings(**settings))))


TRANSCRIBED = heard_as(transcription=TranscriptionSettings(model="scripted"))
QUICK = heard_as(turn_detection=ServerVad(silence_duration_ms=200))
MANUAL = heard_as(turn_detection=None)


def truncated(item_id: str, ms: int) -> e.ConversationItemTruncate:
    return e.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=ms)


def types(score: Score) -> list[str]:
    return [event.__struct_config__.tag for event in score.events]


def ask(at: float, text: str, **params: object) -> list[Do]:
    """Put a typed question, and want an answer."""
    item = Message(role="user", content=(InputText(text=text),))
    return [
        Do(at, e.ConversationItemCreate(item=item)),
        Do(at + 0.02, e.ResponseCreate(response=ResponseParams(**params))),
    ]


def done(score: Score, nth: int = -1) -> e.ResponseDone:
    return score.of(e.ResponseDone)[nth]


def error(score: Score) -> e.ErrorDetails:
    (event,) = score.of(e.ErrorEvent)
    return event.error


# a spoken turn


async def test_a_spoken_question_is_answered_in_the_order_of_the_protocol() -> None:
    score = await Stage(["Paris."], session=TRANSCRIBED).play(
        Say(0.5, "What is the capital of France?"), until=6
    )
    events = [name for name in types(score) if name != "input_audio_buffer.append"]
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
    score = await Stage(["Paris."]).play(Say(0.5, "What is the capital of France?"), until=6)
    assert score.at(e.ResponseOutputAudioDelta) - score.at(e.InputAudioBufferSpeechStopped) < 0.03


async def test_without_a_draft_the_answer_would_come_later() -> None:
    said = Say(0.5, "What is the capital of France?")
    drafted = await Stage(["Paris."]).play(said, until=6)
    undrafted = await Stage(["Paris."], limits=Limits(drafts=0)).play(said, until=6)
    assert undrafted.at(e.ResponseOutputAudioDelta) - drafted.at(e.ResponseOutputAudioDelta) > 0.25


async def test_a_caller_who_goes_on_after_a_pause_gets_one_answer_to_all_of_it() -> None:
    stage = Stage(["Yes."])
    score = await stage.play(Say(0.5, "I would like to know"), Say(2.0, "whether it rains"), until=7)
    assert len(score.of(e.ResponseCreated)) == 1
    assert _last_words(stage) == "I would like to know whether it rains"


async def test_a_draft_to_the_same_words_is_used_again() -> None:
    stage = Stage(["Yes."])
    await stage.play(Say(0.5, "Does it rain?"), Say(1.56, "", seconds=0.09), until=6)
    assert len(stage.chat.asked) == 1


async def test_a_dropped_draft_leaves_no_trace() -> None:
    stage = Stage(["Yes."], thinks=0.05)
    score = await stage.play(Say(0.5, "I would like to know"), Say(2.1, "whether it rains"), until=7)
    assert len(stage.chat.asked) == 2
    assert len(score.of(e.ResponseCreated)) == 1
    assert len(score.of(e.ConversationItemAdded)) == 2


async def test_the_budget_of_drafts_is_kept() -> None:
    stage = Stage(["Yes."], limits=Limits(drafts=1))
    score = await stage.play(
        Say(0.5, "one two three"), Say(1.6, "four five six"), Say(2.7, "seven eight"), until=8
    )
    assert len(stage.chat.asked) == 2, "one draft, and the answer itself"
    assert done(score).response.status == "completed"


async def test_transcripts_are_sent_only_to_those_who_want_them() -> None:
    session = heard_as(transcription=None)
    score = await Stage(["Paris."], session=session).play(Say(0.5, "What is the capital?"), until=5)
    assert not score.of(e.TranscriptionCompleted)
    assert done(score).response.status == "completed"


async def test_a_cough_alone_is_not_answered() -> None:
    score = await Stage(["Yes?"]).play(Say(0.5, "", seconds=0.1), until=4)
    assert types(score)[0] == "session.created"
    assert not score.of(e.InputAudioBufferSpeechStarted, e.ResponseCreated)


async def test_a_noise_without_words_is_not_answered() -> None:
    score = await Stage(["Yes?"]).play(Say(0.5, "", seconds=0.8), until=4)
    assert score.of(e.InputAudioBufferCommitted)
    assert not score.of(e.ResponseCreated)


async def test_a_turn_that_is_finished_is_answered_sooner_than_one_that_is_not() -> None:
    session = heard_as(turn_detection=SemanticVad())
    whole, half = Say(0.5, "What is the capital of France?"), Say(0.5, "I would like to know whether")
    finished = await Stage(["Paris."], session=session, finished=0.98).play(whole, until=6)
    unfinished = await Stage(["Paris."], session=session, finished=0.05).play(half, until=6)
    stopped = e.InputAudioBufferSpeechStopped
    soon, late = finished.at(stopped) - whole.until, unfinished.at(stopped) - half.until
    assert soon < 0.35
    assert 0.6 < late < 1.6, "doubt costs some hundred milliseconds, never seconds"


async def test_a_turn_detector_that_does_not_answer_is_not_waited_for() -> None:
    session = heard_as(turn_detection=SemanticVad())
    stage = Stage(["Paris."], session=session, finished=0.9)
    stage.engine.crew.turn.delay = 60
    score = await stage.play(Say(0.5, "What is the capital of France?"), until=8)
    assert done(score).response.status == "completed"


async def test_the_words_go_up_with_their_sound() -> None:
    score = await Stage([STORY], marks=True).play(Say(0.5, "Tell me a story"), until=12)
    told = score.of(e.ResponseOutputAudioTranscriptDelta, e.ResponseOutputAudioDelta)
    assert "".join(t.delta for t in told if isinstance(t.delta, str)).strip() == STORY
    assert all(
        isinstance(after.delta, bytes) for before, after in pairwise(told) if isinstance(before.delta, str)
    )


async def test_speech_is_sent_little_before_its_time() -> None:
    score = await Stage([STORY]).play(Say(0.5, "Tell me a story"), until=16)
    first = score.at(e.ResponseOutputAudioDelta)
    sent = 0.0
    for heard in score.heard:
        if isinstance(heard.event, e.ResponseOutputAudioDelta):
            assert sent - (heard.at - score.began - first) <= Limits().ahead_seconds + 0.01
            sent += len(heard.event.delta) / 48000


# interruptions


async def test_the_caller_may_interrupt() -> None:
    stage = Stage([STORY, "Fine."])
    score = await stage.play(Say(0.5, "Tell me a story"), Say(4.0, "stop it now please"), until=9)
    started = score.at(e.InputAudioBufferSpeechStarted, 1)
    assert started - 4.0 < 0.4
    assert done(score, 0).response.status == "cancelled"
    assert done(score, 0).response.status_details == Cancelled(reason="turn_detected")
    assert done(score, 1).response.status == "completed"


async def test_history_holds_what_was_heard() -> None:
    stage = Stage([STORY, "Fine."], marks=True)
    await stage.play(Say(0.5, "Tell me a story"), Say(4.0, "stop it now please"), until=9)
    told = _messages(stage)[1]
    assert isinstance(told, OutputAudio)
    assert STORY.startswith(str(told.transcript))
    assert "once upon a time" in str(told.transcript).lower()
    assert "went on" not in str(told.transcript)


async def test_a_client_that_played_less_says_so() -> None:
    stage = Stage([STORY, "Fine."], marks=True)
    acts = [Say(0.5, "Tell me a story"), Answer(3.5, lambda item_id: truncated(item_id, 900))]
    score = await stage.play(*acts, *ask(9.5, "Go on"), until=12)
    (event,) = score.of(e.ConversationItemTruncated)
    assert event.audio_end_ms == 900
    told = _messages(stage)[1]
    assert isinstance(told, OutputAudio)
    assert told.transcript == "Once upon a", "the words keep their cut though the answer went on"


@pytest.mark.parametrize("ms", [-1, 60_000])
async def test_nothing_can_be_truncated_to_more_than_there_is(ms: int) -> None:
    stage = Stage(["Paris."])
    score = await stage.play(
        Say(0.5, "What is the capital?"), Answer(4.0, lambda item_id: truncated(item_id, ms)), until=5
    )
    assert error(score).param == "audio_end_ms"


async def test_only_spoken_answers_can_be_truncated() -> None:
    item = Message(id="mine", role="user", content=(InputText(text="x"),))
    score = await Stage().play(
        Do(0.1, e.ConversationItemCreate(item=item)), Do(0.2, truncated("mine", 10)), until=1
    )
    assert error(score).param == "item_id"


async def test_an_uh_huh_does_not_stop_us() -> None:
    stage = Stage([STORY])
    score = await stage.play(Say(0.5, "Tell me a story"), Say(4.0, "uh-huh", seconds=0.35), until=16)
    assert len(score.of(e.InputAudioBufferSpeechStarted)) == 1
    assert done(score).response.status == "completed"


async def test_a_cough_holds_the_voice_and_it_goes_on() -> None:
    stage = Stage([STORY], limits=Limits(ahead_seconds=0.1))
    calm = await stage.play(Say(0.5, "Tell me a story"), until=16)
    coughed = await Stage([STORY], limits=Limits(ahead_seconds=0.1)).play(
        Say(0.5, "Tell me a story"), Say(4.0, "", seconds=0.3), until=16
    )
    assert done(coughed).response.status == "completed"
    assert 0.1 < coughed.at(e.ResponseDone) - calm.at(e.ResponseDone) < 0.8
    sounds = [h.at for h in coughed.heard if isinstance(h.event, e.ResponseOutputAudioDelta)]
    assert max(b - a for a, b in pairwise(sounds)) > 0.2, "the voice was held"


async def test_a_caller_who_goes_on_takes_back_an_answer_not_yet_heard() -> None:
    stage = Stage(["Too soon.", "Now."], session=QUICK, thinks=2.0)
    score = await stage.play(Say(0.5, "I would like"), Say(1.9, "to know the time"), until=9)
    statuses = [event.response.status for event in score.of(e.ResponseDone)]
    assert statuses == ["cancelled", "completed"]
    assert done(score, 0).response.output == ()
    assert len([i for i in stage.chat.asked[-1].items if isinstance(i, Message) and i.role == "user"]) == 2


async def test_interruptions_can_be_switched_off() -> None:
    session = heard_as(turn_detection=ServerVad(interrupt_response=False))
    stage = Stage([STORY, "Second."], session=session)
    score = await stage.play(Say(0.5, "Tell me a story"), Say(4.0, "and another one"), until=25)
    assert [event.response.status for event in score.of(e.ResponseDone)] == ["completed", "completed"]


async def test_response_cancel_stops_us() -> None:
    score = await Stage([STORY]).play(Say(0.5, "Tell me a story"), Do(4.0, e.ResponseCancel()), until=6)
    assert done(score).response.status_details == Cancelled(reason="client_cancelled")


async def test_there_must_be_something_to_cancel() -> None:
    score = await Stage().play(Do(0.5, e.ResponseCancel(event_id="mine")), until=1)
    assert error(score).code == "response_cancel_not_active"
    assert error(score).message.startswith("Cancellation failed")
    assert error(score).event_id == "mine"


# typed turns, overrides, out of band


async def test_a_typed_question_is_answered_in_text_if_so_wished() -> None:
    score = await Stage(["It is noon."]).play(
        *ask(0.1, "What time is it?", output_modalities=("text",)), until=3
    )
    assert "".join(event.delta for event in score.of(e.ResponseOutputTextDelta)).strip() == "It is noon."
    assert not score.of(e.ResponseOutputAudioDelta)
    (message,) = done(score).response.output
    assert isinstance(message.content[0], OutputText)


async def test_one_response_may_have_its_own_instructions_and_length() -> None:
    stage = Stage(["One two three four five."])
    score = await stage.play(
        *ask(0.1, "Count.", instructions="Be brief.", max_output_tokens=3, metadata={"topic": "numbers"}),
        until=4,
    )
    assert stage.chat.asked[0].instructions == "Be brief."
    assert done(score).response.status == "incomplete"
    assert done(score).response.status_details == Incomplete(reason="max_output_tokens")
    assert done(score).response.metadata == {"topic": "numbers"}


async def test_a_response_out_of_band_leaves_no_items() -> None:
    stage = Stage(["A summary."])
    params = ResponseParams(conversation="none", output_modalities=("text",))
    score = await stage.play(Do(0.1, e.ResponseCreate(response=params)), until=3)
    assert done(score).response.conversation_id is None
    assert not score.of(e.ConversationItemAdded)
    assert score.of(e.ResponseOutputItemDone)


async def test_out_of_band_responses_run_beside_the_conversation() -> None:
    stage = Stage([STORY])
    params = ResponseParams(conversation="none", output_modalities=("text",))
    score = await stage.play(Say(0.5, "Tell me a story"), Do(4.0, e.ResponseCreate(response=params)), until=20)
    assert [event.response.status for event in score.of(e.ResponseDone)] == ["completed", "completed"]


async def test_a_response_may_be_given_its_own_input() -> None:
    stage = Stage(["Fine."])
    item = Message(id="item_mine", role="user", content=(InputText(text="The one that counts."),))
    other = Message(role="user", content=(InputText(text="Forget me."),))
    params = ResponseParams(conversation="none", input=(ItemReference(id="item_mine"),))
    await stage.play(
        Do(0.1, e.ConversationItemCreate(item=item)),
        Do(0.2, e.ConversationItemCreate(item=other)),
        Do(0.3, e.ResponseCreate(response=params)),
        until=3,
    )
    assert [i.id for i in stage.chat.asked[0].items] == ["item_mine"]


async def test_the_conversation_has_one_response_at_a_time() -> None:
    score = await Stage([STORY]).play(
        *ask(0.1, "Tell me a story"), Do(1.0, e.ResponseCreate(event_id="second")), until=20
    )
    assert error(score).code == "conversation_already_has_active_response"
    assert error(score).event_id == "second"
    assert len(score.of(e.ResponseDone)) == 1


async def test_usage_counts_words_and_sound() -> None:
    score = await Stage(["One two three."]).play(*ask(0.1, "Count."), until=4)
    usage = done(score).response.usage
    assert usage.output_token_details.text_tokens == 3
    assert usage.output_token_details.audio_tokens > 5
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


# tools


async def test_a_tool_is_called_and_its_output_answered() -> None:
    weather = FunctionTool(name="weather", description="Tells the weather.", parameters={"type": "object"})
    stage = Stage([ToolCall("weather", '{"city":"Bern"}')])
    score = await stage.play(
        Do(0.0, e.SessionUpdate(session=Session(tools=(weather,)))), Say(0.5, "How is the weather?"), until=4
    )
    (call,) = done(score).response.output
    assert isinstance(call, FunctionCall)
    assert (call.name, call.arguments, call.status) == ("weather", '{"city":"Bern"}', "completed")
    names = types(score)
    order = [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.done",
    ]
    assert sorted(order, key=names.index) == order
    assert stage.chat.asked[0].tools == (weather,)


async def test_words_may_come_before_a_call() -> None:
    stage = Stage([["Let me look.", ToolCall("weather", "{}")]])
    score = await stage.play(Say(0.5, "How is the weather?"), until=6)
    message, call = done(score).response.output
    assert isinstance(message, Message)
    assert isinstance(call, FunctionCall)


async def test_an_output_needs_its_call() -> None:
    item = FunctionCallOutput(call_id="call_unknown", output="{}")
    score = await Stage().play(Do(0.1, e.ConversationItemCreate(item=item)), until=1)
    assert error(score).param == "item.call_id"
    call = FunctionCall(name="weather", arguments="{}", call_id="call_unknown")
    score = await Stage().play(
        Do(0.1, e.ConversationItemCreate(item=call)), Do(0.2, e.ConversationItemCreate(item=item)), until=1
    )
    assert not score.of(e.ErrorEvent)


# manual turns


async def test_in_manual_turns_the_client_decides() -> None:
    stage = Stage(["Paris."], session=MANUAL)
    score = await stage.play(
        Say(0.5, "What is the capital of France?"),
        Do(2.6, e.InputAudioBufferCommit()),
        Do(2.61, e.ResponseCreate()),
        until=6,
    )
    assert not score.of(e.InputAudioBufferSpeechStarted)
    assert _last_words(stage) == "What is the capital of France?"
    assert done(score).response.status == "completed"


async def test_an_empty_buffer_cannot_be_committed() -> None:
    score = await Stage(session=MANUAL).play(Do(0.0, e.InputAudioBufferCommit()), until=0.5)
    assert error(score).code == "input_audio_buffer_commit_empty"


async def test_a_buffer_that_is_full_refuses_more_and_keeps_what_it_has() -> None:
    stage = Stage(["Fine."], session=MANUAL, limits=Limits(buffer_seconds=2))
    score = await stage.play(
        Say(0.2, "short"), Do(2.4, e.InputAudioBufferCommit()), Do(2.41, e.ResponseCreate()), until=5
    )
    full = score.of(e.ErrorEvent)
    assert {event.error.code for event in full} == {"input_audio_buffer_full"}
    assert "limits.buffer_seconds" in full[0].error.message
    assert done(score).response.status == "completed"


async def test_clearing_forgets_what_was_said() -> None:
    score = await Stage().play(Say(0.5, "never mind me"), Do(1.2, e.InputAudioBufferClear()), until=4)
    assert score.of(e.InputAudioBufferCleared)
    assert not score.of(e.ResponseCreated) or len(score.of(e.InputAudioBufferCommitted)) <= 1


async def test_silence_committed_by_hand_is_an_item_without_words() -> None:
    stage = Stage(
        ["I heard nothing."],
        session=heard_as(turn_detection=None, transcription=TranscriptionSettings(model="scripted")),
    )
    score = await stage.play(Do(1.0, e.InputAudioBufferCommit()), until=2)
    (told,) = score.of(e.TranscriptionCompleted)
    assert told.transcript == ""


async def test_nobody_speaks_for_long_and_is_asked() -> None:
    session = heard_as(turn_detection=ServerVad(idle_timeout_ms=5000))
    stage = Stage(["Are you still there?"], session=session)
    score = await stage.play(until=8)
    (timeout,) = score.of(e.InputAudioBufferTimeoutTriggered)
    assert timeout.audio_end_ms - timeout.audio_start_ms >= 5000
    assert done(score).response.status == "completed"
    assert isinstance(stage.chat.asked[0].items[-1], Message)


# when the world fails


@pytest.mark.parametrize("failure", [ProviderError("chat", "is down"), Forever()])
async def test_a_chat_model_that_fails_is_apologised_for_and_the_next_turn_works(failure: object) -> None:
    stage = Stage([failure, "Back again."], limits=Limits(first_word_seconds=3))
    await stage.engine.rehearse()
    score = await stage.play(Say(0.5, "hello there"), Say(12.0, "hello again"), until=16)
    first, second = score.of(e.ResponseDone)
    assert isinstance(first.response.status_details, Failed)
    assert "chat" in str(first.response.status_details.error.message)
    assert "sorry" in first.response.output[0].content[0].transcript
    assert score.of(e.ResponseOutputAudioDelta)
    assert second.response.status == "completed"
    assert not score.of(e.ErrorEvent), "clients end a session on an error that is not theirs"


async def test_a_chat_model_that_breaks_off_is_apologised_for() -> None:
    stage = Stage([["Well, let me see.", ProviderError("chat", "lost the thread")]])
    score = await stage.play(Say(0.5, "hello there"), until=8)
    assert done(score).response.status == "failed"
    assert "sorry" in done(score).response.output[0].content[0].transcript


async def test_a_chat_model_that_says_nothing_is_apologised_for() -> None:
    score = await Stage([""]).play(Say(0.5, "hello there"), until=6)
    assert done(score).response.status == "failed"


@pytest.mark.parametrize("failure", [ProviderError("transcriber", "is deaf"), Forever()])
async def test_a_transcriber_that_fails_is_told_apart_and_apologised_for(failure: object) -> None:
    stage = Stage(hearing_fails=failure, session=TRANSCRIBED, limits=Limits(transcribe_seconds=2))
    score = await stage.play(Say(0.5, "hello there"), until=8)
    assert score.of(e.TranscriptionFailed)
    assert done(score).response.status == "failed"
    assert not score.of(e.ErrorEvent)


@pytest.mark.parametrize("failure", [ProviderError("synthesizer", "is mute"), Forever()])
async def test_a_synthesizer_that_fails_leaves_the_words(failure: object) -> None:
    stage = Stage(["Paris."], speaking_fails=failure, limits=Limits(first_sound_seconds=2))
    score = await stage.play(Say(0.5, "hello there"), until=8)
    assert done(score).response.status == "failed"
    assert "sorry" in done(score).response.output[0].content[0].transcript


# what a client may do wrong


async def test_half_a_sample_is_refused_and_nothing_is_lost() -> None:
    score = await Stage(["Paris."]).play(
        Say(0.5, "What is the capital?"), Do(0.6, e.InputAudioBufferAppend(audio=b"abc")), until=5
    )
    assert error(score).param == "audio"
    assert done(score).response.status == "completed"


async def test_items_can_be_put_anywhere_and_taken_away() -> None:
    def said(item_id: str) -> Message:
        return Message(id=item_id, role="user", content=(InputText(text=item_id),))

    stage = Stage(["Fine."])
    score = await stage.play(
        Do(0.1, e.ConversationItemCreate(item=said("b"))),
        Do(0.2, e.ConversationItemCreate(item=said("a"), previous_item_id="root")),
        Do(0.3, e.ConversationItemCreate(item=said("c"), previous_item_id="a")),
        Do(0.4, e.ConversationItemDelete(item_id="b")),
        Do(0.5, e.ResponseCreate()),
        until=3,
    )
    assert [item.id for item in stage.chat.asked[0].items] == ["a", "c"]
    assert score.of(e.ConversationItemDeleted)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (e.ConversationItemDelete(item_id="nobody"), "item_delete_invalid_item_id"),
        (e.ConversationItemRetrieve(item_id="nobody"), "item_retrieve_invalid_item_id"),
        (
            e.ConversationItemTruncate(item_id="nobody", content_index=0, audio_end_ms=0),
            "item_truncate_invalid_item_id",
        ),
        (
            e.ConversationItemCreate(
                item=Message(role="user", content=(InputText(text="x"),)), previous_item_id="nobody"
            ),
            "invalid_value",
        ),
        (e.OutputAudioBufferClear(), "invalid_event"),
    ],
)
async def test_what_does_not_exist_is_named(event: e.ClientEvent, code: str) -> None:
    score = await Stage(["Fine."]).play(Do(0.1, event), *ask(0.2, "Still there?"), until=3)
    assert error(score).code == code
    assert done(score).response.status == "completed"


async def test_an_item_cannot_be_there_twice() -> None:
    item = Message(id="one", role="user", content=(InputText(text="x"),))
    score = await Stage().play(
        Do(0.1, e.ConversationItemCreate(item=item)), Do(0.2, e.ConversationItemCreate(item=item)), until=1
    )
    assert error(score).code == "item_create_duplicate_item_id"


async def test_an_item_of_sound_is_understood() -> None:
    stage = Stage(["Fine."], session=TRANSCRIBED)
    sound = array("h", [1000] * 24000).tobytes()
    item = Message(id="spoken", role="user", content=(InputAudio(audio=sound),))
    score = await stage.play(
        Say(9.0, "hello from a file", seconds=1.0),
        Do(0.1, e.ConversationItemCreate(item=item)),
        Do(0.2, e.ResponseCreate()),
        Do(3.0, e.ConversationItemRetrieve(item_id="spoken")),
        until=4,
    )
    assert score.of(e.TranscriptionCompleted)[0].transcript == "hello from a file"
    (retrieved,) = score.of(e.ConversationItemRetrieved)
    assert retrieved.item.content == (InputAudio(audio=sound, transcript="hello from a file"),)


async def test_a_conversation_lasts_only_so_long() -> None:
    score = await Stage(limits=Limits(conversation_minutes=0.05)).play(until=5)
    assert error(score).code == "session_expired"


async def test_the_voice_stays_once_it_was_heard() -> None:
    other = Session(audio=SessionAudio(output=OutputSettings(voice="other")))
    score = await Stage(["Paris."]).play(
        Do(0.0, e.SessionUpdate(session=other)),
        Say(0.5, "What is the capital?"),
        Do(
            4.0,
            e.SessionUpdate(session=replace(other, audio=SessionAudio(output=OutputSettings(voice="third")))),
        ),
        until=5,
    )
    assert error(score).code == "cannot_update_voice"
    assert len(score.of(e.SessionUpdated)) == 1


async def test_turning_detection_off_in_mid_turn_makes_turns_manual() -> None:
    off = Session(audio=SessionAudio(input=InputSettings(turn_detection=None)))
    score = await Stage().play(Say(0.5, "hello there you"), Do(1.0, e.SessionUpdate(session=off)), until=4)
    assert not score.of(e.InputAudioBufferCommitted)
    assert score.of(e.SessionUpdated)[0].session.audio.input.turn_detection is None


# the same play


async def test_the_same_play_gives_the_same_score() -> None:
    scores = set()
    for _ in range(5):
        stage = Stage([STORY, "Fine."], session=TRANSCRIBED)
        scores.add(str(await stage.play(Say(0.5, "Tell me a story"), Say(4.0, "stop it now please"), until=9)))
    assert len(scores) == 1


def _messages(stage: Stage) -> list[object]:
    return [i.content[0] for i in stage.chat.asked[-1].items if isinstance(i, Message)]


def _last_words(stage: Stage) -> str:
    part = _messages(stage)[-1]
    assert isinstance(part, InputAudio)
    return str(part.transcript)


# the rarer turns


async def test_the_client_may_answer_turns_itself() -> None:
    session = heard_as(turn_detection=ServerVad(create_response=False))
    stage = Stage(["Paris."], session=session)
    score = await stage.play(Say(0.5, "What is the capital?"), Do(4.0, e.ResponseCreate()), until=7)
    assert score.at(e.ResponseCreated) >= 4.0
    assert len(stage.chat.asked) == 1, "no draft either"


async def test_committing_in_mid_turn_takes_what_was_said_so_far() -> None:
    stage = Stage(["Paris."])
    score = await stage.play(
        Say(0.5, "What is the capital of France?"), Do(1.8, e.InputAudioBufferCommit()), until=4
    )
    assert score.of(e.InputAudioBufferCommitted)
    assert score.at(e.InputAudioBufferCommitted) == pytest.approx(1.8, abs=0.05)


async def test_a_turn_without_end_is_closed_at_the_limit_and_answered() -> None:
    stage = Stage(["That was long."], limits=Limits(buffer_seconds=3))
    score = await stage.play(Say(0.5, "and so on " * 20), until=9)
    assert score.at(e.InputAudioBufferSpeechStopped) < 5
    assert score.of(e.ResponseCreated)


async def test_a_certain_response_can_be_cancelled() -> None:
    params = ResponseParams(conversation="none", output_modalities=("text",))
    stage = Stage([Forever()], limits=Limits(first_word_seconds=9))
    score = await stage.play(
        Do(0.1, e.ResponseCreate(response=params)),
        Do(0.5, e.ResponseCancel(response_id="resp_other", event_id="wrong")),
        Do(0.6, e.ResponseCancel(event_id="nameless")),
        React(1.0, lambda score: e.ResponseCancel(response_id=score.of(e.ResponseCreated)[0].response.id)),
        until=3,
    )
    refused = [event.error.event_id for event in score.of(e.ErrorEvent)]
    assert refused == ["wrong", "nameless"], "without an id, it is about the conversation"
    assert done(score).response.status == "cancelled"


async def test_only_so_many_responses_run_out_of_band() -> None:
    params = ResponseParams(conversation="none", output_modalities=("text",))
    stage = Stage([Forever()], limits=Limits(out_of_band=2, first_word_seconds=9))
    score = await stage.play(*[Do(0.1 * n, e.ResponseCreate(response=params)) for n in range(3)], until=2)
    assert "limits.out_of_band" in error(score).message


async def test_a_conversation_holds_only_so_many_items() -> None:
    items = [Message(role="user", content=(InputText(text=str(n)),)) for n in range(3)]
    score = await Stage(limits=Limits(items=2)).play(
        *[Do(0.1 * n, e.ConversationItemCreate(item=item)) for n, item in enumerate(items)], until=1
    )
    assert "limits.items" in error(score).message


async def test_what_cannot_be_understood_over_our_voice_is_judged_by_its_length() -> None:
    stage = Stage([STORY, "Fine."])
    plays = [Say(0.5, "Tell me a story"), Say(4.0, "stop it now please")]
    stage.engine.crew.transcriber.fails_from = 3.5
    score = await stage.play(*plays, until=9)
    assert done(score, 0).response.status == "cancelled"
    assert score.at(e.InputAudioBufferSpeechStarted, 1) - 4.0 < 0.5


async def test_a_conversation_does_not_become_a_transcription() -> None:
    score = await Stage().play(Do(0.1, e.SessionUpdate(session=TranscriptionSession())), until=1)
    assert error(score).param == "session.type"


async def test_half_a_sample_in_an_item_is_refused() -> None:
    item = Message(role="user", content=(InputAudio(audio=b"abc"),))
    score = await Stage().play(Do(0.1, e.ConversationItemCreate(item=item)), until=1)
    assert error(score).param == "item.content[0].audio"


async def test_a_function_call_can_be_retrieved_and_not_truncated() -> None:
    stage = Stage([ToolCall("weather", "{}")])
    score = await stage.play(
        Say(0.5, "How is the weather?"),
        Do(3.0, e.ConversationItemCreate(item=FunctionCall(id="f", name="x", arguments="{}", call_id="c"))),
        Do(3.1, e.ConversationItemRetrieve(item_id="f")),
        Do(3.2, truncated("f", 0)),
        until=4,
    )
    assert score.of(e.ConversationItemRetrieved)[0].item.name == "x"
    assert error(score).param == "item_id"


async def test_a_chat_model_may_read_new_instructions_before_the_first_question() -> None:
    stage = Stage(["Fine."])
    await stage.play(Do(0.1, e.SessionUpdate(session=Session(instructions="Be brief."))), until=1)
    assert [request.instructions for request in stage.chat.prepared] == ["Be brief."]


async def test_a_chat_model_that_cannot_prepare_does_not_end_the_call() -> None:
    stage = Stage([ProviderError("chat", "is down")])
    score = await stage.play(Do(0.1, e.SessionUpdate(session=Session(instructions="Be brief."))), until=1)
    assert stage.chat.prepared
    assert not score.of(e.ErrorEvent)


async def test_a_caller_who_talks_on_drops_the_draft_before_the_next_pause() -> None:
    stage = Stage(["Yes."], thinks=1.0)
    score = await stage.play(Say(0.5, "I would like to know"), Say(1.98, "whether it rains"), until=7)
    assert len(stage.chat.asked) == 2
    assert done(score).response.status == "completed"
