"""When the model is asked to go on, and when nobody may speak: by arithmetic."""

import pytest

from vivavoce.protocol import events as e
from vivavoce.protocol.responses import Response, verbatim
from vivavoce.protocol.session import InputSettings, SemanticVad, ServerVad, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT
from vivavoce.tools.turn_state import Rounds, TurnState, is_recited

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
        talk.hear(event, 10)
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
    assert line.patience(11) == 2
    assert not line.is_quiet(12.9)
    assert line.is_quiet(13)
    assert line.patience(13) is None


def test_an_engine_that_does_not_answer_by_itself_is_not_waited_for() -> None:
    assert talk(STARTED, STOPPED, session=heard_as(ServerVad(create_response=False))).is_quiet(10)
    assert talk(e.InputAudioBufferCommitted(item_id="item"), session=heard_as(None)).is_quiet(10)


def test_of_two_wishes_for_an_answer_the_second_is_too_early() -> None:
    line = talk()
    line.asked = "mine"
    assert not line.is_quiet(10)
    line.hear(failed("mine"), 10)
    assert not line.is_quiet(12), "somebody else's is about to begin"
    line.hear(begun(), 12)
    line.hear(over(), 13)
    assert line.is_quiet(13)


def test_a_wish_that_is_refused_for_another_reason_is_over() -> None:
    line = talk()
    line.asked = "mine"
    line.hear(failed("theirs"), 10)
    assert not line.is_quiet(10)
    line.hear(failed("mine", "rate_limit_exceeded"), 10)
    assert line.is_quiet(10)


def test_given_words_are_told_from_an_answer() -> None:
    assert is_recited(response(metadata=verbatim("One moment.").metadata))
    assert not is_recited(response(metadata={"topic": "weather"}))
    assert not is_recited(response())


# what is open


def rounds(*calls: str) -> Rounds:
    rounds = Rounds()
    for call in calls:
        rounds.ours("resp", call)
    return rounds


def test_the_model_goes_on_when_all_that_an_answer_has_called_has_ended() -> None:
    line = rounds("one", "two")
    line.ended("one", is_told=True)
    line.answer_ends("resp")
    assert not line.has_news
    line.ended("two", is_told=True)
    assert line.has_news
    line.answer_begins(asked=True)
    assert not line.has_news


def test_calls_that_end_before_the_answer_does_wait_for_it() -> None:
    line = rounds("one")
    line.ended("one", is_told=True)
    assert not line.has_news
    line.answer_ends("resp")
    assert line.has_news


def test_what_two_answers_have_called_is_told_apart() -> None:
    line = rounds("one")
    line.ours("other", "two")
    line.answer_ends("resp")
    line.answer_ends("other")
    line.ended("two", is_told=True)
    assert line.has_news
    line.answer_begins(asked=True)
    line.ended("one", is_told=True)
    assert line.has_news


def test_what_was_cancelled_is_no_reason_to_go_on() -> None:
    line = rounds("one")
    line.ended("one", is_told=False)
    line.answer_ends("resp")
    assert not line.has_news


def test_an_answer_that_begins_knows_what_has_arrived_and_no_more() -> None:
    line = rounds("one", "two")
    line.answer_ends("resp")
    line.ended("one", is_told=True)
    line.ended("two", is_told=True)
    line.arrived("one")
    line.answer_begins(asked=False)
    assert line.has_news, "of the second it knows nothing"
    line.arrived("two")
    line.answer_begins(asked=False)
    assert not line.has_news


def test_what_an_answer_has_told_meanwhile_is_not_told_again() -> None:
    line = rounds("quick", "slow")
    line.answer_ends("resp")
    line.ended("quick", is_told=True)
    line.arrived("quick")
    line.answer_begins(asked=False)
    line.ended("slow", is_told=False)
    assert not line.has_news


def test_if_somebody_else_was_faster_their_answer_may_know_nothing() -> None:
    line = rounds("one")
    line.answer_ends("resp")
    line.ended("one", is_told=True)
    line.answer_begins(asked=True)
    line.was_too_early()
    assert line.has_news
    line.give_up()
    assert not line.has_news


def test_the_client_has_the_last_word_while_it_owes_an_output() -> None:
    line = rounds("one")
    line.theirs("resp", "mine")
    line.answer_ends("resp")
    line.ended("one", is_told=True)
    assert not line.has_news
    line.arrived("mine")
    assert not line.has_news, "and asks for the next answer itself"


def test_a_client_that_was_faster_owes_nothing() -> None:
    line = rounds("one")
    line.theirs("resp", "mine")
    line.answer_ends("resp")
    line.arrived("mine")
    line.ended("one", is_told=True)
    assert line.has_news


def test_rounds_are_counted_until_the_caller_says_something() -> None:
    line = Rounds()
    assert line.ours("first", "one").number == line.ours("first", "two").number == 1
    assert line.ours("second", "three").number == 2
    line.caller_said()
    assert line.ours("third", "four").number == 1


def test_nothing_is_remembered_of_what_is_over() -> None:
    line = rounds("one")
    line.answer_ends("resp")
    line.ended("one", is_told=True)
    line.arrived("one")
    line.answer_begins(asked=True)
    line.answer_ends("next")
    assert line == Rounds(number=1)
