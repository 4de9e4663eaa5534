"""The history of a conversation that is continued is what was heard, in order."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.played import PARIS, continue_, play, record, recorder, words
from vivavoce.connect.history_replay import replayable_items
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Message
from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.session.call import Caller
from vivavoce.session.conversation import Conversation
from vivavoce.session.middleware import ObservedEvent
from vivavoce.session.summary import HEAD, QUOTED
from vivavoce.store import tables
from vivavoce.store.database import Database
from vivavoce.store.history import History, read_history
from vivavoce.store.queries import (
    delete_conversations,
    find_conversation,
    list_conversations,
    list_events,
    search,
)
from vivavoce.store.recorder import recording
from vivavoce.testing.simulation import CallerSays, ClientSends, Step, Timeline

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

COUNTING = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."
"""an answer of five seconds"""


async def newest(database: Database) -> str:
    return str((await list_conversations(database))[0]["id"])


async def history(database: Database, conversation_id: str, **limits: int) -> History:
    return await read_history(database, Caller("test", continues=conversation_id), Limits(**limits))


async def test_what_both_have_said_is_the_history(url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path)
    recalled = await history(database, await newest(database))
    said = [("user", "What is the capital of France?"), ("assistant", "Paris, of course.")]
    assert words(recalled.items) == said
    session_id = (await list_conversations(database))[0]["session_id"]
    assert (await history(database, session_id)).id == recalled.id
    assert (await history(database, "last")).id == recalled.id


async def test_it_goes_on_from_one_conversation_to_the_next_and_is_stored_once(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path)
    first = await newest(database)
    await continue_(url, tmp_path, first, CallerSays(0.5, "And of Italy?"), replies=["Paris.", "Rome."])
    second = await newest(database)
    found = await find_conversation(database, second)
    assert found["continues"] == first
    assert [item["text"].strip() for item in found["items"]] == ["And of Italy?", "Rome."]
    assert [item["conversation_id"] for item in await search(database, "capital of france")] == [first]
    assert "France" not in str(await list_events(database, second))
    await continue_(url, tmp_path, second, CallerSays(0.5, "And of Spain?"), replies=["?", "?", "Madrid."])
    said = [text for _, text in words((await history(database, "last")).items)]
    assert said == [
        "What is the capital of France?",
        "Paris, of course.",
        "And of Italy?",
        "Rome.",
        "And of Spain?",
        "Madrid.",
    ]


async def test_two_may_continue_the_same_conversation(url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path)
    first = await newest(database)
    for country in ("Italy", "Spain"):
        await continue_(url, tmp_path, first, CallerSays(0.5, f"And of {country}?"), replies=["Well."])
        said = words((await history(database, "last")).items)
        assert [text for _, text in said[2:]] == [f"And of {country}?", "Well."]


async def test_words_that_were_not_heard_are_no_part_of_it(
    url: str, database: Database, tmp_path: Path
) -> None:
    def truncate(timeline: Timeline) -> e.ClientEvent:
        return e.ConversationItemTruncate(item_id=timeline.answer_id, content_index=0, audio_end_ms=1500)

    steps = PARIS, CallerSays(4, "Stop it, please."), ClientSends(4.4, truncate)
    await record(url, tmp_path, *steps, until=7, replies=[COUNTING, "Well."])
    said = [text for _, text in words((await history(database, "last")).items)]
    assert said[1].startswith("One two")
    assert len(said[1]) < 1500 / 60 + 1
    assert said[2:] == ["Stop it, please.", "Well."]


async def test_an_answer_in_the_midst_of_which_the_caller_hangs_up_was_heard_so_far(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path, PARIS, until=4.5, replies=[COUNTING])
    found = await find_conversation(database, await newest(database))
    answered = found["items"][1]
    heard = answered["heard"]
    assert heard.startswith("One two")
    assert len(heard) < (4.5 - answered["began"]) / 0.06 + 1
    assert len(heard) < len(answered["text"])
    assert answered["ended"] == pytest.approx(4.5, abs=0.1)
    assert words((await history(database, "last")).items)[1] == ("assistant", heard)


async def test_calls_of_tools_are_part_of_it_with_their_outputs_and_not_without(
    url: str, database: Database, tmp_path: Path
) -> None:
    def output(timeline: Timeline) -> e.ClientEvent:
        added = [event.item for event in timeline.of(e.ConversationItemAdded)]  # type: ignore[attr-defined]
        (call,) = [one for one in added if isinstance(one, FunctionCall)]
        return e.ConversationItemCreate(item=FunctionCallOutput(call_id=call.call_id or "", output="sunny"))

    replies = [[ToolCall("weather", '{"city":"Paris"}', "call_1")]]
    await record(url, tmp_path, PARIS, ClientSends(4, output), replies=replies, until=5)
    _, call, result = (await history(database, "last")).items
    assert isinstance(call, FunctionCall)
    assert isinstance(result, FunctionCallOutput)
    assert (call.name, call.arguments, result.output) == ("weather", '{"city":"Paris"}', "sunny")
    assert call.call_id == result.call_id
    await record(url, tmp_path, PARIS, replies=replies, until=5)
    assert len((await history(database, "last")).items) == 1


async def test_an_apology_is_no_part_of_it(url: str, database: Database, tmp_path: Path) -> None:
    from vivavoce.errors import ProviderError

    await record(url, tmp_path, replies=[ProviderError("chat", "is down")])
    found = await find_conversation(database, await newest(database))
    assert [item["purpose"] for item in found["items"]] == [None, "apology"]
    assert words((await history(database, "last")).items) == [("user", "What is the capital of France?")]


async def test_an_item_that_is_deleted_later_is_forgotten_and_one_put_between_stays_there(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path)
    first = await history(database, "last")
    asked, answered = (item.id or "" for item in first.items)
    note = Message(id="note", role="system", content=(InputText(text="Be brief."),))
    await continue_(
        url,
        tmp_path,
        "last",
        ClientSends(0.5, e.ConversationItemCreate(item=note, previous_item_id=asked)),
        ClientSends(0.6, e.ConversationItemDelete(item_id=answered)),
    )
    said = [("user", "What is the capital of France?"), ("system", "Be brief.")]
    assert words((await history(database, "last")).items) == said
    assert words((await history(database, first.id)).items) == words(first.items), "there it is as it was"
    again = Message(id=answered, role="assistant", content=(InputText(text="Paris."),))
    await continue_(url, tmp_path, "last", ClientSends(0.5, e.ConversationItemCreate(item=again)))
    assert words((await history(database, "last")).items) == [*said, ("assistant", "Paris.")]


async def test_of_a_long_one_the_newest_items_count_from_a_turn_of_the_user_on(
    url: str, database: Database, tmp_path: Path
) -> None:
    steps = [CallerSays(0.5 + 5 * turn, f"Question number {turn}.") for turn in range(4)]
    await record(url, tmp_path, *steps, until=20, replies=["Yes."])
    assert len((await history(database, "last")).items) == 8
    for most in (4, 5):
        said = words((await history(database, "last", recalled_items=most)).items)
        assert said[0] == ("system", f"{HEAD}{QUOTED}Question number 0. Question number 1.")
        assert [text for _, text in said[1:]] == ["Question number 2.", "Yes.", "Question number 3.", "Yes."]
    assert len((await history(database, "last", recalled_chars=50)).items) == 5


SUMMARY = "Johanna needs two beds."


def summing_up(request: ChatRequest) -> str:
    return SUMMARY if "notes" in request.instructions else "It is white."


async def record_long(url: str, folder: Path, *more: Step, turns: int = 10) -> None:
    """Have a conversation of which the chat model sums up the beginning."""
    said = ["My name is Johanna.", "I need two beds.", *(f"What of cloud {n}?" for n in range(2, turns))]
    steps = [CallerSays(0.5 + 5 * turn, words) for turn, words in enumerate(said)]
    chat = {"context_tokens": 150, "summarizes": True}
    await record(url, folder, *steps, *more, until=5 * turns, replies=[summing_up], chat=chat)


async def test_what_a_model_has_summed_up_is_told_of_what_is_not_recalled(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record_long(url, tmp_path)
    recalled = await history(database, "last", recalled_items=6)
    assert words(recalled.items)[0] == ("system", f"{HEAD}{SUMMARY}")
    assert len(recalled.items) == 7
    found = await find_conversation(database, recalled.id)
    assert [one["model"] for one in found["usage"] if one["kind"] == "summary"] != []
    assert SUMMARY not in str(await list_events(database, recalled.id))
    again = await continue_(url, tmp_path, "last", limits=Limits(recalled_items=6))
    second = await find_conversation(database, (await list_conversations(database))[0]["id"])
    assert [item["type"] for item in second["items"]] == ["message", "message"], "the notes are no item of it"
    assert second["continues"] == again.id


async def test_what_is_deleted_is_no_part_of_what_was_summed_up(
    url: str, database: Database, tmp_path: Path
) -> None:
    def delete(timeline: Timeline) -> e.ClientEvent:
        added = [event.item for event in timeline.of(e.ConversationItemAdded)]  # type: ignore[attr-defined]
        return e.ConversationItemDelete(item_id=added[0].id or "")

    await record_long(url, tmp_path, ClientSends(49.9, delete))
    async with database.reading() as connection:
        kept = (await connection.exec_driver_sql("SELECT text FROM summaries")).scalars().all()
    assert kept
    assert SUMMARY not in kept
    await record_long(url, tmp_path)
    first = await history(database, "last", recalled_items=100)
    deletes = e.ConversationItemDelete(item_id=first.items[0].id or "")
    await continue_(url, tmp_path, "last", ClientSends(0.5, deletes))
    told = words((await history(database, "last", recalled_items=6)).items)[0][1]
    assert told == f"{HEAD}{QUOTED}I need two beds."


async def test_with_a_conversation_what_was_summed_up_of_it_later_is_deleted(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path)
    first = await newest(database)
    await continue_(url, tmp_path, first)
    second = await newest(database)
    async with database.writing() as connection:
        for name in (first, second):
            row = {"conversation_id": name, "position": 1, "text": "Paris.", "created": "2026-11-30T12:00:00"}
            await connection.execute(tables.summaries.insert(), [row])
    await delete_conversations(database, [first])
    async with database.reading() as connection:
        assert (await connection.exec_driver_sql("SELECT text FROM summaries")).all() == []
    assert len((await history(database, second)).items) == 2


BAD_IDS = ["sess_unknown", "", "x" * 5000, "a\0b", "\ud800", "'; drop table items; --", "%", "last "]


@pytest.mark.parametrize("bad", BAD_IDS)
async def test_an_id_that_is_none_is_refused(bad: str, url: str, database: Database, tmp_path: Path) -> None:
    await record(url, tmp_path)
    with pytest.raises(ProtocolError, match="no conversation") as refusal:
        await history(database, bad)
    assert refusal.value.code == "conversation_not_found"
    assert len(str(refusal.value)) < 200


async def test_where_nothing_was_said_there_is_no_last_one(database: Database) -> None:
    with pytest.raises(ProtocolError, match="no conversation"):
        await history(database, "last")


async def test_a_person_continues_her_own_conversations_only(
    url: str, database: Database, tmp_path: Path
) -> None:
    await record(url, tmp_path)
    hers = await newest(database)
    async with database.writing() as connection:
        await connection.exec_driver_sql("UPDATE conversations SET identity = 'ada'")
    await record(url, tmp_path)
    nobodys = await newest(database)

    async def may(name: str, identity: str | None = None, address: str = "192.0.2.1") -> bool:
        caller = Caller("websocket", address, identity=identity, continues=name)
        try:
            await read_history(database, caller, Limits())
        except ProtocolError:
            return False
        return True

    assert [await may(name, "ada") for name in (hers, nobodys, "last")] == [True, False, True]
    assert [await may(name, "bob") for name in (hers, nobodys, "last")] == [False, False, False]
    assert [await may(name) for name in (hers, nobodys, "last")] == [False, True, False]
    assert await may("last", address=""), "who is at the machine itself"


async def test_the_last_words_are_there_at_once_although_they_are_gathered(
    url: str, database: Database, tmp_path: Path
) -> None:
    busy = recorder(url, tmp_path)
    async with recording(busy):
        await busy._opened.wait()
        play(busy)
        began = anyio.current_time()
        recalled = await busy.recall(Caller("test", continues="last"))
        assert anyio.current_time() - began < 0.9
    assert len(recalled.items) == 2


async def test_one_that_a_killed_server_held_can_be_continued(
    url: str, database: Database, tmp_path: Path
) -> None:
    killed = recorder(url, tmp_path)
    play(killed)
    killed._journal.close()
    next_one = recorder(url, tmp_path)
    async with recording(next_one):
        recalled = await next_one.recall(Caller("test", continues="last"))
    assert [text for _, text in words(recalled.items)] == [
        "What is the capital of France?",
        "Paris, of course.",
    ]


# the law

TURNS = st.lists(
    st.tuples(st.integers(3, 9), st.integers(1, 12), st.sampled_from(["", "truncate"])), max_size=3
)
CHANGES = st.lists(st.tuples(st.sampled_from(["delete", "insert", "root"]), st.integers(0, 9)), max_size=3)
SITTINGS = st.lists(st.tuples(TURNS, CHANGES), min_size=1, max_size=3)


class Listening:
    """What a client knows of the conversation."""

    def __init__(self) -> None:
        self.conversation = Conversation()

    def listen(self, caller: Caller) -> Any:
        return self.on_event

    def on_event(self, observed: ObservedEvent) -> None:
        self.conversation.apply(observed.event)


def steps_of(number: int, turns: Any, changes: Any, known: Listening) -> tuple[list[Step], float]:
    """Return a conversation of some turns, answers that are truncated, and items that come and go."""
    steps, at = list[Step](), 0.5

    def truncate(ms: int, timeline: Timeline) -> e.ClientEvent:
        item_id = timeline.of(e.ResponseOutputItemAdded)[-1].item.id or ""  # type: ignore[attr-defined]
        return e.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=ms)

    def change(how: str, which: int, timeline: Timeline) -> e.ClientEvent:
        ids = [item.id or "" for item in known.conversation.items] or ["none"]
        chosen = ids[which % len(ids)]
        if how == "delete":
            return e.ConversationItemDelete(item_id=chosen)
        note = Message(
            id=f"note{number}x{which}", role="system", content=(InputText(text=f"{number} {which}"),)
        )
        return e.ConversationItemCreate(item=note, previous_item_id="root" if how == "root" else chosen)

    for asked, answered, interrupted in turns:
        words = " ".join(f"q{number}x{at:.0f}n{word}" for word in range(asked))
        says = CallerSays(at, words)
        steps.append(says)
        at = says.until + 3
        if interrupted:
            steps.append(ClientSends(at, partial(truncate, answered * 100)))
        at += 10
    for how, which in changes:
        steps.append(ClientSends(at, partial(change, how, which)))
        at += 0.3
    return steps, at + 0.5


@settings(max_examples=12)
@given(SITTINGS)
def test_the_history_is_what_was_heard_in_order_whatever_was_interrupted_or_deleted(sittings: Any) -> None:
    async def talk(folder: Path) -> None:
        url, name = f"sqlite:///{folder}/conversations.db", ""
        database = Database(url)
        await database.open()
        for number, (turns, changes) in enumerate(sittings):
            known = Listening()
            steps, until = steps_of(number, turns, changes, known)
            options = {"until": until, "replies": [COUNTING], "also": [known.listen]}
            if name:
                await continue_(url, folder, name, *steps, **options)
            else:
                await record(url, folder, *steps, **options)
            name = await newest(database)
            expected = words(list(replayable_items(known.conversation, lambda item_id: b"")))
            assert words((await history(database, name)).items) == expected
        await database.close()

    with TemporaryDirectory() as folder:
        anyio.run(talk, Path(folder))
