"""Whole conversations of a client with an engine in the same process: written, spoken, interrupted."""

import anyio
import pytest

from client.plays import logged, said, sound, speak
from engines.simulations import STORY, TRANSCRIBED
from vivavoce import ProtocolError, RealtimeClient
from vivavoce.client import ConnectionChanged, Interrupted, Update, image
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputImage, InputText, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.testing.simulation import CallerSays, Simulation

pytestmark = pytest.mark.anyio


async def test_a_written_question_is_answered() -> None:
    async with RealtimeClient(Simulation(["Until eight."]).engine) as client:
        await client.send_user_message_content("How late are you open?")
        answer = await client.wait_for_next_completed_item(role="assistant")
    assert answer.words.strip() == "Until eight."
    assert (answer.type, answer.role, answer.status) == ("message", "assistant", "completed")
    assert len(answer.audio) / 48_000 == pytest.approx(len("Until eight.") * 0.06, abs=0.1)
    assert said(client) == ["user: How late are you open?", "assistant: Until eight."], (
        "it can be looked at later"
    )


async def test_items_come_one_after_the_other_as_in_the_reference_client() -> None:
    async with RealtimeClient(Simulation(["Fine, thank you."]).engine) as client:
        item_id = await client.send_user_message_content([{"type": "input_text", "text": "How are you?"}])
        asked = await client.wait_for_next_item()
        assert (asked.id, asked.role, asked.status, asked.text) == (
            item_id,
            "user",
            "completed",
            "How are you?",
        )
        begun = await client.wait_for_next_item()
        assert (begun.role, begun.status, begun.words) == ("assistant", "in_progress", "")
        answer = await client.wait_for_next_completed_item()
        assert (answer.id, answer.status, answer.transcript.strip()) == (
            begun.id,
            "completed",
            "Fine, thank you.",
        )


async def test_a_spoken_conversation_with_an_interruption_holds_what_was_heard() -> None:
    simulation = Simulation([STORY, "Fine."], session=TRANSCRIBED, word_timings=True)
    played = 0
    async with RealtimeClient(simulation.engine) as client:

        @client.on("conversation.interrupted")
        async def stop(news: Interrupted) -> None:
            if news.item is not None:
                await client.cancel_response(news.item.id, round(0.9 * 24_000))

        @client.on("conversation.updated")
        def play(news: Update) -> None:
            nonlocal played
            played += len(news.delta.audio) if news.delta else 0

        await speak(
            client,
            simulation,
            CallerSays(0.5, "Tell me a story"),
            CallerSays(4.0, "stop it now please"),
            until=9,
        )
        question, story, interruption, answer = client.items
    assert question.transcript == "Tell me a story"
    assert len(question.audio) / 48_000 == pytest.approx(0.9 + 0.3, abs=0.1), "with what comes before it"
    assert story.transcript == "Once upon a"
    assert story.status == "incomplete"
    assert len(story.audio) == 900 * 48
    assert interruption.transcript == "stop it now please"
    assert answer.transcript.strip() == "Fine."
    assert played > len(story.audio) + len(answer.audio)


async def test_that_an_answer_has_just_ended_is_no_error() -> None:
    simulation = Simulation([STORY, "Fine."], session=TRANSCRIBED)
    errors: list[e.ErrorEvent] = []
    async with RealtimeClient(simulation.engine) as client:
        client.on("error", errors.append)

        @client.on("conversation.interrupted")
        async def stop(news: Interrupted) -> None:
            if news.item is not None:
                await client.cancel_response(news.item.id, 100_000_000)

        await speak(
            client,
            simulation,
            CallerSays(0.5, "Tell me a story"),
            CallerSays(4.0, "stop it now please"),
            until=9,
        )
        story = client.items[1]
    assert errors == []
    assert story.status == "incomplete"
    assert "response.cancel" in logged(client)
    assert "conversation.item.truncated" in logged(client, "server"), "no more than there was"


async def test_the_client_may_say_when_a_turn_is_over() -> None:
    simulation = Simulation(["Paris."], session=TRANSCRIBED)
    simulation.caller.utterances = [CallerSays(0, "What is the capital of France?", seconds=1.5)]
    async with RealtimeClient(simulation.engine) as client:
        await client.update_session(turn_detection=None)
        question = sound(1000, 1.5)
        await client.append_input_audio(question[:1001])
        await client.append_input_audio(question[1001:])
        await client.create_response()
        asked = await client.wait_for_next_completed_item()
        await client.wait_for_next_completed_item(role="assistant")
        await client.create_response()
        await client.wait_for_next("response.done")
    assert logged(client)[1:] == ["input_audio_buffer.commit", "response.create", "response.create"]
    assert asked.audio == question
    entry = client.find(asked.id)
    assert entry is not None
    assert entry.transcript == "What is the capital of France?"


