"""OpenAI's reference client in its TypeScript edition, which nobody here wrote: it speaks the beta dialect.

The client swallows what refers to something that it has not been told of: `ignored` is empty.
"""

import pytest

from clients.javascript import Reports, hold, obeys, write_recordings
from clients.recorder import Recorder

pytestmark = pytest.mark.real_time

SCENARIOS = (
    *("update", "text", "written", "spoken", "pushed"),
    *("tool", "interruption", "cancel", "items", "invalid"),
)
PROVOKED = {
    "invalid": ("invalid_value", "item_delete_invalid_item_id", "invalid_event"),
    "interruption": ("response_cancel_not_active",),  # the server has hushed before the client asks for it
}
STORY = "There was once a lighthouse at the edge of a quiet sea."


@pytest.fixture(scope="module")
def reports(relay: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """How each scenario went; all are held at once, for most of the time is spent in listening."""
    recordings = write_recordings(tmp_path_factory.mktemp("recordings"), "brooklyn", "weather")
    return hold("reference.mjs", f"{relay.websocket_url}/realtime", recordings, *SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_client_understands_every_event(reports: Reports, scenario: str) -> None:
    held = reports[scenario]
    assert (held.failure, held.ignored) == (None, [])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_event_is_spelled_and_ordered_by_the_protocol(
    reports: Reports, relay: Recorder, scenario: str
) -> None:
    obeys(relay, scenario, PROVOKED.get(scenario, ()))


def test_a_session_is_flat_and_can_be_changed(reports: Reports) -> None:
    updated = reports["update"].step("updated")
    assert updated["first"]["type"] == "session.created"
    before, after = updated["before"], updated["after"]
    assert before["id"] == updated["first"]["session"]["id"]
    assert sorted(before["modalities"]) == ["audio", "text"]
    assert before["turn_detection"] is None
    assert (before["input_audio_format"], before["output_audio_format"]) == ("pcm16", "pcm16")
    assert before["input_audio_transcription"]["model"] == "whisper-1"
    assert before["max_response_output_tokens"] == 4096
    assert after == {**before, "instructions": "Answer in one word.", "voice": "ash"}


def test_a_written_question_is_answered_aloud(reports: Reports) -> None:
    answered = reports["text"].step("answered")
    question, answer = answered["items"]
    assert (question["role"], question["text"]) == ("user", "Say exactly good morning.")
    assert (answer["role"], answer["status"]) == ("assistant", "completed")
    assert answer["transcript"] == "good morning."
    assert answer["samples"] > 12_000
    assert answered["response"]["status"] == "completed"


def test_an_answer_may_be_written_only(reports: Reports) -> None:
    answer = reports["written"].step("answered")["items"][1]
    assert (answer["text"], answer["transcript"], answer["samples"]) == ("good morning.", "", 0)


@pytest.mark.parametrize("scenario", ["spoken", "pushed"])
def test_a_spoken_question_is_answered_aloud(reports: Reports, scenario: str) -> None:
    question, answer = reports[scenario].step("answered")["items"]
    assert question["transcript"] == "Answer in three words."
    assert 24_000 < question["samples"] < 96_000  # the client has cut the question out of what it sent
    assert len(answer["transcript"].split()) == 3
    assert answer["samples"] > 12_000


def test_a_tool_is_called_and_its_answer_said(reports: Reports) -> None:
    _, call, output, answer = reports["tool"].step("answered")["items"]
    assert (call["tool"]["name"], call["tool"]["arguments"]) == ("get_weather", '{"city":"Paris"}')
    assert output["output"] == '{"sky":"blue over Paris"}'
    assert "blue over Paris" in answer["transcript"]


def test_speech_interrupts_and_the_next_answer_comes(reports: Reports) -> None:
    interrupted = reports["interruption"].step("interrupted")
    details = interrupted["response"]["status_details"]
    assert (interrupted["response"]["status"], details["reason"]) == ("cancelled", "turn_detected")
    assert interrupted["audio_end_ms"] == 1000
    _, cut, question, answer = interrupted["items"]
    assert cut["samples"] == 24_000
    assert (question["transcript"], answer["transcript"]) == ("Say exactly enough.", "enough.")


def test_an_answer_can_be_cancelled_and_the_next_one_comes(reports: Reports) -> None:
    cancelled = reports["cancel"].step("cancelled")
    response = cancelled["response"]
    assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    assert cancelled["items"][1]["samples"] == 12_000
    assert reports["cancel"].step("answered")["items"][-1]["transcript"] == "thank you."


def test_items_can_be_put_first_and_deleted_and_the_model_knows(reports: Reports) -> None:
    held = reports["items"]
    assert [item["id"] for item in held.step("edited")["items"]] == ["better"]
    assert held.step("answered")["items"][-1]["transcript"] == "Your name is Grace."


def test_what_is_wrong_is_named_and_the_conversation_goes_on(reports: Reports) -> None:
    errors = {error["code"]: error["event_id"] for error in reports["invalid"].step("refused")["errors"]}
    assert errors == dict(zip(PROVOKED["invalid"], ("mine", "yours", None), strict=True))
    assert reports["invalid"].step("answered")["items"][-1]["transcript"] == "we go on."
