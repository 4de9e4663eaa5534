"""A caller continues an earlier conversation: its items come before anything that the client sends."""

from collections.abc import Sequence

import anyio
import pytest

from vivavoce.errors import ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message, OutputText
from vivavoce.protocol.session import TranscriptionSession
from vivavoce.session.call import Caller, Recall, Recalled
from vivavoce.session.switchboard import Switchboard
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Timeline

pytestmark = pytest.mark.anyio

NAME = Message(id="item_1", role="user", content=(InputText(text="My name is Johanna."),))
HELLO = Message(id="item_2", role="assistant", content=(OutputText(text="Hello Johanna!"),))
QUESTION = CallerSays(0.5, "What was my name?")


def remembering(*items: Item) -> Recall:
    async def recall(caller: Caller) -> Recalled:
        return Recalled(str(caller.continues), items)

    return recall


async def talk(recall: Recall | None, **simulation: object) -> tuple[Timeline, Simulation]:
    talking = Simulation(["Johanna."], recall=recall, continues="sess_1", **simulation)  # type: ignore[arg-type]
    return await talking.run(QUESTION, until=5), talking


def errors(timeline: Timeline) -> Sequence[str | None]:
    return [event.error.code for event in timeline.of(e.ErrorEvent) if isinstance(event, e.ErrorEvent)]


async def test_the_model_reads_the_earlier_conversation_before_the_question() -> None:
    timeline, talking = await talk(remembering(NAME, HELLO))
    texts = [part.text for item in talking.chat.requests[0].items[:2] for part in item.content]  # type: ignore[union-attr]
    assert texts == ["My name is Johanna.", "Hello Johanna!"]
    assert len(talking.chat.requests[0].items) == 3
    added = [event.item.id for event in timeline.of(e.ConversationItemAdded)]  # type: ignore[attr-defined]
    assert added[:2] == ["item_1", "item_2"]
    assert errors(timeline) == []


async def test_it_is_read_ahead_while_nobody_waits() -> None:
    _, talking = await talk(remembering(NAME, HELLO))
    assert len(talking.chat.prefills[0].items) == 2


def told(turns: int) -> Sequence[Item]:
    """Return the name, its answer, and further turns in which nothing is to be noted."""
    others = [
        Message(id=f"{role}_{turn}", role=role, content=(part(text="Is it far?"),))
        for turn in range(turns - 1)
        for role, part in (("user", InputText), ("assistant", OutputText))
    ]
    return [NAME, HELLO, *others]  # type: ignore[list-item]


@pytest.mark.parametrize(("turns", "summarizes", "notes"), [(4, False, 0), (5, False, 1), (5, True, 0)])
async def test_a_small_model_that_is_told_much_is_given_a_note_on_it(
    turns: int, summarizes: bool, notes: int
) -> None:
    talking = Simulation(["Johanna."], recall=remembering(*told(turns)), continues="sess_1")
    talking.chat.summarizes = summarizes
    await talking.run(QUESTION, until=5)
    behind = talking.chat.requests[0].items[2 * turns : -1]
    assert len(behind) == notes
    assert all("My name is Johanna." in str(note) for note in behind)
    assert talking.chat.prefills[0].items == talking.chat.requests[0].items[:-1], "it was read ahead"


async def test_calls_of_tools_and_their_outputs_are_part_of_it() -> None:
    call = FunctionCall(id="item_3", name="weather", arguments="{}", call_id="call_1")
    output = FunctionCallOutput(id="item_4", call_id="call_1", output="sunny")
    timeline, talking = await talk(remembering(NAME, call, output))
    assert [item.id for item in talking.chat.requests[0].items[:3]] == ["item_1", "item_3", "item_4"]
    assert errors(timeline) == []


async def test_what_the_client_sends_at_once_comes_after_it() -> None:
    talking = Simulation(["Yes."], recall=remembering(NAME), continues="sess_1")
    mine = e.ConversationItemCreate(item=Message(id="mine", role="user", content=(InputText(text="Hi."),)))
    timeline = await talking.run(ClientSends(0, mine), until=1)
    added = [event.item.id for event in timeline.of(e.ConversationItemAdded)]  # type: ignore[attr-defined]
    assert added == ["item_1", "mine"]


async def test_an_item_that_the_engine_refuses_is_missing_and_no_error_of_the_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    orphan = FunctionCallOutput(id="item_3", call_id="call_1", output="sunny")
    switchboard = Switchboard(Simulation().engine, recall=remembering(orphan, NAME))
    async with switchboard.connect(Caller("test", continues="sess_1")) as line:
        received = [await anext(line) for _ in range(3)]
    assert [type(event) for event in received] == [
        e.SessionCreated,
        e.ConversationItemAdded,
        e.ConversationItemDone,
    ]
    assert "a conversation begins without an earlier item" in caplog.text


async def forgetful(caller: Caller) -> Recalled:
    raise ProtocolError("There is none.", code="conversation_not_found", param="conversation")


async def unreachable(caller: Caller) -> Recalled:
    raise ProviderError("store", "postgresql://db.internal is down", retryable=True)


async def slow(caller: Caller) -> Recalled:
    await anyio.sleep(60)
    raise AssertionError


REFUSALS = {
    "there is none": (forgetful, {}, "conversation_not_found"),
    "the database is down": (unreachable, {}, "conversation_unavailable"),
    "the database is slow": (slow, {}, "conversation_unavailable"),
    "nothing is stored": (None, {}, "conversation_unavailable"),
    "it only transcribes": (
        remembering(NAME),
        {"client_session": TranscriptionSession()},
        "conversation_unavailable",
    ),
}


@pytest.mark.parametrize("problem", REFUSALS)
async def test_a_client_whose_conversation_cannot_be_continued_is_told_and_talks_on(problem: str) -> None:
    recall, options, code = REFUSALS[problem]
    timeline, _ = await talk(recall, **options)
    assert errors(timeline) == [code]
    (told,) = timeline.of(e.ErrorEvent)
    assert "internal" not in str(told)
    assert timeline.at(e.ErrorEvent) >= timeline.at(e.SessionCreated)
    assert timeline.at(e.ErrorEvent) <= Limits().recall_seconds
    assert timeline.of(e.TranscriptionCompleted if options else e.ResponseDone)


async def test_only_clients_with_extras_are_told_how_many_items_are_earlier_ones() -> None:
    for extras in (True, False):
        switchboard = Switchboard(Simulation().engine, recall=remembering(NAME))
        async with switchboard.connect(Caller("test", continues="sess_1", extras=extras)) as line:
            received = [await anext(line) for _ in range(3 + extras)]
        told = [event for event in received if isinstance(event, e.ConversationContinued)]
        assert [(one.conversation_id, one.items) for one in told] == ([("sess_1", 1)] if extras else [])
