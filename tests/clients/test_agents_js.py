"""OpenAI's Agents SDK for JavaScript, which nobody here wrote, in Node over a WebSocket.

The SDK checks every event against its schemas, and drops what does not fit without a word: `ignored` is empty.
"""

import pytest

from clients.javascript import Reports, hold, obeys, write_recordings
from clients.recorder import Recorder, recording

pytestmark = pytest.mark.real_time

SCENARIOS = (
    *("update", "text", "spoken", "tool", "interruption", "cancel", "items", "invalid"),
    *("written", "phone", "pushed", "handoff", "guardrail", "aside"),
)
PROVOKED = {"invalid": ("invalid_value", "item_retrieve_invalid_item_id", "invalid_event")}
STORY = "There was once a lighthouse at the edge of a quiet sea."


@pytest.fixture(scope="module")
def reports(relay: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """How each scenario went; all are held at once, for most of the time is spent in listening."""
    recordings = write_recordings(tmp_path_factory.mktemp("recordings"), "brooklyn", "weather")
    return hold("agents.mjs", f"{relay.websocket_url}/realtime", recordings, *SCENARIOS)


def said(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "text": text} for role, text in pairs]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_client_understands_every_event(reports: Reports, scenario: str) -> None:
    held = reports[scenario]
    assert (held.failure, held.errors, held.ignored) == (None, [], [])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_event_is_spelled_and_ordered_by_the_protocol(
    reports: Reports, relay: Recorder, scenario: str
) -> None:
    obeys(relay, scenario, PROVOKED.get(scenario, ()))


def test_a_session_begins_with_what_the_sdk_wants_and_can_be_changed(reports: Reports) -> None:
    connected, configured, updated = reports["update"].steps
    assert connected["first"] == "session.created"
    session = configured["session"]
    assert session["id"] == connected["id"]
    assert session["instructions"] == "Be brief."
    assert session["audio"]["output"]["voice"] == "ash"
    assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is True
    assert updated["session"] == {**session, "instructions": "Answer in one word."}


def test_a_written_question_is_answered(reports: Reports) -> None:
    answered = reports["text"].step("answered")
    assert answered["status"] == "completed"
    assert answered["history"] == said(("user", "Say exactly good morning."), ("assistant", "good morning."))
    assert answered["usage"] > 0


def test_an_answer_may_be_written_only(reports: Reports) -> None:
    assert reports["written"].step("answered")["history"][1]["text"] == "good morning."
    assert reports["written"].step("silent")["bytes"] == 0


def test_a_spoken_question_is_answered_aloud(reports: Reports) -> None:
    answered = reports["spoken"].step("answered")
    question, answer = answered["history"]
    assert question == {"role": "user", "text": "How old is the Brooklyn Bridge? Answer in three words."}
    assert (answer["role"], len(answer["text"].split())) == ("assistant", 3)
    assert answered["sounded"]["bytes"] > 24_000
    assert answered["sounded"]["peak"] > 3000


def test_a_telephone_is_heard_and_answered_in_its_own_format(reports: Reports) -> None:
    answered, wide = (reports[scenario].step("answered") for scenario in ("phone", "spoken"))
    assert answered["history"][0]["text"] == "Answer in three words."
    assert len(answered["history"][1]["text"].split()) == 3
    assert 0 < answered["sounded"]["bytes"] < wide["sounded"]["bytes"]


def test_whoever_pushes_to_talk_is_answered(reports: Reports) -> None:
    question, answer = reports["pushed"].step("answered")["history"]
    assert question == {"role": "user", "text": "Answer in three words."}
    assert len(answer["text"].split()) == 3


def test_a_tool_of_the_sdk_is_called_and_its_answer_said(reports: Reports) -> None:
    _, call, answer = reports["tool"].step("answered")["history"]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city":"Paris"}')
    assert call["output"] == answer["text"] == "It is sunny in Paris."