async def test_a_message_may_hold_words_sound_and_images() -> None:
    simulation = Simulation(["I see."], session=TRANSCRIBED)
    simulation.engine.providers.chat.supports_images = True
    simulation.caller.utterances = [CallerSays(0, "What is this?", seconds=1)]
    png = b"\x89PNG\r\n\x1a\n" + bytes(16)
    async with RealtimeClient(simulation.engine) as client:
        item_id = await client.send_user_message_content(["Look.", sound(1000, 1), image(png)])
        await client.wait_for_next_completed_item(role="assistant")
        entry = client.find(str(item_id))
    assert entry is not None
    assert entry.text == "Look."
    assert entry.audio == sound(1000, 1)
    assert entry.transcript == "What is this?"
    (shown,) = [part for part in entry.item.content if isinstance(part, InputImage)]
    assert shown.image_url.startswith("data:image/png;base64,iVBORw0K")


async def test_without_content_only_an_answer_is_asked_for() -> None:
    async with RealtimeClient(Simulation(["Hello."]).engine) as client:
        assert await client.send_user_message_content() is None
        await client.wait_for_next_completed_item()
    assert logged(client) == ["response.create"]


async def test_a_response_may_override_the_session() -> None:
    async with RealtimeClient(Simulation(["In writing."]).engine) as client:
        await client.create_response(ResponseParams(output_modalities=("text",)))
        answer = await client.wait_for_next_completed_item()
    assert (answer.text.strip(), answer.transcript) == ("In writing.", "")


async def test_an_answer_is_cancelled_without_being_cut() -> None:
    async with RealtimeClient(Simulation([STORY]).engine) as client:
        assert await client.cancel_response() is None
        assert logged(client) == [], "there was nothing to cancel"
        await client.create_response()
        await client.wait_for_next("response.output_audio.delta")
        await client.cancel_response()
        done = await client.wait_for_next("response.done")
        assert done.response.status == "cancelled"
    assert "conversation.item.truncate" not in logged(client)


@pytest.mark.parametrize("item_id", ["nobody", "mine"])
async def test_only_a_spoken_answer_can_be_cut(item_id: str) -> None:
    async with RealtimeClient(Simulation().engine) as client:
        await client.send(e.ConversationItemCreate(item=Message(id="mine", role="user", content=())))
        with pytest.raises(ProtocolError, match="is not a spoken answer"):
            await client.cancel_response(item_id, 100)


async def test_an_item_is_taken_out() -> None:
    async with RealtimeClient(Simulation().engine) as client:
        item_id = await client.send_user_message_content("Forget this.")
        await client.wait_for_next_completed_item(role="assistant")
        await client.delete_item(str(item_id))
        assert client.find(str(item_id)) is None
        with pytest.raises(ProtocolError) as refused:
            await client.delete_item(str(item_id))
    assert refused.value.code == "item_delete_invalid_item_id"
    assert said(client) == ["assistant: Yes."]


async def test_events_may_be_sent_as_dictionaries() -> None:
    async with RealtimeClient(Simulation().engine) as client:
        content = [{"type": "input_text", "text": "Be brief."}]
        item = {"type": "message", "role": "system", "content": content}
        await client.send({"type": "conversation.item.create", "item": item})
        entry = await client.wait_for_next_item()
        with pytest.raises(ProtocolError, match="'itme'"):
            await client.send({"type": "conversation.item.create", "itme": item})
    assert entry.item.content == (InputText(text="Be brief."),)


async def test_a_client_can_run_in_a_task_of_the_program() -> None:
    client = RealtimeClient(Simulation(["Hello."]).engine)
    news: list[ConnectionChanged] = []
    client.on("connection.*", news.append)
    async with anyio.create_task_group() as tasks:
        await tasks.start(client.run)
        await client.send_user_message_content("Hi.")
        await client.wait_for_next_completed_item(role="assistant")
        await client.disconnect()
    assert not client.is_connected
    assert [one.name for one in news] == ["connection.opened", "connection.closed"]
    assert news[-1].error is None
