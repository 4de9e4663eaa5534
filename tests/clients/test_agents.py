"""OpenAI's Agents SDK for Python, which parses every event strictly, holds conversations with a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.environments import Story, play
from clients.recorder import recording

pytestmark = [pytest.mark.real_time]

SCENARIOS = ("writes", "speaks", "interrupts", "cancels", "edits")


@pytest.fixture(scope="module")
def story(scripted: str, sounds: Path) -> Iterator[Story]:
    with recording(scripted) as recorder:
        yield play("openai_agents.py", recorder, sounds, *SCENARIOS, environment="agents")


def test_what_is_asked_in_writing_is_answered_aloud(story: Story) -> None:
    assert story["a text turn"]["words"] == "good morning."
    assert story["a text turn"]["sound"] > 24000
    assert story["a text turn"]["errors"] == []


def test_a_tool_is_run_and_its_answer_told(story: Story) -> None:
    assert story["a tool"]["tools"] == ["The sky over Paris is blue."]
    assert "blue" in story["a tool"]["words"]
    assert story["a tool"]["errors"] == []


def test_a_person_is_heard(story: Story) -> None:
    assert story["a spoken turn"] == {
        "heard": "my name is Ada",
        "words": "I will remember that your name is Ada.",
        "errors": [],
    }


def test_who_speaks_interrupts(story: Story) -> None:
    step = story["an interruption"]
    assert step["status"] == ["cancelled", "turn_detected"]
    is_the_answer, ms = step["truncated"]
    assert is_the_answer
    assert ms > 100
    assert step["errors"] == []


def test_an_answer_is_cancelled_and_the_next_one_comes(story: Story) -> None:
    assert story["a cancel"] == {"reason": "client_cancelled", "words": "well then.", "errors": []}


def test_items_are_put_in_taken_out_and_looked_at(story: Story) -> None:
    """The SDK puts every new item at the end of its history; that ours is in its place, the rules check."""
    assert story["item edits"] == {
        "history": ["first", "last", "between"],
        "retrieved": "My name is Ada.",
        "errors": [],
    }


def test_what_is_wrong_is_named_and_the_conversation_goes_on(story: Story) -> None:
    assert story["an invalid event"] == {
        "error": ["item_delete_invalid_item_id", "mine"],
        "words": "Your name is Ada.",
    }


def test_the_server_has_broken_no_rule(story: Story) -> None:
    story.recorder.errors = ["item_delete_invalid_item_id"]
    story.recorder.check()
