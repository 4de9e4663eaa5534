"""Texts at which an answer is to end: found wherever the answer is cut."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.web.endpoints.chat_completions import StopSequences


def shown(pieces: Sequence[str], *stops: str) -> tuple[str, bool]:
    """Return what a reader is shown of an answer in pieces, and whether it was ended."""
    cut = StopSequences(stops)
    text = "".join([cut.push(piece) for piece in pieces])
    return text + cut.flush(), cut.met


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "met"),
    [
        (["One, two, three."], ["two"], "One, ", True),
        (["One, t", "w", "o, three."], ["two"], "One, ", True),
        (["One, tw", "enty."], ["two"], "One, twenty.", False),
        (["One, tw"], ["two"], "One, tw", False),
        (["aab"], ["ab"], "a", True),
        (["a", "a", "b"], ["ab"], "a", True),
        (["One, two"], ["two", "One"], "", True),
        (["One"], [""], "One", False),
        (["One", "\n", "\n", "two"], ["\n\n"], "One", True),
        (["One. ", "END", "two"], ["END"], "One. ", True),
    ],
    ids=str,
)
def test_an_answer_ends_before_the_first_stop(
    pieces: list[str], stops: list[str], text: str, met: bool
) -> None:
    assert shown(pieces, *stops) == (text, met)


def test_what_cannot_be_a_stop_is_not_held_back() -> None:
    stops = StopSequences(["END"])
    assert [stops.push(piece) for piece in ("One, ", "E", "N", "O", "three")] == [
        "One, ",
        "",
        "",
        "ENO",
        "three",
    ]


@given(st.text("ab", max_size=30), st.lists(st.text("ab", max_size=4), max_size=3), st.data())
def test_it_does_not_matter_where_the_pieces_are_cut(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    ends = [text.find(stop) for stop in stops if stop and stop in text]
    assert shown(pieces, *stops) == (text[: min(ends, default=len(text))], bool(ends))
