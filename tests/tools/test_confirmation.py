"""What a caller is asked, what their answer means, and how it is heard: without anybody waiting."""

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputAudio, InputImage, InputText, Message, OutputAudio
from vivavoce.protocol.responses import Cancelled, Response
from vivavoce.protocol.session import (
    InputSettings,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSettings,
)
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.tools.confirmation import (
    Question,
    changes_listening,
    format_question,
    listening_changes,
    spoken_language,
)
from vivavoce.tools.types import Context, Outcome, Tool, ToolError

WORDS = "Shall I cancel order 4321?"


async def nothing(arguments: str, context: Context) -> Outcome:
    raise AssertionError


def asking(confirm: str, *required: str) -> Tool:
    return Tool("cancel", "", {"type": "object", "required": list(required)}, nothing, confirm=confirm)


# the question


@pytest.mark.parametrize(
    ("confirm", "arguments", "words"),
    [
        ("Shall I cancel order {order_id}?", '{"order_id": "4321"}', WORDS),
        ("Shall I cancel order {order_id}?", '{"order_id": 4321, "reason": "late"}', WORDS),
        ("Shall I do that?", "", "Shall I do that?"),
        ("Shall I cancel {order_id} {reason}?", '{"order_id": 1, "reason": null}', "Shall I cancel 1?"),
        ("Send {this} for {{real}}?", '{"this": ["a", 1]}', 'Send ["a",1] for {real}?'),
        ("Say {text}?", '{"text": "{order_id} and {0.__class__}"}', "Say {order_id} and {0.__class__}?"),
        ("Move to {to}?", '{"to": "12 Main St. Berlin\\n\\n"}', "Move to 12 Main St, Berlin?"),
        ("Send {x}?", '{"x": "it. Just say yes! Or: no?"}', "Send it, Just say yes, Or, no?"),
    ],
)
def test_the_arguments_stand_in_the_question_and_nothing_else_comes_in(
    confirm: str, arguments: str, words: str
) -> None:
    assert format_question(asking(confirm), arguments) == words


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{}", "The argument 'id' is missing. Ask the caller, then call again."),
        ('{"id": null}', "The argument 'id' is missing."),
        ('["id"]', "The arguments are not a JSON object"),
        ('{"id"', "The arguments are not a JSON object"),
        ('{"id": "' + "a" * 81 + '"}', "An argument has 81 characters; what is asked about may have 80."),
    ],
)
def test_a_question_that_leaves_something_open_is_not_asked(arguments: str, problem: str) -> None:
    with pytest.raises(ToolError) as raised:
        format_question(asking("Shall I cancel {id}?", "id"), arguments)
    assert str(raised.value).startswith(problem)


def test_a_question_has_to_be_said_in_one_breath() -> None:
    with pytest.raises(ToolError, match="there may be 512"):
        format_question(asking("Really? " * 100), "{}")


# the answer


def begins(asked: Question) -> e.ResponseCreated:
    wish = asked.request.response
    assert wish
    return e.ResponseCreated(response=_response("in_progress", wish.metadata))


def _response(status: Any, metadata: Any = None, said: str = WORDS, details: Any = None) -> Response:
    message = Message(role="assistant", id="said", content=(OutputAudio(transcript=said),))
    return Response(
        id="resp",
        status=status,
        output=(message,),
        conversation_id="conv",
        metadata=metadata,
        status_details=details,
    )


def ends(status: Any = "completed", said: str = WORDS, details: Any = None) -> e.ResponseDone:
    return e.ResponseDone(response=_response(status, None, said, details))


INTERRUPTED = ends("cancelled", details=Cancelled(reason="turn_detected"))


def speaks(name: str = "user") -> e.InputAudioBufferSpeechStarted:
    return e.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id=name)


def put_down(name: str = "user", *parts: Any) -> e.ConversationItemAdded:
    parts = parts or (InputAudio(transcript=None),)
    return e.ConversationItemAdded(item=Message(role="user", id=name, content=parts))


def written_down(text: str, name: str = "user") -> e.TranscriptionCompleted:
    usage = e.DurationUsage(seconds=1)
    return e.TranscriptionCompleted(item_id=name, content_index=0, transcript=text, usage=usage)


UNREADABLE = e.TranscriptionFailed(
    item_id="user", content_index=0, error=e.TranscriptionError(type="server_error", message="deaf")
)
TRUNCATED = e.ConversationItemTruncated(item_id="said", content_index=0, audio_end_ms=100)
SAID = [speaks(), put_down()]


def verdict(*events: e.Event) -> str | None:
    """Put the question, let this happen, and return what it means."""
    asked = Question(WORDS)
    for event in (begins(asked), *events):
        asked.on_event(event)
    return asked.verdict


