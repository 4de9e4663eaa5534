"""Recordings in, spoken answers out, in time that jumps: one question after the other, each with its answer."""

from collections.abc import AsyncIterator

import anyio
import pytest
from msgspec.structs import replace

from engines.upstream import failing_over, remote
from tools.support import CANCEL, QUESTION, Made, desk, model
from transports.uploading import SILENCE, Answered, ask, heard, of, read, spoken, stage, switchboard
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import Response
from vivavoce.providers.base import ToolCall
from vivavoce.session.line import Line
from vivavoce.session.middleware import ObservedEvent
from vivavoce.testing.simulation import Simulation, Unresponsive
from vivavoce.transports.upload import Upload, UploadedQuestion, UploadTransport

pytestmark = pytest.mark.anyio


async def test_a_question_is_answered_with_its_transcript_and_the_words_and_sound_of_the_answer() -> None:
    (answer,) = await ask(stage("Is it late?", replies=["Ten past nine."]), spoken(1))
    assert (answer.transcript, answer.words.strip(), answer.failure) == ("Is it late?", "Ten past nine.", None)
    assert answer.seconds == pytest.approx(0.9, abs=0.1)


async def test_the_answer_comes_as_fast_as_it_is_made() -> None:
    (answer,) = await ask(stage("Hello", replies=["This sentence is rather long. " * 20]), spoken(1))
    assert answer.seconds > 30
    assert answer.done < 6


async def test_the_next_question_follows_on_the_last_answer() -> None:
    simulation = stage("I am Ada.", "Who am I?", replies=["Hello, Ada.", "You are Ada."])
    first, second = await ask(simulation, spoken(1), spoken(2))
    assert (first.words.strip(), second.words.strip()) == ("Hello, Ada.", "You are Ada.")
    assert len(simulation.chat.requests[-1].items) == 3


async def test_a_question_may_be_written() -> None:
    (answer,) = await ask(stage(replies=["Yes."]), "Is it late?")
    assert (answer.transcript, answer.words.strip()) == ("", "Yes.")
    assert answer.seconds


async def test_silence_has_no_answer_and_leaves_no_trace() -> None:
    events = list[ObservedEvent]()
    simulation = stage("Hello", "And?", replies=["First.", "Second."])
    first, silence, second = await ask(simulation, spoken(1), SILENCE, spoken(2), events=events)
    assert silence.failure
    assert (silence.failure.code, silence.words, silence.seconds) == ("no_speech", "", 0)
    assert [first.words.strip(), second.words.strip()] == ["First.", "Second."]
    assert [item.role for item in simulation.chat.requests[-1].items] == ["user", "assistant", "user"]  # type: ignore[union-attr]
    assert not of(events, e.ErrorEvent)


async def test_a_model_that_fails_is_no_answer_and_the_next_question_gets_one() -> None:
    failing = stage("Hello", "Again", replies=[ProviderError("chat", "is out of ink"), "Here."])
    first, second = await ask(failing, spoken(1), spoken(2))
    assert first.failure
    assert (first.failure.message, first.failure.code) == ("chat: is out of ink", "provider_error")
    assert first.seconds == 0, "an apology is no answer"
    assert (second.words.strip(), second.failure) == ("Here.", None)


# tools


async def test_an_answer_is_complete_when_the_tools_are_done() -> None:
    made = Made()
    simulation = desk(made.tool(), replies=[model(ToolCall("order_status", "{}"))])
    (answer,) = await ask(heard(simulation, "Where is it?"), spoken(1))
    assert (answer.words.strip(), len(made.arguments)) == ("So: on its way", 1)


@pytest.mark.parametrize(("reply", "calls", "words"), [("Yes", 1, "So: cancelled"), ("No", 0, "So: Not done")])
async def test_a_call_is_confirmed_by_the_next_recording(reply: str, calls: int, words: str) -> None:
    made = Made()
    simulation = desk(made.canceller(), replies=[model(CANCEL)])
    asked, answer = await ask(heard(simulation, "Cancel order 4321", reply), spoken(1), spoken(2))
    assert asked.words.strip() == QUESTION
    assert answer.words.strip().startswith(words)
    assert len(made.arguments) == calls


