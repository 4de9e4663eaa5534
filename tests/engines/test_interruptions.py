"""Who speaks over us, and what becomes of the answer."""

from itertools import pairwise

import pytest

from engines.simulations import QUICK, STORY, ask, done, error, messages, truncated, with_input
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message, OutputAudio
from vivavoce.protocol.responses import Cancelled, ResponseParams
from vivavoce.protocol.session import SemanticVad, ServerVad
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Unresponsive

pytestmark = pytest.mark.anyio


async def test_the_caller_may_interrupt() -> None:
    simulation = Simulation([STORY, "Fine."])
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "stop it now please"), until=9
    )
    started = timeline.at(e.InputAudioBufferSpeechStarted, 1)
    assert started - 4.0 < 0.4
    assert done(timeline, 0).response.status == "cancelled"
    assert done(timeline, 0).response.status_details == Cancelled(reason="turn_detected")
    assert done(timeline, 1).response.status == "completed"


async def test_history_holds_what_was_heard() -> None:
    simulation = Simulation([STORY, "Fine."], word_timings=True)
    await simulation.run(CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "stop it now please"), until=9)
    told = messages(simulation)[1]
    assert isinstance(told, OutputAudio)
    assert STORY.startswith(str(told.transcript))
    assert "once upon a time" in str(told.transcript).lower()
    assert "went on" not in str(told.transcript)


async def test_a_client_that_played_less_says_so() -> None:
    simulation = Simulation([STORY, "Fine."], word_timings=True)
    truncate = ClientSends(3.5, lambda timeline: truncated(timeline.answer_id, 900))
    steps = [CallerSays(0.5, "Tell me a story"), truncate]
    timeline = await simulation.run(*steps, *ask(9.5, "Go on"), until=12)
    (event,) = timeline.of(e.ConversationItemTruncated)
    assert event.audio_end_ms == 900
    told = messages(simulation)[1]
    assert isinstance(told, OutputAudio)
    assert told.transcript == "Once upon a", "the words keep their cut though the answer went on"


async def test_words_that_were_cut_off_never_come_back() -> None:
    simulation = Simulation([STORY, "Fine."], word_timings=True)
    cuts = [
        ClientSends(at, lambda timeline, ms=ms: truncated(timeline.answer_id, ms))
        for at, ms in ((9, 900), (9.1, 3000))
    ]
    timeline = await simulation.run(CallerSays(0.5, "Tell me a story"), *cuts, *ask(9.5, "Go on"), until=12)
    assert len(timeline.of(e.ConversationItemTruncated)) == 2
    told = messages(simulation)[1]
    assert isinstance(told, OutputAudio)
    assert told.transcript == "Once upon a"


@pytest.mark.parametrize("ms", [-1, 60_000])
async def test_nothing_can_be_truncated_to_more_than_there_is(ms: int) -> None:
    simulation = Simulation(["Paris."])
    timeline = await simulation.run(
        CallerSays(0.5, "What is the capital?"),
        ClientSends(4.0, lambda timeline: truncated(timeline.answer_id, ms)),
        until=5,
    )
    assert error(timeline).param == "audio_end_ms"


async def test_only_spoken_answers_can_be_truncated() -> None:
    item = Message(id="mine", role="user", content=(InputText(text="x"),))
    timeline = await Simulation().run(
        ClientSends(0.1, e.ConversationItemCreate(item=item)), ClientSends(0.2, truncated("mine", 10)), until=1
    )
    assert error(timeline).param == "item_id"


async def test_an_uh_huh_does_not_stop_us() -> None:
    simulation = Simulation([STORY])
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "uh-huh", seconds=0.35), until=16
    )
    assert len(timeline.of(e.InputAudioBufferSpeechStarted)) == 1
    assert done(timeline).response.status == "completed"


async def test_a_cough_holds_the_voice_and_it_goes_on() -> None:
    simulation = Simulation([STORY], limits=Limits(audio_ahead_seconds=0.1))
    calm = await simulation.run(CallerSays(0.5, "Tell me a story"), until=16)
    coughed = await Simulation([STORY], limits=Limits(audio_ahead_seconds=0.1)).run(
        CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "", seconds=0.3), until=16
    )
    assert done(coughed).response.status == "completed"
    assert 0.1 < coughed.at(e.ResponseDone) - calm.at(e.ResponseDone) < 0.8
    sounds = [h.at for h in coughed.entries if isinstance(h.event, e.ResponseOutputAudioDelta)]
    assert max(b - a for a, b in pairwise(sounds)) > 0.2, "the voice was held"


async def test_a_client_is_told_of_a_suspicion_at_once_and_when_it_was_none() -> None:
    coughed = await Simulation([STORY]).run(
        CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "", seconds=0.3), until=16
    )
    interrupted = await Simulation([STORY]).run(
        CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "No, wait a moment"), until=9
    )
    assert [event.judgement for event in coughed.of(e.InterruptionJudged)] == ["suspected", "dismissed"]
    assert [event.judgement for event in interrupted.of(e.InterruptionJudged)] == ["suspected"]
    assert 4.0 < interrupted.at(e.InterruptionJudged) < 4.2


async def test_if_only_words_interrupt_a_long_noise_does_not() -> None:
    session = with_input(turn_detection=SemanticVad(interrupt_response="words"))
    noise, words = CallerSays(4.0, "", seconds=1.5), CallerSays(4.0, "No, wait a moment")
    statuses = []
    for sound in (noise, words):
        timeline = await Simulation([STORY, "Second."], session=session).run(
            CallerSays(0.5, "Tell me a story"), sound, until=20
        )
        statuses.append(done(timeline, 0).response.status)
    assert statuses == ["completed", "cancelled"]


