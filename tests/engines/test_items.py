"""What a client does with items: put in, taken out while they are said, cut short, shown images."""

import base64
from dataclasses import replace

import pytest
from msgspec import UNSET

from engines.simulations import STORY, ask, done, errors, truncated, types, user
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.protocol.responses import Cancelled, ResponseParams
from vivavoce.protocol.session import InputSettings, Session, SessionAudio, TranscriptionSettings
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.providers.base import ToolCall
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

pytestmark = pytest.mark.anyio

TEXT = {"output_modalities": ("text",)}


def put(at: float, item: object, after: object = UNSET, event_id: str = "mine") -> ClientSends:
    event = e.ConversationItemCreate(item=item, previous_item_id=after, event_id=event_id)  # type: ignore[arg-type]
    return ClientSends(at, event)


def delete(item_id: str) -> e.ConversationItemDelete:
    return e.ConversationItemDelete(item_id=item_id)


def truncate(ms: int, part: int = 0) -> object:
    return lambda timeline: truncated(timeline.answer_id, ms, part)


def order(timeline: Timeline) -> list[str]:
    """The conversation as a client keeps it, which throws on an unknown neighbour."""
    items: list[str] = []
    for event in timeline.of(e.ConversationItemAdded, e.ConversationItemDeleted):
        if isinstance(event, e.ConversationItemDeleted):
            items.remove(event.item_id)
            continue
        previous = event.previous_item_id
        items.insert(0 if previous is None else items.index(previous) + 1, str(event.item.id))
    return items


# put in


async def test_items_of_every_kind_may_be_put_anywhere() -> None:
    call = FunctionCall(id="call", name="look", arguments="{}", call_id="c1")
    output = FunctionCallOutput(id="output", call_id="c1", output="{}")
    answer = Message(id="answer", role="assistant", content=(OutputText(text="Well."),))
    system = Message(id="system", role="system", content=(InputText(text="Be kind."),))
    timeline = await Simulation(["Fine."]).run(
        put(0.1, user("One", "one")),
        put(0.2, system, "root"),
        put(0.3, call, "one"),
        put(0.4, output, "call"),
        put(0.5, answer),
        put(0.6, user("Two", "two"), None),
        ClientSends(0.7, e.ResponseCreate(response=ResponseParams(**TEXT))),
        until=2,
    )
    assert order(timeline)[:-1] == ["system", "one", "call", "output", "answer", "two"]
    added = timeline.of(e.ConversationItemAdded)[0].item
    assert (added.object, added.status) == ("realtime.item", "completed")
    assert len(timeline.of(e.ConversationItemDone)) == 7
    assert done(timeline).response.status == "completed"


async def test_a_status_that_a_client_gives_has_no_effect() -> None:
    item = Message(role="user", status="incomplete", content=(InputText(text="Hi"),))
    timeline = await Simulation().run(put(0.1, item), until=0.5)
    assert [event.item.status for event in timeline.of(e.ConversationItemAdded, e.ConversationItemDone)] == [
        "completed"
    ] * 2


async def test_a_call_without_an_id_is_given_one() -> None:
    timeline = await Simulation().run(put(0.1, FunctionCall(name="look", arguments="{}")), until=0.5)
    assert timeline.of(e.ConversationItemAdded)[0].item.call_id.startswith("call_")


@pytest.mark.parametrize(
    ("item", "after", "wrong"),
    [
        (user("x", "new"), "nobody", ("invalid_value", "previous_item_id")),
        (user("x", "new"), "new", ("invalid_value", "previous_item_id")),
        (user("x", "one"), UNSET, ("item_create_duplicate_item_id", "item.id")),
        (user("x", "root"), UNSET, ("invalid_value", "item.id")),
        (FunctionCallOutput(id="new", call_id="c9", output=""), UNSET, ("invalid_value", "item.call_id")),
    ],
)
async def test_what_cannot_be_put_in_is_named_and_nothing_is_added(
    item: object, after: object, wrong: tuple[str, str]
) -> None:
    timeline = await Simulation().run(put(0.1, user("x", "one")), put(0.2, item, after), until=1)
    assert errors(timeline) == [wrong]
    assert timeline.of(e.ErrorEvent)[0].error.event_id == "mine"
    assert order(timeline) == ["one"]
    assert len(timeline.of(e.ConversationItemDone)) == 1


async def test_an_item_may_have_the_id_of_one_that_is_gone() -> None:
    timeline = await Simulation().run(
        put(0.1, user("x", "one")), ClientSends(0.2, delete("one")), put(0.3, user("y", "one")), until=1
    )
    assert not errors(timeline)
    assert order(timeline) == ["one"]


