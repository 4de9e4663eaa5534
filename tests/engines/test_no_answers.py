"""What the assistant says because something failed, or to fill the time: no model reads it."""

import pytest
from msgspec import UNSET

from engines.simulations import ask, done, user
from engines.upstream import check_rules, failing_over, remote
from vivavoce.connect.history_replay import replayable_items
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import ItemReference, Message, OutputText, purpose_of
from vivavoce.protocol.responses import PURPOSE, ResponseParams, verbatim
from vivavoce.providers.base import ChatRequest
from vivavoce.providers.dialogue import content_text
from vivavoce.session.conversation import Conversation
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

pytestmark = pytest.mark.anyio

DOWN = ProviderError("chat", "is down")
MOMENT = "One moment, please."


def read(request: ChatRequest) -> list[str]:
    return [content_text(item.content).strip() for item in request.items if isinstance(item, Message)]


def spoken(timeline: Timeline) -> list[tuple[str | None, str]]:
    """The purpose and the words of each message of the assistant's."""
    items = [event.item for event in timeline.of(e.ResponseOutputItemDone)]
    return [(purpose_of(item.id), content_text(item.content)) for item in items if isinstance(item, Message)]


def fill(at: float) -> ClientSends:
    return ClientSends(at, e.ResponseCreate(response=verbatim(MOMENT, "filler")))


async def test_an_apology_is_marked_and_no_model_reads_it() -> None:
    simulation = Simulation([DOWN, DOWN, "It is two."])
    await simulation.engine.warm_up()
    says = [CallerSays(at, f"question {at}") for at in (0.5, 8.0, 16.0, 24.0)]
    timeline = await simulation.run(*says, until=30)
    assert [purpose for purpose, _ in spoken(timeline)] == ["apology", "apology", None, None]
    for request in [*simulation.chat.requests, *simulation.chat.prefills]:
        assert "sorry" not in " ".join(read(request))
    assert read(simulation.chat.requests[-1]) == [
        *("question 0.5", "question 8.0", "question 16.0", "It is two.", "question 24.0")
    ]


async def test_an_answer_that_breaks_off_stays_and_the_apology_is_an_item_of_its_own() -> None:
    simulation = Simulation([["Well, let me see.", DOWN], "It is two."])
    await simulation.engine.warm_up()
    timeline = await simulation.run(CallerSays(0.5, "what time is it"), CallerSays(9, "well"), until=14)
    check_rules(timeline)
    (own, words), (purpose, apology), _ = spoken(timeline)
    assert (own, words) == (None, "Well, let me see.")
    assert purpose == "apology"
    assert "sorry" in apology
    assert done(timeline, 0).response.output[0].status == "incomplete"
    assert read(simulation.chat.requests[-1]) == ["what time is it", "Well, let me see.", "well"]


async def test_words_that_fill_the_time_are_marked_and_no_model_reads_them() -> None:
    simulation = Simulation(["Yes."])
    timeline = await simulation.run(*ask(0.5, "Is it?"), fill(3), *ask(6, "Sure?"), until=8)
    assert spoken(timeline)[1] == ("filler", MOMENT)
    assert done(timeline, 1).response.metadata[PURPOSE] == "filler"
    assert read(simulation.chat.requests[-1]) == ["Is it?", "Yes.", "Sure?"]


async def test_what_an_assistant_says_by_heart_is_an_answer() -> None:
    simulation = Simulation(["Yes."])
    greeting = ClientSends(0.5, e.ResponseCreate(response=verbatim("Welcome to the desk.")))
    await simulation.run(greeting, *ask(4, "Is it?"), until=6)
    assert read(simulation.chat.requests[-1]) == ["Welcome to the desk.", "Is it?"]


async def test_an_apology_that_a_client_tells_again_is_known() -> None:
    simulation = Simulation(["Yes."])
    texts = {"apology_1": "So sorry.", "past_1": simulation.engine.apology.text, "past_2": "It is two."}
    told = [
        Message(id=name, role="assistant", content=(OutputText(text=text),)) for name, text in texts.items()
    ]
    items = [ClientSends(0.3, e.ConversationItemCreate(item=item)) for item in told]
    steps = [*items, ClientSends(0.3, e.ConversationItemCreate(item=user("Hi", "apology_2")))]
    await simulation.run(*steps, ClientSends(0.5, e.ResponseCreate()), until=3)
    assert read(simulation.chat.requests[-1]) == ["It is two.", "Hi"], "the caller may choose any id"


