"""LiveKit's `RealtimeModel` holds conversations with a real server, without a room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.environments import Story, play
from clients.recorder import recording

pytestmark = [pytest.mark.real_time]

SCENARIOS = ("writes", "speaks", "interrupts", "cancels", "edits", "turns_by_hand", "calls_azure")


@pytest.fixture(scope="module")
def story(scripted: str, sounds: Path) -> Iterator[Story]:
    with recording(scripted) as recorder:
        yield play("livekit_realtime.py", recorder, sounds, *SCENARIOS, environment="livekit")


def test_what_is_asked_in_writing_is_answered_aloud(story: Story) -> None:
    assert story["a text turn"]["words"] == "good morning."
    assert story["a text turn"]["seconds"] > 0.5


def test_a_tool_is_called_and_its_answer_told(story: Story) -> None:
    assert story["a tool"]["call"] == ["get_weather", '{"city":"Paris"}']
    assert story["a tool"]["words"] == "The sky over Paris is blue."


def test_a_person_is_heard(story: Story) -> None:
    assert story["a spoken turn"] == {
        "heard": "my name is Ada",
        "words": "I will remember that your name is Ada.",
        "roles": ["user", "assistant"],
    }


def test_a_turn_may_be_ended_by_the_client(story: Story) -> None:
    assert story["a turn by hand"] == {"words": "I will remember that your name is Ada."}


def test_who_speaks_interrupts(story: Story) -> None:
    assert story["an interruption"] == {"status": ["cancelled", "turn_detected"]}


def test_an_answer_is_cancelled_and_the_next_one_comes(story: Story) -> None:
    assert story["a cancel"]["reason"] == "client_cancelled"
    assert story["a cancel"]["words"]


def test_the_history_can_be_edited(story: Story) -> None:
    assert story["item edits"] == {
        "order": ["Hello.", "My name is Ada.", "I live in Rome."],
        "left": ["My name is Ada.", "I live in Rome."],
    }


def test_what_is_wrong_is_named_and_the_conversation_goes_on(story: Story) -> None:
    assert story["an invalid event"] == {"recoverable": True, "words": "Your name is Ada."}


def test_azures_preview_is_answered_in_the_beta(story: Story) -> None:
    assert story["as Azure"]["words"] == "good evening."
    assert story["as Azure"]["seconds"] > 0.5
    assert story.recorder.call("/openai/realtime?").beta


def test_livekit_has_nothing_else_to_complain_about(story: Story) -> None:
    ours = ("event_id='mine'", "`api_version` parameter")  # asked for, and deprecated by LiveKit
    complaints = story["the end"]["complaints"]
    assert [one for one in complaints if not any(part in one for part in ours)] == []


def test_the_server_has_broken_no_rule(story: Story) -> None:
    story.recorder.errors = ["invalid_value"]
    story.recorder.check()
