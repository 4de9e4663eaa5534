"""What is kept of what a person has said: the sentences that tell most about her, unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.text.excerpts import Remark, excerpts

TRIP = [
    Remark("Hi, my name is Johanna Perez."),
    Remark("I'd like to plan a trip to Lisbon for four people.", "Hello Johanna! What can I do for you?"),
    Remark("In the second week of May. My budget is 2400 euros.", "When would you like to go?"),
    Remark("What's the best way to get around?"),
    Remark("My son Leo is allergic to peanuts, so we need to be careful with restaurants."),
    Remark("Do they speak English there? Thanks."),
    Remark("I prefer a hotel near the river, not in the center."),
    Remark("What do people eat there?"),
    Remark("Nice. I don't like fish very much."),
    Remark("Is it warm in May?"),
    Remark("Please call me at 555 0173 when you have found something."),
    Remark("Tell me something about the history of the city."),
]
FACTS = "Johanna Perez, Lisbon, four, May, 2400, Leo, peanuts, river, fish, 555 0173".split(", ")


def test_names_numbers_and_wishes_are_kept() -> None:
    kept = excerpts(TRIP, 500)
    assert [fact for fact in FACTS if fact not in kept] == []
    assert "?" not in kept
    assert "Thanks" not in kept


def test_where_there_is_little_room_the_most_telling_sentences_come_first_and_stay_in_order() -> None:
    kept = excerpts(TRIP, 160)
    assert kept.startswith("Hi, my name is Johanna Perez. I'd like to plan a trip to Lisbon for four people.")
    assert len(kept) <= 160


def test_a_short_answer_is_kept_with_its_question() -> None:
    asked = [Remark("Johanna.", "Hello! What's your name?"), Remark("Yes.", "Is that all?")]
    assert excerpts(asked, 100) == "(What's your name?) Johanna."


def test_what_is_said_twice_is_kept_once_where_it_was_said_last() -> None:
    said = [Remark("I want tea."), Remark("My name is Ada."), Remark("I want tea!")]
    assert excerpts(said, 100) == "My name is Ada. I want tea!"


@pytest.mark.parametrize(
    "telling",
    [
        "Ich heiße Jürgen und möchte einen Tisch.",
        "Je m'appelle Zoé.",
        "我叫小明。",
        "मेरा नाम आशा है।",
        "Меня зовут Анна.",
    ],
)
def test_other_languages_are_known_too(telling: str) -> None:
    assert excerpts([Remark(telling)], 100) == telling


def test_a_number_is_not_cut_in_two() -> None:
    assert (
        excerpts([Remark("I pay 3.5 percent of 1,200.50 a year.")], 100)
        == "I pay 3.5 percent of 1,200.50 a year."
    )


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=60)


@given(st.lists(st.builds(Remark, TEXTS, TEXTS), max_size=8), st.integers(0, 200))
def test_all_that_is_kept_was_said(remarks: list[Remark], room: int) -> None:
    kept = excerpts(remarks, room)
    assert len(kept) <= max(0, room)
    said = " ".join(" ".join(f"{one.before} {one.text}".split()) for one in remarks)
    for word in kept.replace("(", " ").replace(")", " ").split():
        assert word in said.replace("(", " ").replace(")", " ")
