"""When the model is asked to go on, and when nobody may speak: by arithmetic."""

import pytest

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import Response, verbatim
from vivavoce.protocol.session import InputSettings, SemanticVad, ServerVad, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT
from vivavoce.tools.turn_state import CallRounds, TurnState, is_verbatim

STARTED = e.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="item")
STOPPED = e.InputAudioBufferSpeechStopped(audio_end_ms=900, item_id="item")


def response(name: str = "resp", conversation: str | None = "conv", **details: object) -> Response:
    return Response(id=name, status="in_progress", output=(), conversation_id=conversation, **details)


def begun(name: str = "resp", conversation: str | None = "conv") -> e.ResponseCreated:
    return e.ResponseCreated(response=response(name, conversation))


def over(name: str = "resp") -> e.ResponseDone:
    return e.ResponseDone(response=response(name))


def failed(event_id: str, code: str = "conversation_already_has_active_response") -> e.ErrorEvent:
    details = e.ErrorDetails(type="invalid_request_error", message="No.", code=code, event_id=event_id)
    return e.ErrorEvent(error=details)


def heard_as(turns: ServerVad | SemanticVad | None) -> Session:
    return Session(audio=SessionAudio(input=InputSettings(turn_detection=turns)))


def talk(*events: e.Event, session: Session = DEFAULT) -> TurnState:
    talk = TurnState()
    for event in (e.SessionCreated(session=session), *events):
        talk.on_event(event, 10)
    return talk


# who speaks


@pytest.mark.parametrize(
    ("events", "is_quiet"),
    [
        ([], True),
        ([begun()], False),
        ([begun(), over()], True),
        ([begun(), over("another")], False),
        ([begun("aside", None)], True),
        ([STARTED], False),
        ([STARTED, STOPPED], False),
        ([STARTED, STOPPED, begun(), over()], True),
        ([STARTED, e.InputAudioBufferCleared()], True),
        ([STARTED, e.SessionUpdated(session=DEFAULT)], False),
        ([STARTED, e.SessionUpdated(session=heard_as(None))], True),
        ([STARTED, e.SessionUpdated(session=heard_as(SemanticVad()))], True),
        ([begun(), e.EngineChanged(engine="cascade", reason="down")], True),
    ],
)
def test_nobody_is_talked_over(events: list[e.Event], is_quiet: bool) -> None:
    assert talk(*events).is_quiet(10) is is_quiet


def test_an_engine_that_answers_by_itself_goes_first_for_three_seconds() -> None:
    line = talk(STARTED, STOPPED)
    assert line.seconds_left(11) == 2
    assert not line.is_quiet(12.9)
    assert line.is_quiet(13)
    assert line.seconds_left(13) is None


def test_an_engine_that_does_not_answer_by_itself_is_not_waited_for() -> None:
    assert talk(STARTED, STOPPED, session=heard_as(ServerVad(create_response=False))).is_quiet(10)
    assert talk(e.InputAudioBufferCommitted(item_id="item"), session=heard_as(None)).is_quiet(10)


def test_of_two_wishes_for_an_answer_the_second_is_too_early() -> None:
    line = talk()
    line.requested = "mine"
    assert not line.is_quiet(10)
    line.on_event(failed("mine"), 10)
    assert not line.is_quiet(12), "somebody else's is about to begin"
    line.on_event(begun(), 12)
    line.on_event(over(), 13)
    assert line.is_quiet(13)


def test_a_wish_that_is_refused_for_another_reason_is_over() -> None:
    line = talk()
    line.requested = "mine"
    line.on_event(failed("theirs"), 10)
    assert not line.is_quiet(10)
    line.on_event(failed("mine", "rate_limit_exceeded"), 10)
    assert line.is_quiet(10)


def test_given_words_are_told_from_an_answer() -> None:
    assert is_verbatim(response(metadata=verbatim("One moment.").metadata))
    assert not is_verbatim(response(metadata={"topic": "weather"}))
    assert not is_verbatim(response())


# what is open


def rounds(*calls: str) -> CallRounds:
    rounds = CallRounds()
    for call in calls:
        rounds.add("resp", call)
    return rounds


def test_the_model_goes_on_when_all_that_an_answer_has_called_has_ended() -> None:
    line = rounds("one", "two")
    line.call_ended("one", continues=True)
    line.response_done("resp")
    assert not line.needs_response
    line.call_ended("two", continues=True)
    assert line.needs_response
    line.response_created(requested=True)
    assert not line.needs_response


def test_calls_that_end_before_the_answer_does_wait_for_it() -> None:
    line = rounds("one")
    line.call_ended("one", continues=True)
    assert not line.needs_response
    line.response_done("resp")
    assert line.needs_response


def test_what_two_answers_have_called_is_told_apart() -> None:
    line = rounds("one")
    line.add("other", "two")
    line.response_done("resp")
    line.response_done("other")
    line.call_ended("two", continues=True)
    assert line.needs_response
    line.response_created(requested=True)
    line.call_ended("one", continues=True)
    assert line.needs_response


def test_what_was_cancelled_is_no_reason_to_go_on() -> None:
    line = rounds("one")
    line.call_ended("one", continues=False)
    line.response_done("resp")
    assert not line.needs_response


def test_an_answer_that_begins_knows_what_has_arrived_and_no_more() -> None:
    line = rounds("one", "two")
    line.response_done("resp")
    line.call_ended("one", continues=True)
    line.call_ended("two", continues=True)
    line.output_added("one")
    line.response_created(requested=False)
    assert line.needs_response, "of the second it knows nothing"
    line.output_added("two")
    line.response_created(requested=False)
    assert not line.needs_response


def test_what_an_answer_has_told_meanwhile_is_not_told_again() -> None:
    line = rounds("quick", "slow")
    line.response_done("resp")
    line.call_ended("quick", continues=True)
    line.output_added("quick")
    line.response_created(requested=False)
    line.call_ended("slow", continues=False)
    assert not line.needs_response


def test_if_somebody_else_was_faster_their_answer_may_know_nothing() -> None:
    line = rounds("one")
    line.response_done("resp")
    line.call_ended("one", continues=True)
    line.response_created(requested=True)
    line.request_was_too_early()
    assert line.needs_response
    line.give_up()
    assert not line.needs_response


def test_the_client_has_the_last_word_while_it_owes_an_output() -> None:
    line = rounds("one")
    line.add_clients("resp", "mine")
    line.response_done("resp")
    line.call_ended("one", continues=True)
    assert not line.needs_response
    line.output_added("mine")
    assert not line.needs_response, "and asks for the next answer itself"


def test_a_client_that_was_faster_owes_nothing() -> None:
    line = rounds("one")
    line.add_clients("resp", "mine")
    line.response_done("resp")
    line.output_added("mine")
    line.call_ended("one", continues=True)
    assert line.needs_response


def test_rounds_are_counted_until_the_caller_says_something() -> None:
    line = CallRounds()
    assert line.add("first", "one").number == line.add("first", "two").number == 1
    assert line.add("second", "three").number == 2
    line.number = 0
    assert line.add("third", "four").number == 1


def test_nothing_is_remembered_of_what_is_over() -> None:
    line = rounds("one")
    line.response_done("resp")
    line.call_ended("one", continues=True)
    line.output_added("one")
    line.response_created(requested=True)
    line.response_done("next")
    assert line == CallRounds(number=1)