async def test_items_may_be_put_in_while_we_speak() -> None:
    timeline = await Simulation([STORY]).run(
        *ask(0.1, "Tell me"), put(2.0, user("And?", "and")), put(2.1, user("First", "first"), "root"), until=16
    )
    assert not errors(timeline)
    assert order(timeline)[0] == "first"
    assert order(timeline)[-1] == "and"
    assert done(timeline).response.status == "completed"


# taken out


@pytest.mark.parametrize("modality", ["audio", "text"])
@pytest.mark.parametrize("at", [1.6, 2.0, 3.0])
async def test_nothing_is_told_of_an_item_after_it_was_deleted_while_we_said_it(
    modality: str, at: float
) -> None:
    simulation = Simulation([STORY], word_delay=0.2)
    timeline = await simulation.run(
        *ask(0.1, "Tell me", output_modalities=(modality,)),
        ClientSends(at, e.ConversationItemRetrieve(item_id="nobody")),
        ClientSends(at, lambda timeline: delete(timeline.answer_id)),
        *ask(8.0, "Still there?", **TEXT),
        until=20,
    )
    gone = timeline.of(e.ConversationItemDeleted)[0].item_id
    after = timeline.events[timeline.events.index(timeline.of(e.ConversationItemDeleted)[0]) + 1 :]
    assert not [event for event in after if gone in str(event) and not isinstance(event, e.ClientEvent)]
    first, second = timeline.of(e.ResponseDone)
    assert first.response.status_details == Cancelled(reason="client_cancelled")
    assert second.response.status == "completed"
    assert gone not in [item.id for item in simulation.chat.requests[-1].items]


async def test_an_answer_that_was_said_can_be_deleted_while_another_is_said() -> None:
    timeline = await Simulation(["Paris.", STORY]).run(
        *ask(0.1, "Where?"),
        *ask(4.0, "Tell me"),
        ClientSends(5.0, lambda timeline: delete(timeline.answer_id)),
        until=20,
    )
    assert not errors(timeline)
    assert [event.response.status for event in timeline.of(e.ResponseDone)] == ["completed"] * 2


async def test_words_of_a_deleted_item_are_told_to_nobody() -> None:
    listening = InputSettings(transcription=TranscriptionSettings(model="scripted"))
    simulation = Simulation(
        ["Fine."], session=merge(DEFAULT, Session(audio=SessionAudio(input=listening))), transcriber_delay=2.0
    )
    sound = (1000).to_bytes(2, "little") * 24_000
    item = Message(id="spoken", role="user", content=(InputAudio(audio=sound),))
    timeline = await simulation.run(
        CallerSays(20.0, "hello from a file", seconds=1.0),
        put(0.1, item),
        ClientSends(0.5, delete("spoken")),
        *ask(0.6, "Anything?", **TEXT),
        until=5,
    )
    assert not timeline.of(e.TranscriptionCompleted, e.TranscriptionDelta)
    assert done(timeline).response.status == "completed"


async def test_a_call_can_be_deleted_and_then_has_no_output() -> None:
    simulation = Simulation([ToolCall("look", "{}")])
    timeline = await simulation.run(
        *ask(0.1, "Look"),
        ClientSends(2.0, lambda timeline: delete(done(timeline).response.output[0].id)),
        ClientSends(
            2.1,
            lambda timeline: e.ConversationItemCreate(
                item=FunctionCallOutput(call_id=done(timeline).response.output[0].call_id, output="{}")
            ),
        ),
        until=3,
    )
    assert errors(timeline) == [("invalid_value", "item.call_id")]


# cut short


async def test_an_answer_is_truncated_before_it_is_cancelled_as_agents_do() -> None:
    simulation = Simulation([STORY], word_timings=True)
    timeline = await simulation.run(
        *ask(0.1, "Tell me"),
        ClientSends(2.0, truncate(900)),
        ClientSends(2.0, e.ResponseCancel()),
        *ask(4.0, "Go on"),
        until=6,
    )
    assert not errors(timeline)
    names = types(timeline)
    assert names.index("conversation.item.truncated") < names.index("response.output_audio.done")
    closed = timeline.of(e.ResponseOutputAudioTranscriptDone)[0].transcript
    told = timeline.of(e.ResponseOutputAudioTranscriptDelta)
    assert closed == "".join(d.delta for d in told if d.item_id == timeline.answer_id)
    (kept,) = [
        i for i in simulation.chat.requests[-1].items if isinstance(i, Message) and i.role == "assistant"
    ]
    assert kept.content == (OutputAudio(transcript="Once upon a"),)


