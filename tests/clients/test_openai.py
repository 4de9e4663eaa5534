"""The stock `openai` client, which nobody here wrote, holds conversations with a real server."""

import re

import pytest

from clients.recorder import Recorder
from clients.talk import WEATHER, has, only, sound, talking, transcript

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def test_two_spoken_turns_a_tool_and_an_interruption(recorder: Recorder) -> None:
    async with talking(recorder.url, instructions="Answer in one word.", tools=[WEATHER]) as talk:
        talk.say("brooklyn")
        first = await talk.until(has("response.done"))
        assert only(first, "response.done").response.status == "completed"
        assert len(transcript(first).split()) == 1
        assert max(sound(first)) > 500

        at = len(talk.events)
        await talk.write("What is the weather in Paris?")
        await talk.connection.response.create()
        second = await talk.until(has("response.done"), since=at)
        call = only(second, "response.function_call_arguments.done")
        assert (call.name, call.arguments) == ("get_weather", '{"city":"Paris"}')
        at = len(talk.events)
        await talk.connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": '{"sky": "blue"}'}
        )
        await talk.connection.response.create()
        third = await talk.until(has("response.done"), since=at)
        assert "blue" in transcript(third)

        at = len(talk.events)
        await talk.connection.session.update(
            session={"type": "realtime", "instructions": "Tell a long story.", "tools": []}
        )
        talk.say("brooklyn")
        await talk.until(has("response.output_audio.delta", 15), since=at)
        talk.say("weather")
        fourth = await talk.until(has("response.done"), since=at)
        done = only(fourth, "response.done")
        assert done.response.status == "cancelled"
        assert done.response.status_details.reason == "turn_detected"
        item_id = done.response.output[0].id
        await talk.connection.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=500)
        await talk.until(has("conversation.item.truncated"), since=at)


async def test_what_is_asked_in_writing_is_answered_in_writing(recorder: Recorder) -> None:
    async with talking(recorder.url, output_modalities=["text"]) as talk:
        await talk.write("Say exactly: good morning.")
        await talk.connection.response.create()
        events = await talk.until(has("response.done"))
        assert only(events, "response.output_text.done").text == "good morning."
        usage = only(events, "response.done").response.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0


async def test_an_answer_can_be_cancelled_and_the_next_one_comes(recorder: Recorder) -> None:
    recorder.errors += ["conversation_already_has_active_response", "response_cancel_not_active"]
    async with talking(recorder.url, instructions="Tell me a long story.") as talk:
        await talk.connection.response.create()
        await talk.until(has("response.output_audio.delta", 3))
        await talk.connection.response.create(event_id="too soon")
        assert only(await talk.until(has("error")), "error").error.event_id == "too soon"
        await talk.connection.response.cancel()
        done = only(await talk.until(has("response.done")), "response.done").response
        assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
        assert done.output[0].status == "incomplete"
        at = len(talk.events)
        await talk.connection.response.cancel(event_id="too late")
        error = only(await talk.until(has("error"), since=at), "error").error
        assert error.message.startswith("Cancellation failed")
        await talk.connection.response.create(response={"instructions": "Say exactly: well then."})
        assert transcript(await talk.until(has("response.done"), since=at)) == "well then."


