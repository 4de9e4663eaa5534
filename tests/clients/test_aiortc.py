"""aiortc, which nobody here wrote, calls a real server by WebRTC."""

import json

import httpx
import pytest

from clients.phone import Phone, calling, has, only
from clients.talk import WEATHER

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

STOPPED = "output_audio_buffer.stopped"
RETRIEVED = "conversation.item.retrieved"


def kinds(events: list[dict[str, object]]) -> list[object]:
    return [event["type"] for event in events]


def spoken_seconds(done: dict[str, object]) -> float:
    """Return how long an answer's sound is, by its usage: 20 tokens a second."""
    usage = done["response"]["usage"]  # type: ignore[index]
    return float(usage["output_token_details"]["audio_tokens"]) / 20


async def test_a_recording_is_understood_and_the_answer_heard_to_its_end(scripted: str) -> None:
    async with calling(scripted) as phone:
        assert phone.events[0]["session"]["model"] == "gpt-realtime"
        assert phone.location.startswith("/v1/realtime/calls/rtc_")
        phone.tell("session.update", session={"type": "realtime", "instructions": "Answer in eight words."})
        await phone.until(has("session.updated"))
        phone.say("weather")
        events = await phone.until(has(STOPPED))
        heard = only(events, "conversation.item.input_audio_transcription.completed")["transcript"]
        assert heard == "I said something for 1.0 seconds."
        said = kinds(events)
        assert "response.output_audio.delta" not in said
        started, done = said.index("output_audio_buffer.started"), said.index("response.done")
        assert said.index("response.content_part.added") < started < done < said.index(STOPPED)
        seconds = spoken_seconds(only(events, "response.done"))
        assert await phone.until_silent(0.3) == pytest.approx(seconds, abs=0.25)


async def test_what_is_asked_in_writing_is_answered_in_writing(scripted: str) -> None:
    session = {"type": "realtime", "output_modalities": ["text"], "model": "mine"}
    async with calling(scripted, "/realtime/calls", session=session) as phone:
        created = phone.events[0]["session"]
        assert (created["model"], created["output_modalities"]) == ("mine", ["text"])
        phone.write("Say exactly: good morning.")
        events = await phone.until(has("response.done"))
        assert only(events, "response.output_text.done")["text"] == "good morning."
        assert not any("audio" in kind for kind in kinds(events)[1:])


async def test_a_tool_is_called_and_its_answer_spoken(scripted: str) -> None:
    async with calling(scripted, session={"type": "realtime", "tools": [WEATHER]}) as phone:
        phone.write("What is the weather in Paris?")
        call = only(await phone.until(has("response.done")), "response.function_call_arguments.done")
        assert (call["name"], call["arguments"]) == ("get_weather", '{"city":"Paris"}')
        at = len(phone.events)
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"sky": "blue"}'}
        phone.tell("conversation.item.create", item=output)
        phone.tell("response.create")
        events = await phone.until(has(STOPPED), since=at)
        assert "blue" in only(events, "response.output_audio_transcript.done")["transcript"]
        assert phone.loud()


async def test_who_is_interrupted_falls_silent_and_remembers_what_was_heard(scripted: str) -> None:
    async with calling(scripted, session={"type": "realtime", "instructions": "Count to fifty."}) as phone:
        phone.say("brooklyn")
        await phone.until(has("output_audio_buffer.started"))
        await phone.until_heard(lambda: len(phone.loud()) > 75)
        phone.say("brooklyn")
        events = await phone.until(has("conversation.item.truncated"))
        cleared = only(events, "output_audio_buffer.cleared")
        assert kinds(events).index("output_audio_buffer.cleared") > kinds(events).index("response.created")
        done = only(await phone.until(has("response.done")), "response.done")["response"]
        assert (done["id"], done["status"]) == (cleared["response_id"], "cancelled")
        truncated = only(events, "conversation.item.truncated")
        heard_for = await phone.until_silent(0.3)
        assert truncated["audio_end_ms"] / 1000 == pytest.approx(heard_for, abs=0.35)
        at = len(phone.events)
        phone.tell("conversation.item.retrieve", item_id=truncated["item_id"])
        item = only(
            await phone.until(has("conversation.item.retrieved"), since=at), "conversation.item.retrieved"
        )
        words = item["item"]["content"][0]["transcript"]
        assert words.startswith("One, two")
        assert "fifty" not in words


async def test_an_answer_that_is_only_being_played_can_be_interrupted_too(scripted: str) -> None:
    async with calling(scripted) as phone:
        phone.write("Count to ten.")
        await phone.until(has("response.done"))
        phone.say("brooklyn")
        events = await phone.until(has("input_audio_buffer.committed"))
        if "output_audio_buffer.cleared" in kinds(events):  # else it had been played before the first word
            assert only(events, "conversation.item.truncated")["audio_end_ms"] > 1000