async def test_an_answer_can_be_truncated_long_after_it_was_heard_and_again() -> None:
    simulation = Simulation(["Paris, of course.", "Fine."], word_timings=True)
    timeline = await simulation.run(
        *ask(0.1, "Where?"),
        ClientSends(5.0, truncate(600)),
        ClientSends(5.1, truncate(0)),
        *ask(6.0, "Go on"),
        until=8,
    )
    assert [event.audio_end_ms for event in timeline.of(e.ConversationItemTruncated)] == [600, 0]
    assert [item.role for item in simulation.chat.requests[-1].items] == ["user", "user"], (
        "nothing of it was heard"
    )


async def test_what_has_no_sound_cannot_be_truncated() -> None:
    timeline = await Simulation(["Paris."]).run(
        *ask(0.1, "Where?", **TEXT),
        ClientSends(2.0, truncate(0)),
        *ask(2.5, "Where?"),
        ClientSends(5.0, lambda timeline: truncated(done(timeline).response.output[0].id, 0, part=1)),
        until=6,
    )
    assert errors(timeline) == [("invalid_value", "item_id"), ("invalid_value", "content_index")]


# images

PIXELS = base64.b64encode(bytes(300)).decode()


def image(
    url: str = f"data:image/png;base64,{PIXELS}", text: str = "What is this?", item_id: str = ""
) -> Message:
    content = (InputText(text=text), InputImage(image_url=url))
    return Message(id=item_id or UNSET, role="user", content=content)


def seeing(**simulation: object) -> Simulation:
    made = Simulation(["A cat."], **simulation)  # type: ignore[arg-type]
    made.chat.supports_images = True
    return made


@pytest.mark.parametrize("url", [f"data:image/png;base64,{PIXELS}", "https://example.org/cat.png"])
async def test_a_model_that_sees_is_shown_images(url: str) -> None:
    simulation = seeing()
    timeline = await simulation.run(
        put(0.1, image(url)), ClientSends(0.2, e.ResponseCreate(response=ResponseParams(**TEXT))), until=2
    )
    assert not errors(timeline)
    (shown,) = simulation.chat.requests[0].items
    assert shown.content[1] == InputImage(image_url=url)
    assert done(timeline).response.status == "completed"


async def test_a_model_that_sees_nothing_is_named() -> None:
    simulation = Simulation(["Fine."])
    simulation.engine.providers = replace(simulation.engine.providers, chat_name="Qwen 0.5B")
    given = ResponseParams(input=(user("x"), image()), **TEXT)
    timeline = await simulation.run(
        put(0.1, image()),
        ClientSends(0.2, e.ResponseCreate(response=given)),
        *ask(0.5, "Then in words.", **TEXT),
        until=2,
    )
    assert errors(timeline) == [
        ("invalid_value", "item.content[1]"),
        ("invalid_value", "response.input[1].content[1]"),
    ]
    assert "Qwen 0.5B" in timeline.of(e.ErrorEvent)[0].error.message
    assert done(timeline).response.status == "completed"


NO_IMAGES = ["", "cat.png", "file:///etc/passwd", "data:text/html;base64,AAAA", "data:image/png,AAAA"]
NO_BASE64 = [f"data:image/png;base64,{data}" for data in ("", "AAA", "A A=", "é")]


@pytest.mark.parametrize("url", NO_IMAGES + NO_BASE64)
async def test_what_is_no_image_is_refused(url: str) -> None:
    timeline = await seeing().run(put(0.1, image(url)), until=0.5)
    assert errors(timeline) == [("invalid_value", "item.content[1].image_url")]
    assert not timeline.of(e.ConversationItemAdded)


@pytest.mark.parametrize("url", [f"data:image/png;base64,{PIXELS}", "https://example.org/" + "a" * 300])
async def test_an_image_that_is_too_large_is_told_the_limit(url: str) -> None:
    timeline = await seeing(limits=Limits(image_bytes=299)).run(put(0.1, image(url)), until=0.5)
    assert "limits.image_bytes" in timeline.of(e.ErrorEvent)[0].error.message
    fits = await seeing(limits=Limits(image_bytes=300)).run(put(0.1, image()), until=0.5)
    assert not errors(fits)


async def test_older_images_are_forgotten_and_the_words_beside_them_stay() -> None:
    simulation = seeing(limits=Limits(conversation_image_bytes=1000))
    await simulation.run(
        *[put(0.1 * n, image(item_id=f"image_{n}")) for n in range(1, 4)],
        ClientSends(0.5, e.ResponseCreate(response=ResponseParams(**TEXT))),
        until=2,
    )
    kinds = [[type(part) for part in item.content] for item in simulation.chat.requests[0].items]
    assert kinds == [[InputText, InputText], [InputText, InputImage], [InputText, InputImage]]