async def test_items_are_put_in_looked_at_cut_short_and_taken_out(recorder: Recorder) -> None:
    async with talking(recorder.url) as talk:
        items = talk.connection.conversation.item
        await talk.write("Count to twelve.")
        await talk.connection.response.create()
        answer = only(await talk.until(has("response.done")), "response.done").response.output[0]
        await talk.write("My name is Ada.", previous_item_id="root")
        await items.create(
            item={
                "type": "message",
                "id": "mine",
                "role": "system",
                "content": [{"type": "input_text", "text": "Be kind."}],
            },
            previous_item_id=answer.id,
        )
        await items.truncate(item_id=answer.id, content_index=0, audio_end_ms=1000)
        await items.retrieve(item_id=answer.id)
        events = await talk.until(has("conversation.item.retrieved"))
        kept = only(events, "conversation.item.retrieved").item.content[0].transcript
        assert kept.startswith("One, two")
        assert "twelve" not in kept

        added = [event.item for event in events if event.type == "conversation.item.added"]
        count, name = added[0], added[2]
        await items.delete(item_id=count.id)
        await items.delete(item_id="mine")
        at = len(talk.events)
        await talk.write("What is my name?")
        await talk.connection.response.create()
        assert transcript(await talk.until(has("response.done"), since=at)) == "Your name is Ada."
        await items.delete(item_id=name.id)
        at = len(talk.events)
        await talk.write("What did I say first?")
        await talk.connection.response.create()
        assert transcript(await talk.until(has("response.done"), since=at)) == "You said: What is my name?"


async def test_what_is_wrong_is_named_and_the_conversation_goes_on(recorder: Recorder) -> None:
    recorder.errors += ["invalid_value", "item_create_duplicate_item_id", "item_delete_invalid_item_id"]
    recorder.errors += ["invalid_value", "input_audio_buffer_commit_empty"]
    async with talking(
        recorder.url, output_modalities=["text"], audio={"input": {"turn_detection": None}}
    ) as talk:
        await talk.connection.send({"type": "no.such.event", "event_id": "mine"})
        assert only(await talk.until(has("error")), "error").error.event_id == "mine"
        items = talk.connection.conversation.item
        message = {"type": "message", "id": "one", "role": "user"}
        await items.create(item={**message, "content": [{"type": "input_text", "text": "Hello."}]})
        await items.create(item={**message, "content": [{"type": "input_text", "text": "Again."}]})
        await items.delete(item_id="nobody")
        await talk.write("Where?", previous_item_id="nowhere")
        await talk.connection.input_audio_buffer.clear()
        await talk.connection.input_audio_buffer.commit()
        await talk.connection.response.create(response={"instructions": "Say exactly: still here."})
        events = await talk.until(has("response.done"))
        assert "still here" in only(events, "response.output_text.done").text


async def test_a_turn_may_be_ended_by_the_client(recorder: Recorder) -> None:
    heard = {"model": "scripted", "prompt": "Heard: my name is Ada"}
    by_hand = {"turn_detection": None, "transcription": heard}
    async with talking(recorder.url, audio={"input": by_hand}) as talk:
        talk.say("weather")
        await talk.until_said()
        await talk.connection.input_audio_buffer.commit()
        events = await talk.until(has("conversation.item.input_audio_transcription.completed"))
        written = only(events, "conversation.item.input_audio_transcription.completed")
        assert written.transcript == "my name is Ada"
        await talk.connection.response.create()
        events = await talk.until(has("response.done"))
        assert transcript(events) == "I will remember that your name is Ada."
        assert not has("input_audio_buffer.speech_started")(events)
        await talk.connection.conversation.item.retrieve(item_id=written.item_id)
        events = await talk.until(has("conversation.item.retrieved"))
        assert only(events, "conversation.item.retrieved").item.content[0].transcript == "my name is Ada"


@pytest.mark.models
async def test_a_spoken_question_gets_a_spoken_answer_offline(recorder_offline: Recorder) -> None:
    """Asked aloud, answered aloud, by the models on this machine."""
    async with talking(recorder_offline.url) as talk:
        talk.say("brooklyn")
        events = await talk.until(has("response.done"), seconds=60)
        heard = only(events, "conversation.item.input_audio_transcription.completed").transcript
        assert "brooklyn bridge" in heard.lower()
        answer = transcript(events)
        assert re.search(r"\w+ \w+ \w+", answer)
        assert not re.search(r"[*#`_\[\]]", answer)
        spoken = sound(events)
        assert len(spoken) / 24000 > 1.0
        assert max(spoken) > 3000