async def test_who_may_not_interrupt_hears_the_answer_to_its_end(scripted: str) -> None:
    turns = {"type": "server_vad", "interrupt_response": False, "create_response": False}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": turns}}}
    async with calling(scripted, session=session) as phone:
        phone.write("Count to ten.")
        await phone.until(has("output_audio_buffer.started"))
        phone.say("weather")
        await phone.until(has("input_audio_buffer.speech_stopped"))
        events = await phone.until(has(STOPPED))
        assert only(events, "response.done")["response"]["status"] == "completed"


async def test_cancel_and_clear_stop_the_voice_at_once(scripted: str) -> None:
    async with calling(scripted, session={"type": "realtime", "instructions": "Count to fifty."}) as phone:
        phone.tell("response.create")
        await phone.until_heard(lambda: len(phone.loud()) > 50)
        phone.tell("response.cancel")
        phone.tell("output_audio_buffer.clear")
        await phone.until(has("output_audio_buffer.cleared"))
        events = await phone.until(has("conversation.item.truncated"))
        cut = only(events, "conversation.item.truncated")["audio_end_ms"] / 1000
        events = await phone.until(has("response.done"))
        assert only(events, "response.done")["response"]["status"] == "cancelled"
        assert await phone.until_silent(0.6) == pytest.approx(cut, abs=0.2)
        at = len(phone.heard) / 50
        phone.write("Say exactly: next.")
        await phone.until(has(STOPPED))
        await phone.until_heard(lambda: phone.loud()[-1] > at)


async def test_what_is_wrong_is_named_and_the_call_goes_on(scripted: str) -> None:
    async with calling(scripted, session={"type": "realtime", "output_modalities": ["text"]}) as phone:
        phone.errors += ["invalid_value", "invalid_event", "invalid_event", "missing_required_parameter"]
        phone.tell("no.such.event", event_id="mine")
        phone.send("{")
        phone.send(b"\x00\x01")
        phone.tell("session.update")
        phone.write("Say exactly: still here.")
        events = await phone.until(has("response.done"))
        assert [e["error"]["event_id"] for e in events if e["type"] == "error"] == ["mine", None, None, None]
        assert only(events, "response.output_text.done")["text"] == "still here."


@pytest.mark.parametrize("format", ["audio/pcmu", "audio/pcma"])
async def test_a_session_in_g711_is_still_heard_and_spoken_in_opus(scripted: str, format: str) -> None:
    audio = {"input": {"format": {"type": format}}, "output": {"format": {"type": format}}}
    session = {"type": "realtime", "instructions": "Answer in four words.", "audio": audio}
    async with calling(scripted, session=session) as phone:
        assert phone.events[0]["session"]["audio"]["output"]["format"] == {"type": format}
        phone.say("weather")
        events = await phone.until(has(STOPPED))
        heard = only(events, "conversation.item.input_audio_transcription.completed")["transcript"]
        assert heard == "I said something for 1.0 seconds."
        assert len(phone.loud()) > 20


async def test_a_call_can_be_joined_and_hung_up_from_outside(scripted: str) -> None:
    async with calling(scripted) as phone:
        call = phone.location.rpartition("/")[2]
        async with httpx.AsyncClient(base_url=scripted) as http:
            answer = await http.post(f"/realtime/calls/{call}/hangup")
            assert answer.status_code == 200
            await phone.over.wait()
            again = await http.post(f"/realtime/calls/{call}/hangup")
        assert (again.status_code, again.json()["error"]["code"]) == (404, "call_id_not_found")


async def test_a_client_from_before_ga_is_answered_in_its_own_dialect(scripted: str) -> None:
    async with calling(scripted, "/realtime?model=gpt-4o-realtime-preview") as phone:
        assert phone.events[0]["session"]["modalities"] == ["text", "audio"]
        phone.tell("session.update", session={"instructions": "Say exactly: good morning."})
        phone.tell("response.create")
        events = await phone.until(has(STOPPED))
        assert only(events, "response.audio_transcript.done")["transcript"] == "good morning."
        assert phone.loud()


async def test_who_does_not_want_to_speak_or_to_hear_need_not(scripted: str) -> None:
    for direction in ("sendonly", "recvonly"):
        async with calling(scripted, direction=direction) as phone:
            phone.write("Say exactly: good morning.")
            await phone.until(has(STOPPED))


async def test_a_channel_may_have_another_name(scripted: str) -> None:
    async with calling(scripted, channel="response") as phone:
        phone.write("Say exactly: good morning.")
        await phone.until(has(STOPPED))


async def test_an_offer_without_a_channel_is_refused(scripted: str) -> None:
    phone = Phone(channel=None)
    async with httpx.AsyncClient(base_url=scripted) as http:
        answer = await http.post(
            "/realtime/calls", content=await phone.offer(), headers={"Content-Type": "application/sdp"}
        )
    await phone.connection.close()
    assert answer.status_code == 400
    assert "data channel" in json.loads(answer.text)["error"]["message"]