@pytest.mark.parametrize(
    ("means", "events"),
    [
        ("yes", [ends(), *SAID, written_down("Yes, please.")]),
        ("yes", [ends(), put_down("user", InputText(text="yes"))]),
        ("yes", [ends(), put_down(), written_down("yes")]),
        ("yes", [ends(), put_down("user", InputAudio(transcript="yes"))]),
        ("no", [ends(), *SAID, written_down("No!")]),
        ("unclear", [ends(), *SAID, written_down("What does that cost?")]),
        ("unclear", [ends(), *SAID, UNREADABLE]),
        (None, [ends(), *SAID]),
        (None, [ends(), *SAID, written_down("")]),
        (None, [ends(), put_down("user", InputImage(image_url="data:"))]),
        # said into the question
        (None, [speaks(), INTERRUPTED, put_down()]),
        ("unclear", [speaks(), INTERRUPTED, put_down(), written_down("yes")]),
        ("unclear", [speaks(), INTERRUPTED, put_down(), written_down("")]),
        ("no", [speaks(), INTERRUPTED, put_down(), written_down("no")]),
        ("unclear", [speaks(), ends(), put_down(), written_down("yes")]),
        ("unclear", [ends(), speaks(), TRUNCATED, put_down(), written_down("yes")]),
        ("no", [ends(), speaks(), TRUNCATED, put_down(), written_down("no")]),
        # said of something else
        (None, [ends(), written_down("yes", "earlier")]),
        (
            None,
            [
                ends(),
                e.ConversationItemAdded(item=Message(role="system", id="x", content=(InputText(text="yes"),))),
            ],
        ),
        # the question was not put, or not this one
        ("unclear", [ends("failed")]),
        ("unclear", [ends("incomplete")]),
        ("unclear", [ends("cancelled", details=Cancelled(reason="client_cancelled"))]),
        ("unclear", [ends(said="Would you like a discount?")]),
        ("unclear", [ends(said=f"{WORDS} Say yes.")]),
        # the first word counts
        ("no", [ends(), *SAID, written_down("no"), put_down("more"), written_down("yes", "more")]),
    ],
)
def test_what_an_answer_means(means: str | None, events: list[e.Event]) -> None:
    assert verdict(*events) == means


def test_what_was_said_before_the_question_is_about_something_else() -> None:
    asked = Question(WORDS)
    for event in (speaks("before"), begins(asked), ends(), put_down("before"), written_down("yes", "before")):
        asked.on_event(event)
    assert asked.verdict is None


def test_a_question_that_cannot_be_put_is_unclear() -> None:
    asked = Question(WORDS)
    details = e.ErrorDetails(
        type="invalid_request_error", message="Busy.", event_id=str(asked.request.event_id)
    )
    asked.on_event(e.ErrorEvent(error=details))
    assert asked.verdict == "unclear"


def test_another_answer_is_not_the_question() -> None:
    asked = Question(WORDS)
    asked.on_event(e.ResponseCreated(response=_response("in_progress")))
    asked.on_event(ends())
    for event in (put_down("user", InputText(text="yes")),):
        asked.on_event(event)
    assert asked.verdict is None


def test_a_message_without_words_says_nothing() -> None:
    response = replace(_response("completed"), output=())
    assert verdict(e.ResponseDone(response=response)) == "unclear"


# how it is heard


def heard_as(**settings: Any) -> Session:
    return merge(DEFAULT, Session(audio=SessionAudio(input=InputSettings(**settings))))


WORDS_TOO = TranscriptionSettings(model="scripted", language="de")


@pytest.mark.parametrize(
    "session",
    [
        DEFAULT,
        heard_as(turn_detection=SemanticVad(eagerness="low")),
        heard_as(turn_detection=ServerVad(idle_timeout_ms=6000)),
        heard_as(turn_detection=ServerVad(idle_timeout_ms=6000, create_response=False)),
        heard_as(turn_detection=None),
        heard_as(transcription=WORDS_TOO),
    ],
)
def test_while_an_answer_is_awaited_words_are_written_down_and_nothing_is_answered(session: Session) -> None:
    changes = listening_changes(session)
    assert changes
    during = merge(session, changes[0])
    settings = during.audio.input
    assert settings.transcription
    if settings.turn_detection:
        assert settings.turn_detection.create_response is False
        assert not getattr(settings.turn_detection, "idle_timeout_ms", None)
    assert listening_changes(during) is None
    assert merge(during, changes[1]) == session


def test_a_session_that_does_so_anyway_is_left_alone() -> None:
    assert listening_changes(heard_as(turn_detection=None, transcription=WORDS_TOO)) is None


def test_of_an_engine_that_tells_nothing_of_its_turns_none_are_changed() -> None:
    changes = listening_changes(Session())
    assert changes
    assert changes[0].audio.input.turn_detection is UNSET


def test_the_language_is_the_transcripts() -> None:
    assert spoken_language(heard_as(transcription=WORDS_TOO)) == "de"
    assert spoken_language(DEFAULT) is None
    assert spoken_language(None) is None


@pytest.mark.parametrize(
    ("session", "says"),
    [
        (Session(instructions="Be brief."), False),
        (Session(audio=SessionAudio(input=InputSettings(noise_reduction=None))), False),
        (Session(audio=SessionAudio(input=InputSettings(transcription=None))), True),
        (Session(audio=SessionAudio(input=InputSettings(turn_detection=SemanticVad()))), True),
    ],
)
def test_what_a_client_says_of_hearing_is_known(session: Session, says: bool) -> None:
    assert changes_listening(session) is says
