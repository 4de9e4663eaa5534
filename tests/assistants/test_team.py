import pytest

from vivavoce.assistants.team import Team, system_prompt
from vivavoce.errors import ConfigError
from vivavoce.protocol.session import FunctionTool, InputSettings, Session, SessionAudio, TranscriptionSettings
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.tools.function import tool
from vivavoce.tools.types import Assistant, Context

pytestmark = pytest.mark.anyio


@tool
def order_status(order_id: str) -> str:
    """Say where an order is."""
    return f"Order {order_id} is on its way."


BILLING = Assistant("You answer questions about bills. Be brief.", name="billing", hand_over=["the desk"])
DESK = Assistant(
    "You are the desk of a shop.", name="the desk", tools=[order_status], voice="marin", hand_over=[BILLING]
)


def heard_in(language: str | None) -> Session:
    hearing = InputSettings(transcription=TranscriptionSettings(model="any", language=language))
    return merge(DEFAULT, Session(audio=SessionAudio(input=hearing)))


def test_a_session_begins_with_all_that_its_assistant_says_and_can_do() -> None:
    session = Team(DESK).initial_session(DEFAULT)
    assert session.instructions == "You are the desk of a shop."
    assert session.audio.output.voice == "marin"  # type: ignore[union-attr]
    order, transfer = session.tools or ()
    assert isinstance(order, FunctionTool)
    assert order.name == "order_status"
    assert isinstance(transfer, FunctionTool)
    assert transfer.name == "transfer_to_billing"
    does, _, asked = str(transfer.description).partition(" For example: ")
    assert does == "Hand the caller over to billing: answer questions about bills."
    assert asked == '"please hand me over to billing", "may I speak with billing?"'


async def test_two_assistants_may_hand_over_to_each_other_by_name() -> None:
    team = Team(DESK)
    (back,) = team.tools_of(BILLING)
    assert back.name == "transfer_to_the_desk"
    outcome = await back.run("{}", Context("call_1", "sess_1", {}, say=lambda text: None))  # type: ignore[arg-type,return-value]
    assert outcome.hand_over_to is DESK
    assert outcome.output == "You are through to the desk now."


def test_what_the_house_can_do_everyone_can() -> None:
    team = Team(BILLING, shared=[order_status], members={"the desk": DESK})
    assert [each.name for each in team.tools_of(BILLING)] == ["transfer_to_the_desk", "order_status"]


def test_who_is_called_in_by_a_tool_knows_those_who_were_there() -> None:
    guest = Assistant("You are an expert.", name="expert", hand_over=["billing"])
    (transfer,) = Team(DESK).joined_by(guest).tools_of(guest)
    assert transfer.name == "transfer_to_billing"


@pytest.mark.parametrize(
    ("assistant", "words"),
    [
        (Assistant("", name="a", hand_over=["b"]), "'a' hands over to 'b', who is not there; there are: a."),
        (Assistant("", name="a", hand_over=[Assistant("", name="a")]), "Two assistants are called 'a'"),
        (Assistant("", name="a", tools=[order_status, order_status]), "two tools called 'order_status'"),
    ],
)
def test_a_staff_that_cannot_work_together_is_told_of_at_once(assistant: Assistant, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Team(assistant)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "?!"}, "needs another name"),
        ({"greeting": "Hello. " * 100}, "greeting of 700 characters; at most 512"),
        ({"language": "Hindi"}, "ISO 639-1, such as 'en' or 'hi'"),
        ({"hand_over": "billing"}, r"hand_over=\['billing'\]"),
        ({"tools": [len]}, "write @tool before the function"),
    ],
)
def test_an_assistant_that_cannot_be_is_told_of_where_it_is_written(
    settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Assistant("Be brief.", **settings)  # type: ignore[arg-type]


# languages


@pytest.mark.parametrize(
    ("instructions", "language", "instructed"),
    [
        ("Be brief.", None, "Be brief."),
        ("Be brief.", "hi", "Be brief.\n\nAnswer in Hindi."),
        ("Be brief.", "pt-BR", "Be brief.\n\nAnswer in Portuguese."),
        ("Be brief. Speak Hindi.", "hi", "Be brief. Speak Hindi."),
        ("Be brief.", "xx", "Be brief.\n\nAnswer in the language 'xx'."),
        ("", "hi", "Answer in Hindi."),
    ],
)
def test_an_assistant_is_told_its_language_once(
    instructions: str, language: str | None, instructed: str
) -> None:
    assert system_prompt(Assistant(instructions, language=language)) == instructed


def test_its_language_is_the_one_that_is_understood() -> None:
    hindi = Assistant("Be brief.", language="hi")
    session = Team(hindi).initial_session(heard_in("en"))
    assert session.audio.input.transcription == TranscriptionSettings(model="any", language="hi")  # type: ignore[union-attr]


def test_a_transcript_that_nobody_wants_is_not_begun_for_it() -> None:
    session = Team(Assistant("Be brief.", language="hi")).initial_session(DEFAULT)
    assert session.audio.input.transcription is None  # type: ignore[union-attr]
