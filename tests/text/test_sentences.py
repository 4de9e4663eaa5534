from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.text.sentences import FIRST_WORDS, HELD_CHARS, LONGEST_CHARS, Segmenter, clauses, pause_after

pytestmark = pytest.mark.anyio


def cut(text: str) -> list[str]:
    segmenter = Segmenter()
    return [clause.text for clause in (*segmenter.push(text), *segmenter.flush())]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Paris.", ["Paris."]),
        ("Sure, it is Paris. Anything else?", ["Sure, ", "it is Paris. ", "Anything else?"]),
        (
            "The capital of France is Paris, of course. Yes.",
            ["The capital of France is ", "Paris, of course. ", "Yes."],
        ),
        ("Dr. Smith is in. Call him.", ["Dr. Smith is in. ", "Call him."]),
        ("It costs 3.50 dollars. Really.", ["It costs 3.50 dollars. ", "Really."]),
        ("You should talk to Dr. Smith. Now.", ["You should talk to ", "Dr. Smith. ", "Now."]),
        ("I have 5 000 000 more of them.", ["I have 5 000 000 more ", "of them."]),
        ("It grew by about 5% in all.", ["It grew by about ", "5% in all."]),
        ("Go on", ["Go on"]),
        ("", []),
    ],
)
def test_the_first_clause_comes_early_and_later_ones_are_whole_sentences(text: str, parts: list[str]) -> None:
    assert cut(text) == parts


@given(st.lists(st.text(alphabet="ab ,.!?\n1D'—", max_size=12), max_size=20))
def test_nothing_is_lost_however_the_text_comes(pieces: list[str]) -> None:
    segmenter = Segmenter()
    clauses = [clause for piece in pieces for clause in segmenter.push(piece)] + [*segmenter.flush()]
    assert "".join(clause.text for clause in clauses) == "".join(pieces)


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=6), min_size=FIRST_WORDS + 1, max_size=40))
def test_the_first_clause_is_never_longer_than_a_few_words(words: list[str]) -> None:
    first = next(Segmenter().push(" ".join(words)))
    assert len(first.text.split()) <= FIRST_WORDS


def test_what_remains_undecided_is_held_back_only_so_long() -> None:
    assert len(next(Segmenter().push("3 + " * 99)).text) <= HELD_CHARS + 4
    assert len(next(Segmenter().push("4111 " * 99)).text) <= LONGEST_CHARS + 5, (
        "even if all of it is read as one"
    )


async def test_clauses_come_while_the_words_still_do() -> None:
    async def words() -> AsyncIterator[str]:
        for word in ("One", "two", "three", "four", "five", "six.", "Seven"):
            yield word + " "

    assert [clause.text async for clause in clauses(words())] == ["One two three four five ", "six. ", "Seven "]


def test_a_speaker_pauses_longer_after_a_sentence_than_after_a_comma() -> None:
    assert pause_after("Yes. ") > pause_after("Well, ") > pause_after("and then ") == 0
