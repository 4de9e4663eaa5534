"""The stock `openai` client, of today and of the beta's days, speaks the beta dialect with a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.environments import HERE, Story, play
from clients.recorder import recording

pytestmark = [pytest.mark.real_time]

SCENARIOS = ("writes", "speaks", "turns_by_hand", "interrupts", "cancels", "edits", "calls_azure")


@pytest.fixture(scope="module", params=[HERE, "openai-1.99.9"])
def story(scripted: str, sounds: Path, request: pytest.FixtureRequest) -> Iterator[Story]:
    with recording(scripted) as recorder:
        yield play("openai_beta.py", recorder, sounds, *SCENARIOS, environment=request.param)


def test_what_is_asked_in_writing_is_answered_in_writing(story: Story) -> None:
    step = story["a text turn"]
    assert (step["modalities"], step["content"]) == (["text"], ["text"])
    assert step["words"] == "good morning."
    assert step["tokens"] is True


def test_a_tool_is_called_and_its_answer_told(story: Story) -> None:
    assert story["a tool"] == {"name": "get_weather", "arguments": '{"city":"Paris"}', "words": "sky: blue."}


def test_a_person_is_heard_and_hears(story: Story) -> None:
    step = story["a spoken turn"]
    assert step["heard"] == ["my name is Ada", "my name is Ada"]
    assert step["words"] == "I will remember that your name is Ada."
    assert step["sound"] > 48000
    assert step["content"] == ["audio"]


def test_a_turn_may_be_ended_by_the_client(story: Story) -> None:
    assert story["a turn by hand"] == {"words": "I will remember that your name is Ada.", "started": 0}


def test_who_speaks_interrupts(story: Story) -> None:
    assert story["an interruption"] == {"status": ["cancelled", "turn_detected"]}


def test_an_answer_is_cancelled_and_the_next_one_comes(story: Story) -> None:
    assert story["a cancel"] == {"status": ["cancelled", "client_cancelled"], "words": "well then."}


def test_items_are_edited_and_what_is_wrong_is_named(story: Story) -> None:
    assert story["item edits"] == {
        "places": [["name", None], ["hello", None]],
        "error": "mine",
        "words": "Your name is Ada.",
    }


def test_azures_client_is_answered_at_azures_address(story: Story) -> None:
    assert story["as Azure"] == {"words": "good evening."}
    call = story.recorder.call("/openai/realtime?")
    assert call.headers["api-key"] == "none"
    assert "deployment=gpt-4o-realtime-preview" in call.path


def test_the_server_has_spoken_the_beta_and_broken_no_rule(story: Story) -> None:
    assert all(call.beta for call in story.recorder.calls)
    story.recorder.errors = ["invalid_value"]
    story.recorder.check()
