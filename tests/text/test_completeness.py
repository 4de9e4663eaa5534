"""What words alone tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.text.completeness import completeness, hesitates, is_backchannel, is_doubtful, spelling

WHOLE = [
    "How old is the Brooklyn Bridge?",
    "What's the weather like?",
    "Where are you from?",
    "Book a room.",
    "Could you repeat that more slowly?",
    "Turn off the lights in the kitchen.",
    "Yes.",
    "No,",
    "Please stop",
]
LIKELY = [
    "I would like to book a table for four people on Friday.",
    "Two people.",
    "Half an hour.",
    "Today.",
    "Hello",
    "You don't mean that you thought me so silly?",
    "今日はいい天気です。",
]
UNSURE = ["", "...", "what hath happened unto me", "Six.", "I put it in."]
GOING_ON = [
    "I'd like to go to the",
    "I'd like to go to the.",
    "And so my fellow Americans.",
    "But she said,",
    "Well, I was thinking that maybe we could meet on",
    "If the store is still open then I would, um.",
    "My number is four, seven, one.",
    "Nightly eight.",
    "In a case of attempted suicide by poisoning.",
    "I want to order a large pizza with...",
    "Könnten Sie mir bitte sagen,",
    "That was so",
    "His statement of the thing there.",
]


@pytest.mark.parametrize("text", WHOLE)
def test_a_question_an_order_or_a_plain_answer_is_whole(text: str) -> None:
    assert completeness(text) == 1


@pytest.mark.parametrize("text", LIKELY)
def test_a_sentence_or_a_few_words_are_likely_whole(text: str) -> None:
    assert 0.7 < completeness(text) < 1


@pytest.mark.parametrize("text", UNSURE)
def test_of_some_words_nothing_can_be_told(text: str) -> None:
    assert completeness(text) == 0.5


@pytest.mark.parametrize("text", GOING_ON)
def test_a_piece_of_a_sentence_goes_on(text: str) -> None:
    assert completeness(text) < 0.2


@given(st.text())
def test_any_text_can_be_asked_about(text: str) -> None:
    assert 0 <= completeness(text) <= 1
    assert not (is_backchannel(text) and is_doubtful(text))
    spelling(text)
    hesitates(text)


@given(st.sampled_from(WHOLE + LIKELY + GOING_ON), st.sampled_from(["and", "because", "um", "the", "of", "my"]))
def test_a_word_that_wants_another_always_lowers(text: str, last: str) -> None:
    assert completeness(f"{text.rstrip('.?,! ')} {last}") <= completeness(text)
    assert completeness(f"{text.rstrip('.?,! ')} {last}.") < 0.2


@given(st.lists(st.sampled_from(["zero", "one", "two", "three", "five", "nine"]), min_size=2))
def test_digits_told_one_by_one_may_go_on(digits: list[str]) -> None:
    text = ", ".join(digits).capitalize() + "."
    assert spelling(text)
    assert completeness(text) < 0.2


def test_a_number_inside_a_sentence_is_not_spelled() -> None:
    assert not spelling("Book a table for two.")
    assert not spelling("Two people.")
    assert not spelling("")
    assert spelling("My code is 4 7.")


@pytest.mark.parametrize(
    "text", ["Mm-hmm.", "Uh-huh", "Yeah, yeah.", "Okay.", "I see.", "That’s right.", "It's fine."]
)
def test_a_listener_only_nods(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text", ["", "Stop.", "No.", "Okay, but wait.", "Yeah what about Tuesday?", "I", "Is it"]
)
def test_whoever_says_more_wants_the_floor(text: str) -> None:
    assert not is_backchannel(text)


def test_transcribers_write_the_and_you_for_noise() -> None:
    assert is_doubtful("The.")
    assert is_doubtful("you")
    assert not is_doubtful("The day")


def test_whoever_says_um_keeps_the_floor() -> None:
    assert hesitates("Montreal forced, um,")
    assert not hesitates("Um, yes.")
    assert not hesitates("")
