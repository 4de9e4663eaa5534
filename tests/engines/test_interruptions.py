"""Who speaks over us, and what becomes of the answer."""

from itertools import pairwise

import pytest

from engines.plays import QUICK, STORY, ask, done, error, heard_as, messages, truncated
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message, OutputAudio
from vivavoce.protocol.responses import Cancelled, ResponseParams
from vivavoce.protocol.session import ServerVad
from vivavoce.testing.stage import Answer, Do, Forever, React, Say, Stage

pytestmark = pytest.mark.anyio


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
    told = messages(stage)[1]
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
    told = messages(stage)[1]
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
    stage = Stage([STORY], limits=Limits(audio_ahead_seconds=0.1))
    calm = await stage.play(Say(0.5, "Tell me a story"), until=16)
    coughed = await Stage([STORY], limits=Limits(audio_ahead_seconds=0.1)).play(
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


async def test_a_certain_response_can_be_cancelled() -> None:
    params = ResponseParams(conversation="none", output_modalities=("text",))
    stage = Stage([Forever()], limits=Limits(first_token_seconds=9))
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


async def test_what_cannot_be_understood_over_our_voice_is_judged_by_its_length() -> None:
    stage = Stage([STORY, "Fine."])
    plays = [Say(0.5, "Tell me a story"), Say(4.0, "stop it now please")]
    stage.engine.crew.transcriber.fails_from = 3.5
    score = await stage.play(*plays, until=9)
    assert done(score, 0).response.status == "cancelled"
    assert score.at(e.InputAudioBufferSpeechStarted, 1) - 4.0 < 0.5
