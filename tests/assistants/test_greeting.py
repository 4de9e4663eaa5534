"""Simulations in which an assistant answers, and has the first word."""

import pytest

from assistants.support import said, staged
from engines.simulations import ask, done, user
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import VERBATIM, ResponseParams
from vivavoce.protocol.session import OutputSettings, Pcmu, Session, SessionAudio, TranscriptionSession
from vivavoce.testing.simulation import CallerSays, ClientSends
from vivavoce.tools.types import Assistant

pytestmark = pytest.mark.anyio

GREETING = "Good morning, this is the desk. What can I do for you?"
DESK = Assistant("You are the desk of a shop.", name="desk", greeting=GREETING)


async def test_the_assistant_has_the_first_word() -> None:
    simulation = staged(DESK)
    timeline = await simulation.run(until=6)
    assert said(timeline) == GREETING
    assert timeline.of(e.ResponseOutputAudioDelta)
    assert not simulation.chat.requests, "no model was asked for it"
    assert timeline.at(e.ResponseCreated) < 0.6


async def test_an_assistant_without_a_greeting_waits_for_the_caller() -> None:
    timeline = await staged(Assistant("You are the desk.")).run(until=3)
    assert not timeline.of(e.ResponseCreated)


async def test_the_greeting_is_interrupted_like_any_answer() -> None:
    timeline = await staged(DESK).run(CallerSays(1.5, "Where is my order?"), until=6)
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["cancelled", "completed"]
    assert timeline.at(e.ResponseDone) < 2.2
    assert said(timeline).endswith("Yes.")


async def test_the_model_knows_how_it_has_greeted() -> None:
    simulation = staged(DESK)
    await simulation.run(CallerSays(5, "Where is my order?"), until=8)
    assert GREETING in str(simulation.chat.requests[-1].items[0])


async def test_the_greeting_waits_until_the_client_has_said_how_it_wants_to_hear() -> None:
    wish = Session(audio=SessionAudio(output=OutputSettings(format=Pcmu(), voice="marin")))
    timeline = await staged(DESK).run(ClientSends(0.3, e.SessionUpdate(session=wish)), until=6)
    assert not timeline.of(e.ErrorEvent), "a voice that was heard could not be changed"
    created = timeline.of(e.ResponseCreated)[0].response
    assert created.audio.output.format == Pcmu()
    assert created.audio.output.voice == "marin"


async def test_a_greeting_is_written_where_answers_are() -> None:
    timeline = await staged(DESK).run(
        ClientSends(0.1, e.SessionUpdate(session=Session(output_modalities=("text",)))), until=3
    )
    assert said(timeline) == GREETING
    assert not timeline.of(e.ResponseOutputAudioDelta)


async def test_who_speaks_first_is_answered_instead() -> None:
    timeline = await staged(DESK).run(CallerSays(0.1, "Hello, where is my order?"), until=5)
    assert said(timeline) == "Yes."


async def test_who_writes_first_is_answered_instead() -> None:
    timeline = await staged(DESK).run(*ask(0.2, "Where is my order?"), until=5)
    assert said(timeline) == "Yes."
    assert not timeline.of(e.ErrorEvent)


async def test_who_tells_again_what_was_said_before_the_line_dropped_is_not_greeted_again() -> None:
    timeline = await staged(DESK).run(
        ClientSends(0.1, e.ConversationItemCreate(item=user("Where is my order?"))), until=3
    )
    assert not timeline.of(e.ResponseCreated)


async def test_a_client_that_asks_for_an_answer_gets_it_although_it_was_being_greeted() -> None:
    timeline = await staged(DESK).run(*ask(1.0, "Where is my order?"), until=6)
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["cancelled", "completed"]
    assert not timeline.of(e.ErrorEvent), "the client knew nothing of a greeting"
    assert said(timeline).endswith("Yes.")
    assert timeline.at(e.ResponseCreated, 1) < 1.2


async def test_an_answer_beside_the_conversation_does_not_cut_the_greeting_short() -> None:
    aside = e.ResponseCreate(response=ResponseParams(conversation="none", output_modalities=("text",)))
    timeline = await staged(DESK).run(ClientSends(1.0, aside), until=6)
    assert {event.response.status for event in timeline.of(e.ResponseDone)} == {"completed"}
    assert len(timeline.of(e.ResponseDone)) == 2


async def test_it_greets_once() -> None:
    updates = [ClientSends(at, e.SessionUpdate(session=Session(max_output_tokens=100))) for at in (5, 6)]
    timeline = await staged(DESK).run(*updates, until=8)
    assert len(timeline.of(e.ResponseCreated)) == 1


async def test_who_only_wants_a_transcript_is_not_greeted() -> None:
    timeline = await staged(DESK, client_session=TranscriptionSession()).run(until=3)
    assert not timeline.of(e.ResponseCreated, e.ErrorEvent)


async def test_where_the_greeting_cannot_be_said_the_conversation_goes_on() -> None:
    aside = e.ResponseCreate(response=ResponseParams(conversation="none", output_modalities=("text",)))
    simulation = staged(DESK, limits=Limits(responses_per_minute=1))
    timeline = await simulation.run(ClientSends(0.1, aside), *ask(3, "Where is my order?"), until=4)
    assert len(timeline.of(e.ResponseCreated)) == 1
    assert [event.error.code for event in timeline.of(e.ErrorEvent)] == ["rate_limit_exceeded"] * 2, (
        "hers and theirs"
    )


async def test_a_greeting_is_known_by_its_mark() -> None:
    timeline = await staged(DESK).run(until=6)
    assert done(timeline).response.metadata == {VERBATIM: GREETING}
