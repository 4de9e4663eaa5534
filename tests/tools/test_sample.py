"""What the page about tools shows does what it says."""

from datetime import date

import pytest

from samples import reading_room as room
from vivavoce.tools.types import Card, Context, ToolError

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


async def silence(words: str) -> None:
    raise AssertionError("nobody was to speak")


def context() -> Context:
    return Context("call_1", "caller_1", {}, silence)


async def test_the_first_tool_finds_books() -> None:
    assert room.assistant.tools == [room.find_book]
    assert room.find_book("Moby Dick") == "It is among the novels."
    assert (await room.find_book.run('{"title": "Emma"}', context())).output == "It is back on 04 December."
    told = room.find_book.parameters["properties"]
    assert told == {
        "title": {"type": "string", "description": "Its title, without the author."},
        "shelf": {"enum": ["maps", "novels"], "description": "Where to look.", "default": "novels"},
    }
    assert 'Find a book: "do you have Emma?"' in room.find_book.description


async def test_the_second_shows_a_card() -> None:
    outcome = await room.loans.run("{}", context())
    assert outcome.output == "1 book, until 4 December"
    assert outcome.card == Card("Your books", "| book | until |\n| --- | --- |\n| Emma | 4 December |")


async def test_the_third_asks_first_and_may_say_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LENT", dict[str, date]())
    assert room.keep_book.confirm == "Shall I keep {title} for you?"
    assert await room.keep_book("Emma") == "Emma is kept for 7 days."
    with pytest.raises(ToolError, match="Offer the caller 14"):
        await room.keep_book.run('{"title": "Emma", "days": 30}', context())