def test_one_agent_hands_over_to_another(reports: Reports) -> None:
    handed = reports["handoff"].step("handed over")
    assert handed["agent"] == "Bea"
    assert [item.get("name") for item in handed["history"]] == [None, "transfer_to_Bea", None]


def test_speech_interrupts_and_only_what_was_heard_is_kept(reports: Reports) -> None:
    interrupted = reports["interruption"].step("interrupted")
    assert interrupted["cut"]
    assert (interrupted["status"], interrupted["reason"]) == ("cancelled", "turn_detected")
    assert 300 < interrupted["audio_end_ms"] < 5000
    _, cut, question, answer = (item["text"] for item in interrupted["history"])
    assert STORY.startswith(cut)
    assert 0 < len(cut) < len(STORY)
    assert (question, answer) == ("Say exactly enough.", "enough.")


def test_an_answer_can_be_cancelled_and_the_next_one_comes(reports: Reports) -> None:
    cancelled = reports["cancel"].step("cancelled")
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "client_cancelled")
    assert STORY.startswith(cancelled["history"][1]["text"])
    assert reports["cancel"].step("answered")["history"][-1]["text"] == "thank you."


def test_a_guardrail_stops_an_answer_and_asks_for_another(reports: Reports) -> None:
    stopped = reports["guardrail"].step("stopped")
    assert (stopped["status"], stopped["reason"]) == ("cancelled", "client_cancelled")
    assert "lighthouse" not in stopped["history"][1]["text"]
    assert "Failed Guardrail Reason: No stories." in stopped["history"][2]["text"]


def test_the_history_can_be_edited_and_the_model_knows(reports: Reports) -> None:
    held = reports["items"]
    edited = [("system", "Be kind."), ("user", "Remember this. My name is Grace."), ("assistant", "I will.")]
    assert held.step("edited")["history"] == said(*edited)
    assert held.step("retrieved")["item"]["content"] == [{"type": "output_text", "text": "I will."}]
    question, answer = ("user", "What is my name?"), ("assistant", "Your name is Grace.")
    assert held.step("answered")["history"] == said(*edited, question, answer)


def test_an_answer_beside_the_conversation_leaves_it_alone(reports: Reports) -> None:
    response = reports["aside"].step("aside")["response"]
    assert (response["conversation_id"], response["metadata"]) == (None, {"topic": "title"})
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "good evening."}]
    assert reports["aside"].step("answered")["history"][-1]["text"] == "good morning."


def test_what_is_wrong_is_named_and_the_conversation_goes_on(reports: Reports) -> None:
    errors = {error["code"]: error["event_id"] for error in reports["invalid"].step("refused")["errors"]}
    assert errors == dict(zip(PROVOKED["invalid"], ("mine", "yours", None), strict=True))
    assert reports["invalid"].step("answered")["history"][-1]["text"] == "we go on."


@pytest.mark.models
def test_the_offline_models_hold_the_same_conversations(
    offline: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recordings = write_recordings(tmp_path_factory.mktemp("recordings"), "brooklyn", "weather")
    reports: Reports = {}
    with recording(offline) as relay:
        for scenario in ("spoken", "tool", "interruption"):  # one by one, for models need the whole machine
            reports |= hold("agents.mjs", f"{relay.websocket_url}/realtime", recordings, scenario)
    question, answer = reports["spoken"].step("answered")["history"]
    assert "bridge" in question["text"].lower()
    assert answer["text"]
    _, call, answer = reports["tool"].step("answered")["history"]
    assert (call["arguments"], call["output"]) == ('{"city":"Paris"}', "It is sunny in Paris.")
    assert "sunny" in answer["text"].lower()
    interrupted = reports["interruption"].step("interrupted")
    assert (interrupted["status"], interrupted["reason"]) == ("cancelled", "turn_detected")
    assert "weather" in interrupted["history"][2]["text"].lower()
    for scenario, held in reports.items():
        assert (held.errors, held.ignored) == ([], [])
        obeys(relay, scenario)
