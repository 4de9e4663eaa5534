"""Pipecat's Realtime services, which end on nearly any error, hold conversations with a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.environments import Story, play
from clients.recorder import recording

pytestmark = [pytest.mark.real_time]

SCENARIOS = ("writes", "calls_a_tool", "speaks", "interrupts", "turns_by_hand", "edits", "calls_azure")


@pytest.fixture(scope="module")
def story(scripted: str, sounds: Path) -> Iterator[Story]:
    with recording(scripted) as recorder:
        yield play("pipecat_realtime.py", recorder, sounds, *SCENARIOS, environment="pipecat")


def test_what_is_asked_in_writing_is_answered_aloud(story: Story) -> None:
    assert story["a text turn"]["words"] == "good morning."
    assert story["a text turn"]["sound"] > 24000


def test_a_tool_is_run_and_its_answer_told(story: Story) -> None:
    assert story["a tool"]["words"] == "sky: blue over Paris."


def test_a_person_is_heard(story: Story) -> None:
    assert story["a spoken turn"]["heard"] == ["my name is Ada", "my name is Ada"]
    assert story["a spoken turn"]["words"] == "I will remember that your name is Ada."


def test_who_speaks_interrupts(story: Story) -> None:
    call = story.recorder.call("model=interrupts")
    done = call.said("server", "response.done")[0]["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")
    (cut,) = call.said("server", "conversation.item.truncated")
    assert cut["item_id"] == done["output"][0]["id"]


def test_a_turn_may_be_ended_and_an_answer_cancelled_by_the_client(story: Story) -> None:
    assert story["a turn by hand and a cancel"]["words"] == "I will remember that your name is Ada."
    first, second = story.recorder.call("model=by-hand").said("server", "response.done")
    assert first["response"]["status"] == "completed"
    assert second["response"]["status_details"]["reason"] == "client_cancelled"


def test_items_are_put_in_taken_out_and_looked_at(story: Story) -> None:
    assert story["item edits"]["kept"] == "My name is Ada."
    assert "'hello' does not exist" in story["item edits"]["gone"]
    assert story["item edits"]["words"]


def test_azures_service_is_answered_at_azures_address(story: Story) -> None:
    assert story["as Azure"]["words"] == "good evening."
    assert story.recorder.call("model=azure").path.startswith("/openai/v1/realtime")
    assert story.recorder.call("model=azure").headers["api-key"] == "none"


def test_pipecat_has_seen_no_error(story: Story) -> None:
    assert {name: step["errors"] for name, step in story.steps.items() if step["errors"]} == {}


def test_the_server_has_broken_no_rule(story: Story) -> None:
    story.recorder.errors = ["item_retrieve_invalid_item_id"]
    story.recorder.check()