async def test_a_caller_who_goes_on_takes_back_an_answer_not_yet_heard() -> None:
    simulation = Simulation(["Too soon.", "Now."], session=QUICK, chat_delay=2.0)
    timeline = await simulation.run(
        CallerSays(0.5, "I would like"), CallerSays(1.9, "to know the time"), until=9
    )
    statuses = [event.response.status for event in timeline.of(e.ResponseDone)]
    assert statuses == ["cancelled", "completed"]
    assert done(timeline, 0).response.output == ()
    assert (
        len([i for i in simulation.chat.requests[-1].items if isinstance(i, Message) and i.role == "user"]) == 2
    )


async def test_interruptions_can_be_switched_off() -> None:
    session = with_input(turn_detection=ServerVad(interrupt_response=False))
    simulation = Simulation([STORY, "Second."], session=session)
    timeline = await simulation.run(
        CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "and another one"), until=25
    )
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed", "completed"]


async def test_response_cancel_stops_us() -> None:
    timeline = await Simulation([STORY]).run(
        CallerSays(0.5, "Tell me a story"), ClientSends(4.0, e.ResponseCancel()), until=6
    )
    assert done(timeline).response.status_details == Cancelled(reason="client_cancelled")


async def test_there_must_be_something_to_cancel() -> None:
    timeline = await Simulation().run(ClientSends(0.5, e.ResponseCancel(event_id="mine")), until=1)
    assert error(timeline).code == "response_cancel_not_active"
    assert error(timeline).message.startswith("Cancellation failed")
    assert error(timeline).event_id == "mine"


async def test_a_certain_response_can_be_cancelled() -> None:
    params = ResponseParams(conversation="none", output_modalities=("text",))
    simulation = Simulation([Unresponsive()], limits=Limits(first_token_seconds=9))
    timeline = await simulation.run(
        ClientSends(0.1, e.ResponseCreate(response=params)),
        ClientSends(0.5, e.ResponseCancel(response_id="resp_other", event_id="wrong")),
        ClientSends(0.6, e.ResponseCancel(event_id="nameless")),
        ClientSends(
            1.0, lambda timeline: e.ResponseCancel(response_id=timeline.of(e.ResponseCreated)[0].response.id)
        ),
        until=3,
    )
    refused = [event.error.event_id for event in timeline.of(e.ErrorEvent)]
    assert refused == ["wrong", "nameless"], "without an id, it is about the conversation"
    assert done(timeline).response.status == "cancelled"


async def test_what_cannot_be_understood_over_our_voice_is_judged_by_its_length() -> None:
    simulation = Simulation([STORY, "Fine."])
    steps = [CallerSays(0.5, "Tell me a story"), CallerSays(4.0, "stop it now please")]
    simulation.engine.providers.transcriber.fails_from = 3.5
    timeline = await simulation.run(*steps, until=9)
    assert done(timeline, 0).response.status == "cancelled"
    assert timeline.at(e.InputAudioBufferSpeechStarted, 1) - 4.0 < 0.5


ASKED = "I have found your order. Shall I cancel it for you now?"


async def _end_of_the_answer(said: str = ASKED) -> float:
    timeline = await Simulation([said]).run(CallerSays(0.5, "Cancel my order please"), until=12)
    seconds = sum(len(event.delta) for event in timeline.of(e.ResponseOutputAudioDelta)) / 48_000
    return timeline.at(e.ResponseOutputAudioDelta) + seconds


@pytest.mark.parametrize("early", [0.8, 0.3, 0.05])
@pytest.mark.parametrize("word", ["yes", "okay", "no"])
async def test_a_yes_that_begins_before_our_question_ends_is_the_answer_to_it(early: float, word: str) -> None:
    end = await _end_of_the_answer()
    timeline = await Simulation([ASKED, "Done."]).run(
        CallerSays(0.5, "Cancel my order please"), CallerSays(end - early, word, seconds=0.35), until=18
    )
    assert timeline.at(e.InputAudioBufferSpeechStarted, 1) == pytest.approx(end - early, abs=0.5)
    assert done(timeline).response.status == "completed"
    assert len(timeline.of(e.ResponseDone)) == 2


@pytest.mark.parametrize("mark", ["? 🙂", "?!", "？"])
async def test_a_question_may_end_in_other_signs(mark: str) -> None:
    said = ASKED.replace("?", mark)
    end = await _end_of_the_answer(said)
    timeline = await Simulation([said, "Done."]).run(
        CallerSays(0.5, "Cancel my order please"), CallerSays(end - 0.3, "yes", seconds=0.35), until=18
    )
    assert len(timeline.of(e.ResponseDone)) == 2


@pytest.mark.parametrize("said", [ASKED.replace("?", "."), "Shall I? " + ASKED.replace("?", ".")])
async def test_a_nod_to_the_end_of_a_statement_stays_a_nod(said: str) -> None:
    end = await _end_of_the_answer(said)
    timeline = await Simulation([said, "Done."]).run(
        CallerSays(0.5, "Cancel my order please"), CallerSays(end - 0.6, "yes", seconds=0.35), until=18
    )
    assert len(timeline.of(e.ResponseDone)) == 1