async def test_no_model_reads_it_beside_the_conversation_either() -> None:
    simulation = Simulation(["Yes."])
    said = Message(id="filler_1", role="assistant", content=(OutputText(text=MOMENT),))
    asked = ResponseParams(conversation="none", input=(said, ItemReference(id="filler_2"), user("Sum it up.")))
    there = Message(id="filler_2", role="assistant", content=(OutputText(text=MOMENT),))
    steps = [
        ClientSends(0.3, e.ConversationItemCreate(item=there)),
        ClientSends(0.4, e.ResponseCreate(response=asked)),
    ]
    await simulation.run(*steps, until=3)
    assert read(simulation.chat.requests[-1]) == ["Sum it up."]


async def test_an_upstream_server_forgets_fillers_and_is_never_told_them_again() -> None:
    simulation = Simulation(["Yes.", "No."])
    upstream = remote(simulation, breaks=(8.0,))
    steps = [*ask(0.5, "Is it?"), fill(3), *ask(6, "Sure?"), *ask(10, "Really?")]
    timeline = await simulation.run(*steps, until=14)
    check_rules(timeline)
    filler = next(event.item.id for event in timeline.of(e.ResponseOutputItemDone) if purpose_of(event.item.id))
    deleted = [event.item_id for event in upstream.received[0] if isinstance(event, e.ConversationItemDelete)]
    assert deleted == [filler]
    assert not timeline.of(e.ConversationItemDeleted), "the client keeps it"
    assert MOMENT not in str(upstream.received[1])
    for request in simulation.chat.requests:
        assert MOMENT not in read(request)
    assert not timeline.of(e.ErrorEvent)


async def test_a_filler_can_be_truncated_after_the_upstream_server_has_forgotten_it() -> None:
    simulation = Simulation(["Yes."])
    remote(simulation)

    def cut(timeline: Timeline) -> e.ClientEvent:
        return e.ConversationItemTruncate(item_id=timeline.answer_id, content_index=0, audio_end_ms=200)

    timeline = await simulation.run(fill(0.5), ClientSends(3, cut), until=4)
    assert timeline.of(e.ConversationItemTruncated)
    assert not timeline.of(e.ErrorEvent)


async def test_a_client_that_tells_an_apology_again_does_not_tell_it_to_an_upstream_server() -> None:
    simulation = Simulation(["Yes."])
    upstream = remote(simulation)
    said = Message(id="apology_1", role="assistant", content=(OutputText(text="Sorry!"),))
    aside = ResponseParams(conversation="none", input=(said, ItemReference(id="apology_1"), user("Sum it up.")))
    create = ClientSends(0.3, e.ConversationItemCreate(item=said))
    timeline = await simulation.run(create, ClientSends(1, e.ResponseCreate(response=aside)), until=3)
    assert not timeline.of(e.ErrorEvent)
    assert "Sorry!" not in str(upstream.received)
    assert read(simulation.chat.requests[-1]) == ["Sum it up."]
    assert timeline.of(e.ConversationItemAdded)[0].item.id == "apology_1"


async def test_after_a_failover_the_apologies_before_it_are_not_told() -> None:
    simulation, then = Simulation([DOWN, "Yes."]), Simulation(["From here."])
    await simulation.engine.warm_up()
    failing_over(simulation, then, down=7.0, breaks=(7.0,))
    timeline = await simulation.run(CallerSays(0.5, "are you there"), CallerSays(35, "and now"), until=42)
    assert spoken(timeline)[0][0] == "apology"
    assert read(then.chat.requests[-1]) == ["are you there", "and now"]


def test_what_is_told_again_after_a_reconnection_is_answers_only() -> None:
    conversation = Conversation()
    texts = {"apology_1": "Sorry.", "item_1": "It is two.", "filler_1": MOMENT}
    for name, text in texts.items():
        item = Message(id=name, role="assistant", content=(OutputText(text=text),))
        conversation.apply(e.ConversationItemAdded(item=item, previous_item_id=conversation.last_id))
    (told,) = replayable_items(conversation, lambda _: b"")
    assert told.id == "item_1"
    assert purpose_of(UNSET) is None