# other engines


async def test_an_upstream_server_answers_too() -> None:
    simulation = stage("I am Ada.", "Who am I?", replies=["Hello, Ada.", "You are Ada."])
    remote(simulation)
    first, silence, second = await ask(simulation, spoken(1), SILENCE, spoken(2))
    assert [first.words.strip(), second.words.strip()] == ["Hello, Ada.", "You are Ada."]
    assert silence.failure
    assert silence.failure.code == "no_speech"


class LateServer:
    """Begins each response a second after it has the transcript, as some upstream servers do."""

    async def converse(self, line: Line, session: object = None) -> None:
        number = 0
        async for event in line:
            match event:
                case e.InputAudioBufferAppend(audio=audio):
                    words = "Hello" if any(audio) else ""
                case e.InputAudioBufferCommit():
                    number += 1
                    item_id = f"item_{number}"
                    await line.send(e.InputAudioBufferCommitted(item_id=item_id, previous_item_id=None))
                    usage = e.DurationUsage(seconds=1)
                    transcribed = e.TranscriptionCompleted(
                        item_id=item_id, content_index=0, transcript=words, usage=usage
                    )
                    await line.send(transcribed)
                case e.ResponseCreate():
                    await anyio.sleep(1)
                    response = Response(
                        id=f"resp_{number}", status="in_progress", output=(), conversation_id="c"
                    )
                    await line.send(e.ResponseCreated(response=response))
                    place = e.PartPlace(response_id=response.id, item_id="x", output_index=0, content_index=0)
                    said = e.ResponseOutputAudioTranscriptDelta(**place, delta=f"Answer {number}.")
                    await line.send(said)
                    await line.send(e.ResponseDone(response=replace(response, status="completed")))


async def test_a_response_to_silence_that_begins_late_is_no_answer_to_the_next_question() -> None:
    simulation = stage("Hello")
    simulation.engine = LateServer()
    silence, answer = await ask(simulation, SILENCE, spoken(1))
    assert silence.failure
    assert (silence.words, silence.failure.code) == ("", "no_speech")
    assert answer.words == "Answer 2."


async def test_the_cascade_in_the_place_of_an_upstream_server_is_as_fast() -> None:
    simulation = stage("Hello")
    failing_over(simulation, Simulation(["This sentence is rather long. " * 20]), down=0)
    (answer,) = await ask(simulation, spoken(1))
    assert answer.seconds > 30
    assert answer.done < 10


async def test_an_upstream_server_that_cannot_be_reached_is_named() -> None:
    simulation = stage("Hello")
    remote(simulation, down=0)
    (answer,) = await ask(simulation, spoken(1))
    assert answer.failure
    assert answer.failure.code == "upstream_unreachable"
    assert "far.example.org" in answer.failure.message


# the end


async def test_who_does_not_read_any_more_is_not_answered_any_more() -> None:
    events = list[ObservedEvent]()
    simulation = stage("Hello", "And?", replies=["This is a sentence. " * 50, "Yes."])
    transport = UploadTransport(switchboard(simulation, events).connect)
    first, second = UploadedQuestion(spoken(1)), UploadedQuestion(spoken(2))

    async def questions() -> AsyncIterator[UploadedQuestion]:
        yield first
        yield second

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(transport.accept, Upload(questions()))
        with first:
            await first.receive()
        answer = await read(second)
    assert answer.words.strip() == "Yes."
    assert [done.response.status for done in of(events, e.ResponseDone)] == ["cancelled", "completed"]


async def test_a_server_that_shuts_down_says_so() -> None:
    transport = UploadTransport(switchboard(stage("Hello", replies=[Unresponsive()])).connect)
    question = UploadedQuestion(spoken(1))

    async def questions() -> AsyncIterator[UploadedQuestion]:
        yield question

    answers = list[Answered]()

    async def wait() -> None:
        answers.append(await read(question))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(transport.accept, Upload(questions()))
        await anyio.sleep(1)
        await transport.hang_up()
    assert answers[0].failure
    assert (answers[0].failure.code, "shuts down" in answers[0].failure.message) == ("call_ended", True)
