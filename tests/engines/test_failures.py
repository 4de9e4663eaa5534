"""What the world and a client may do wrong, and how the conversation goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import anyio
import pytest
from msgspec.structs import replace

from engines.simulations import TRANSCRIBED, ask, done, error, truncated
from vivavoce.config.loading import load
from vivavoce.errors import ProviderError, UnknownLanguageError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, InputAudio, InputText, Message, purpose_of
from vivavoce.protocol.responses import Failed
from vivavoce.protocol.session import OutputSettings, Session, SessionAudio, TranscriptionSession
from vivavoce.providers.base import ToolCall
from vivavoce.providers.dialogue import content_text
from vivavoce.runtime import Runtime
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline, Unresponsive

pytestmark = pytest.mark.anyio


# when the world fails


@pytest.mark.parametrize("failure", [ProviderError("chat", "is down"), Unresponsive()])
async def test_a_chat_model_that_fails_is_apologised_for_and_the_next_turn_works(failure: object) -> None:
    simulation = Simulation([failure, "Back again."], limits=Limits(first_token_seconds=3))
    await simulation.engine.warm_up()
    timeline = await simulation.run(CallerSays(0.5, "hello there"), CallerSays(12.0, "hello again"), until=16)
    first, second = timeline.of(e.ResponseDone)
    assert isinstance(first.response.status_details, Failed)
    assert "chat" in str(first.response.status_details.error.message)
    assert "sorry" in first.response.output[0].content[0].transcript
    assert timeline.of(e.ResponseOutputAudioDelta)
    assert second.response.status == "completed"
    assert not timeline.of(e.ErrorEvent), "clients end a session on an error that is not theirs"


async def test_a_chat_model_that_breaks_off_is_apologised_for() -> None:
    simulation = Simulation([["Well, let me see.", ProviderError("chat", "lost the thread")]])
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=8)
    assert done(timeline).response.status == "failed"
    assert "sorry" in done(timeline).response.output[1].content[0].transcript


async def test_a_chat_model_that_says_nothing_is_apologised_for() -> None:
    timeline = await Simulation([""]).run(CallerSays(0.5, "hello there"), until=6)
    assert done(timeline).response.status == "failed"


@pytest.mark.parametrize("failure", [ProviderError("transcriber", "is deaf"), Unresponsive()])
async def test_a_transcriber_that_fails_is_told_apart_and_apologised_for(failure: object) -> None:
    simulation = Simulation(
        transcriber_failure=failure, session=TRANSCRIBED, limits=Limits(transcription_seconds=2)
    )
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=8)
    assert timeline.of(e.TranscriptionFailed)
    assert done(timeline).response.status == "failed"
    assert not timeline.of(e.ErrorEvent)


GERMAN = UnknownLanguageError(
    "transcriber", "This sounds like German.", words="I only understand English.", own_words="Nur Englisch."
)


@pytest.mark.parametrize(
    ("modality", "languages", "said"),
    [
        ("audio", ("en",), "I only understand English."),
        ("audio", None, "Nur Englisch. I only understand English."),
        ("text", ("en",), "Nur Englisch. I only understand English."),
    ],
)
async def test_a_caller_whose_language_is_unknown_is_told_so(
    modality: Literal["audio", "text"], languages: Sequence[str] | None, said: str
) -> None:
    simulation = Simulation(
        transcriber_failure=GERMAN, session=replace(TRANSCRIBED, output_modalities=(modality,))
    )
    if languages:
        simulation.engine.providers.synthesizer.languages = languages
    timeline = await simulation.run(CallerSays(0.5, "Guten Tag, wie geht es?"), until=8)
    (failed,) = timeline.of(e.TranscriptionFailed)
    assert (failed.error.code, failed.error.message) == ("language_not_supported", "This sounds like German.")
    response = done(timeline).response
    assert response.status == "completed", "what could be done was done"
    assert content_text(response.output[0].content).strip() == said
    assert purpose_of(response.output[0].id) == "apology", "no model reads it"
    assert bool(timeline.of(e.ResponseOutputAudioDelta)) == (modality == "audio")
    assert not simulation.chat.requests
    assert not timeline.of(e.ErrorEvent)


async def test_a_caller_who_goes_on_in_english_is_answered() -> None:
    simulation = Simulation(["Paris."], transcriber_failure=GERMAN, session=TRANSCRIBED)
    transcriber = simulation.engine.providers.transcriber

    def understands(timeline: Timeline) -> e.ClientEvent:
        transcriber.failure = None
        return e.SessionUpdate(session=Session())

    steps = [CallerSays(0.5, "Guten Tag"), ClientSends(6, understands), CallerSays(7, "what is the capital")]
    timeline = await simulation.run(*steps, until=12)
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed"] * 2
    (request,) = simulation.chat.requests
    assert [content_text(item.content) for item in request.items] == ["what is the capital"]


@pytest.mark.parametrize("failure", [ProviderError("synthesizer", "is mute"), Unresponsive()])
async def test_a_synthesizer_that_fails_leaves_the_words(failure: object) -> None:
    simulation = Simulation(["Paris."], synthesizer_failure=failure, limits=Limits(first_audio_seconds=2))
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=8)
    assert done(timeline).response.status == "failed"
    assert "sorry" in done(timeline).response.output[0].content[0].transcript


async def test_written_words_stay_as_they_are_when_the_rest_fails() -> None:
    written = Session(output_modalities=("text",))
    simulation = Simulation([["Hello there.", ProviderError("chat", "is down")]], client_session=written)
    timeline = await simulation.run(*ask(0.2, "Hi"), until=3)
    response = done(timeline).response
    assert response.status == "failed"
    assert "is down" in str(response.status_details)
    assert [part.text for item in response.output for part in item.content] == ["Hello there. "]
    assert not timeline.of(e.ErrorEvent)


async def test_spoken_words_are_followed_by_an_apology_of_its_own() -> None:
    simulation = Simulation([["Well now. Let me see whether", ProviderError("chat", "is down")]])
    await simulation.engine.warm_up()
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=12)
    text = "".join(delta.delta for delta in timeline.of(e.ResponseOutputAudioTranscriptDelta))
    assert "Well now." in text
    assert " I'm sorry" in text


@pytest.mark.parametrize("words", ["...", "😀", "**", "…"])
async def test_words_that_nobody_can_speak_are_no_failure(words: str) -> None:
    timeline = await Simulation([words]).run(CallerSays(0.5, "hello there"), until=6)
    assert done(timeline).response.status == "completed"
    assert done(timeline).response.output[0].content[0].transcript.strip() == words
    assert not timeline.of(e.ResponseOutputAudioDelta)


@pytest.mark.parametrize("modality", ["audio", "text"])
async def test_blank_words_before_a_call_are_no_words(modality: str) -> None:
    class Blank(str):
        def split(self, *_: object, **__: object) -> list[str]:  # type: ignore[override]
            return ["\n\n"]

    session = Session(output_modalities=(modality,))
    simulation = Simulation([[Blank(), ToolCall("look", "{}")]], client_session=session)
    timeline = await simulation.run(CallerSays(0.5, "hello there"), until=4)
    assert done(timeline).response.status == "completed"
    assert [item.name for item in done(timeline).response.output] == ["look"]


async def test_a_voice_that_was_down_at_the_start_is_tried_again_in_a_conversation() -> None:
    simulation = Simulation([ProviderError("chat", "is down")])
    synthesizer = simulation.engine.providers.synthesizer
    synthesizer.failure = ProviderError("synthesizer", "answered 500", retryable=True)
    runtime = Runtime(
        load(flags={"preset": "scripted"}, dotenv=Path("nowhere")).config, on_status=(said := []).append
    )
    await runtime.use_providers(simulation.engine.providers)
    assert runtime.ready
    assert "answered 500" in said[-1]
    assert "tries it again" in said[-1]
    with pytest.raises(ProviderError):
        await simulation.engine.warm_up()
    turns = CallerSays(0.5, "hello there"), CallerSays(12, "are you there")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heal, synthesizer)
        timeline = await simulation.run(*turns, until=20)
    first, second = timeline.of(e.ResponseDone)
    assert first.response.status == second.response.status == "failed"
    spoken = [
        entry.at - timeline.started_at
        for entry in timeline.entries
        if isinstance(entry.event, e.ResponseOutputAudioDelta)
    ]
    assert spoken
    assert min(spoken) > 12, "the apology has its sound once the voice is back"


async def heal(synthesizer: object) -> None:
    await anyio.sleep(5)
    synthesizer.failure = None  # type: ignore[attr-defined]


async def test_a_voice_that_is_configured_wrongly_stops_the_start() -> None:
    simulation = Simulation(synthesizer_failure=ProviderError("synthesizer", "answered 401"))
    runtime = Runtime(load(flags={"preset": "scripted"}, dotenv=Path("nowhere")).config)
    with pytest.raises(ProviderError, match="401"):
        await runtime.use_providers(simulation.engine.providers)


# what a client may do wrong


async def test_half_a_sample_is_refused_and_nothing_is_lost() -> None:
    timeline = await Simulation(["Paris."]).run(
        CallerSays(0.5, "What is the capital?"),
        ClientSends(0.6, e.InputAudioBufferAppend(audio=b"abc")),
        until=5,
    )
    assert error(timeline).param == "audio"
    assert done(timeline).response.status == "completed"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (e.ConversationItemDelete(item_id="nobody"), "item_delete_invalid_item_id"),
        (e.ConversationItemRetrieve(item_id="nobody"), "item_retrieve_invalid_item_id"),
        (
            e.ConversationItemTruncate(item_id="nobody", content_index=0, audio_end_ms=0),
            "item_truncate_invalid_item_id",
        ),
        (
            e.ConversationItemCreate(
                item=Message(role="user", content=(InputText(text="x"),)), previous_item_id="nobody"
            ),
            "invalid_value",
        ),
        (e.OutputAudioBufferClear(), "invalid_event"),
    ],
)
async def test_what_does_not_exist_is_named(event: e.ClientEvent, code: str) -> None:
    timeline = await Simulation(["Fine."]).run(ClientSends(0.1, event), *ask(0.2, "Still there?"), until=3)
    assert error(timeline).code == code
    assert done(timeline).response.status == "completed"


async def test_an_item_cannot_be_there_twice() -> None:
    item = Message(id="one", role="user", content=(InputText(text="x"),))
    timeline = await Simulation().run(
        ClientSends(0.1, e.ConversationItemCreate(item=item)),
        ClientSends(0.2, e.ConversationItemCreate(item=item)),
        until=1,
    )
    assert error(timeline).code == "item_create_duplicate_item_id"


async def test_a_conversation_lasts_only_so_long() -> None:
    timeline = await Simulation(limits=Limits(conversation_minutes=0.05)).run(until=5)
    assert error(timeline).code == "session_expired"


async def test_the_voice_stays_once_it_was_heard() -> None:
    other = Session(audio=SessionAudio(output=OutputSettings(voice="other")))
    timeline = await Simulation(["Paris."]).run(
        ClientSends(0.0, e.SessionUpdate(session=other)),
        CallerSays(0.5, "What is the capital?"),
        ClientSends(
            4.0,
            e.SessionUpdate(session=replace(other, audio=SessionAudio(output=OutputSettings(voice="third")))),
        ),
        until=5,
    )
    assert error(timeline).code == "cannot_update_voice"
    assert len(timeline.of(e.SessionUpdated)) == 1


async def test_a_conversation_holds_only_so_many_items() -> None:
    items = [Message(role="user", content=(InputText(text=str(n)),)) for n in range(3)]
    timeline = await Simulation(limits=Limits(items=2)).run(
        *[ClientSends(0.1 * n, e.ConversationItemCreate(item=item)) for n, item in enumerate(items)], until=1
    )
    assert "limits.items" in error(timeline).message


async def test_a_conversation_does_not_become_a_transcription() -> None:
    timeline = await Simulation().run(
        ClientSends(0.1, e.SessionUpdate(session=TranscriptionSession())), until=1
    )
    assert error(timeline).param == "session.type"


async def test_half_a_sample_in_an_item_is_refused() -> None:
    item = Message(role="user", content=(InputAudio(audio=b"abc"),))
    timeline = await Simulation().run(ClientSends(0.1, e.ConversationItemCreate(item=item)), until=1)
    assert error(timeline).param == "item.content[0].audio"


async def test_a_function_call_can_be_retrieved_and_not_truncated() -> None:
    simulation = Simulation([ToolCall("weather", "{}")])
    timeline = await simulation.run(
        CallerSays(0.5, "How is the weather?"),
        ClientSends(
            3.0, e.ConversationItemCreate(item=FunctionCall(id="f", name="x", arguments="{}", call_id="c"))
        ),
        ClientSends(3.1, e.ConversationItemRetrieve(item_id="f")),
        ClientSends(3.2, truncated("f", 0)),
        until=4,
    )
    assert timeline.of(e.ConversationItemRetrieved)[0].item.name == "x"
    assert error(timeline).param == "item_id"
