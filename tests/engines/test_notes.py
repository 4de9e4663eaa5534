"""What the chat model's context has no room for is in a note, which changes nothing of what it has read."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.engines.cascade.notes import Notes
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Item, Message, OutputText
from vivavoce.protocol.session import Session
from vivavoce.providers.base import ChatRequest
from vivavoce.session.summary import summary_text, words_of
from vivavoce.testing.simulation import CallerSays, ClientSends, Simulation, Step, Timeline, Unresponsive

pytestmark = pytest.mark.anyio

NAME = "My name is Johanna and I need two beds."
SUMMARY = "Johanna needs two beds."


def questions(count: int) -> list[Step]:
    """The name, and then small talk; 5 s each."""
    said = [NAME, *(f"What is the colour of cloud {number}?" for number in range(1, count))]
    return [CallerSays(0.5 + 5 * turn, words) for turn, words in enumerate(said)]


async def talk(
    *more: Step, turns: int = 12, replies: Any = "It is white.", **chat: object
) -> tuple[Timeline, Simulation]:
    simulation = Simulation([replies])
    simulation.chat.context_tokens = 200
    for name, value in chat.items():
        setattr(simulation.chat, name, value)
    return await simulation.run(*questions(turns), *more, until=5 * turns), simulation


def texts(request: ChatRequest) -> list[str]:
    return [words_of(item) for item in request.items]


def notes_in(request: ChatRequest) -> list[str]:
    return [notes for item in request.items if (notes := summary_text(item))]


async def test_a_name_that_was_told_first_is_known_when_its_turn_has_long_been_left_out() -> None:
    _, simulation = await talk(turns=30)
    last = simulation.chat.requests[-1]
    assert NAME not in texts(last)
    assert NAME in notes_in(last)[-1]
    assert all(NAME in " ".join(texts(request)) for request in simulation.chat.requests)


async def test_the_client_sees_no_note() -> None:
    timeline, _ = await talk()
    added = [event.item for event in timeline.of(e.ConversationItemAdded)]  # type: ignore[attr-defined]
    assert not [item for item in added if summary_text(item)]
    assert not timeline.of(e.ConversationSummarized)


async def test_a_prompt_changes_at_its_end_only_and_where_the_oldest_turns_are_left_out() -> None:
    _, simulation = await talk(turns=30)
    answered = [texts(request) for request in simulation.chat.requests]
    for before, after in pairwise(answered):
        gone = before.index(after[0]) if after[0] in before else None
        assert gone is not None
        assert after[: len(before) - gone] == before[gone:]
    assert sum(len(notes_in(request)) > 2 for request in simulation.chat.requests) == 0


async def test_a_short_conversation_has_no_note() -> None:
    _, simulation = await talk(turns=3)
    assert not any(notes_in(request) for request in simulation.chat.requests)


async def test_where_nothing_may_be_left_out_there_is_no_note() -> None:
    simulation = Simulation(["It is white."], session=Session(truncation="disabled"))
    simulation.chat.context_tokens = 200
    await simulation.run(*questions(12), until=60)
    assert not any(notes_in(request) for request in simulation.chat.requests)


async def test_what_is_deleted_is_in_no_note_any_more() -> None:
    def delete(timeline: Timeline) -> e.ClientEvent:
        items = [event.item for event in timeline.of(e.ConversationItemAdded)]  # type: ignore[attr-defined]
        return e.ConversationItemDelete(item_id=items[0].id or "")

    _, simulation = await talk(ClientSends(99, delete), turns=21)
    before, after = simulation.chat.requests[18], simulation.chat.requests[-1]
    assert "Johanna" in " ".join(texts(before))
    assert "Johanna" not in " ".join(texts(after))


# a chat model that can summarize


def model(summary: object = SUMMARY) -> Any:
    return lambda request: summary if "notes" in request.instructions else "It is white."


def summaries(simulation: Simulation) -> list[ChatRequest]:
    return [request for request in simulation.chat.requests if "notes" in request.instructions]


async def test_a_model_that_can_sums_up_and_the_client_is_told() -> None:
    timeline, simulation = await talk(replies=model(), summarizes=True, turns=20)
    told: list[Any] = timeline.of(e.ConversationSummarized)
    assert [event.text for event in told] == [SUMMARY] * len(summaries(simulation))
    assert told[0].usage
    assert told[0].usage.output_tokens == 4
    first, second = summaries(simulation)[:2]
    assert f"User: {NAME}\nAssistant: It is white." in words_of(first.items[0])
    assert words_of(second.items[0]).startswith(f"Earlier notes: {SUMMARY}\n")
    assert NAME not in words_of(second.items[0])
    assert notes_in(simulation.chat.requests[-1])[-1] == SUMMARY


async def test_it_stops_when_the_caller_speaks_and_is_made_when_nobody_waits() -> None:
    slow = model([SUMMARY, Unresponsive()])
    timeline, simulation = await talk(replies=slow, summarizes=True, turns=20)
    assert summaries(simulation)
    assert not timeline.of(e.ConversationSummarized)
    answers = [event.response for event in timeline.of(e.ResponseDone)]  # type: ignore[attr-defined]
    assert [answer.status for answer in answers] == ["completed"] * 20
    _, quick = await talk(turns=20)
    assert [texts(one)[-1] for one in simulation.chat.requests if one not in summaries(simulation)] == [
        texts(one)[-1] for one in quick.chat.requests
    ], "no answer was given up for it"


async def test_no_answer_comes_later_because_of_it() -> None:
    async def first_sounds(**chat: object) -> list[float]:
        timeline, _ = await talk(turns=20, **chat)
        began = [timeline.at(e.ResponseCreated, nth) for nth in range(20)]
        return [round(at, 3) for at in began]

    assert await first_sounds(replies=model(), summarizes=True) == await first_sounds()


async def test_a_model_that_fails_at_it_leaves_quotes() -> None:
    failing = model(ProviderError("chat", "is busy"))
    timeline, simulation = await talk(replies=failing, summarizes=True, turns=20)
    assert not timeline.of(e.ConversationSummarized)
    assert NAME in notes_in(simulation.chat.requests[-1])[-1]


# the rules


def spoken(number: int, asked: int, answered: int) -> list[Item]:
    question = Message(id=f"q{number}", role="user", content=(InputText(text="a" * asked),))
    answer = Message(id=f"a{number}", role="assistant", content=(OutputText(text="b" * answered),))
    return [question, answer]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=10, max_size=80))
def test_all_that_is_left_out_is_in_a_note_that_is_read(turns: Sequence[tuple[int, int]]) -> None:
    from vivavoce.engines.cascade.truncation import truncate_history

    notes, messages, covered = Notes(1000), list[Item](), set[str]()
    for number, (asked, answered) in enumerate(turns):
        messages += spoken(number, asked, answered)
        if due := notes.due(messages, 1000):
            notes.add(f"note {number}", due, messages)
            covered = {item.id or "" for item in due}
        read = truncate_history(notes.with_notes(messages), "auto", max_tokens=1000, max_items=2000)
        left_out = {item.id or "" for item in messages} - {item.id or "" for item in read}
        assert left_out <= covered
        assert not covered or any(summary_text(item) for item in read)
