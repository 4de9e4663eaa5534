"""How two texts of the same speech differ, word by word."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.text.comparison import MOST_WORDS, normalize, word_diff, word_errors

words = st.lists(st.sampled_from("yes no one two uh 21 twenty p.m. , 東京".split()), max_size=12).map(" ".join)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("How old is the Brooklyn Bridge?", "how old is the brooklyn bridge", 0),
        ("two thirty pm", "2:30 PM", 0),
        ("four seven one nine", "4719", 0),
        ("the 21st", "the twenty first", 0),
        ("um I'd like to go", "I would like to go.", 0),
        ("yes", "", 1),
        ("", "yes", 1),
        ("one two three", "one too three four", 2),
        ("東京へ行く", "東京に行く", 1),
    ],
)
def test_word_errors_are_those_a_listener_would_count(said: str, heard: str, errors: int) -> None:
    assert word_errors(said, heard) == (errors, len(normalize(said)))


@given(st.one_of(words, st.text(max_size=40)), st.one_of(words, st.text(max_size=40)))
def test_word_errors_are_those_that_jiwer_counts(said: str, heard: str) -> None:
    reference, hypothesis = normalize(said), normalize(heard)
    errors = word_errors(said, heard)[0]
    if reference:  # jiwer refuses an empty one
        found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
        assert errors == found.substitutions + found.deletions + found.insertions
    else:
        assert errors == len(hypothesis)
    assert word_errors(said, said)[0] == 0


def test_words_beyond_the_limit_are_not_compared() -> None:
    same = "yes " * MOST_WORDS
    assert word_errors(same + "no", same + "one two") == (0, MOST_WORDS)


def test_a_difference_is_shown_in_the_words_as_they_were_written() -> None:
    parts = word_diff("It is, um, 21 years old.", "It is 21, years young!")
    assert [(part.kind, part.text) for part in parts] == [
        ("same", "It is "),
        ("removed", "um, "),
        ("same", "21, years "),
        ("removed", "old."),
        ("added", "young!"),
    ]
    assert [part.kind for part in word_diff("Yes.", "yes")] == ["same"]
    assert word_diff("", "") == []


@given(words, words)
def test_a_difference_has_both_texts_in_it(before: str, after: str) -> None:
    parts = word_diff(before, after)
    new = "".join(part.text for part in parts if part.kind != "removed")
    assert new.split() == after.split()
    old = " ".join(part.text for part in parts if part.kind != "added")
    assert normalize(old) == normalize(before)
