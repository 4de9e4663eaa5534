"""What is spoken does not depend on where the text is cut."""

import re
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.text.normalization import speakable
from vivavoce.text.sentences import Segmenter

_KINDS = tomllib.loads((Path(__file__).parent / "en" / "phrases.toml").read_text(encoding="utf-8"))
PHRASES = [(written, spoken) for kind in _KINDS.values() for written, spoken in kind.items()]
LEAD = "well now I do think that".split()


def words(text: str) -> list[str]:
    """Return what of a text is heard: neither case nor punctuation, and `PM` is two letters."""
    text = re.sub(r"[’']", "", text.lower())
    return re.sub(r"\b([ap])m\b", r"\1 m", re.sub(r"[^\w\s]|_", " ", text)).split()


def pieces(text: str, ends: Sequence[int], *, begun: bool = False) -> list[str]:
    """Return what is spoken of a text that arrives in parts, piece by piece."""
    segmenter, ends = Segmenter(begun=begun), [0, *sorted(end for end in ends if end < len(text)), len(text)]
    parts = (text[begin:end] for begin, end in pairwise(ends))
    clauses = [clause for part in parts for clause in segmenter.push(part)] + [*segmenter.flush()]
    assert "".join(clause.text for clause in clauses) == text
    return [clause.spoken.words for clause in clauses]


def test_there_are_phrases_of_all_kinds() -> None:
    assert len(PHRASES) >= 120


@pytest.mark.parametrize(("written", "spoken"), PHRASES)
def test_a_phrase_is_read_as_people_read_it(written: str, spoken: str) -> None:
    assert words(speakable(written)) == words(spoken)
    assert speakable(speakable(written)) == speakable(written)


@settings(max_examples=200)
@given(
    st.sampled_from([written for written, _ in PHRASES]),
    st.integers(0, len(LEAD)),
    st.lists(st.integers(1, 100)) | st.just(range(1, 200)),
    st.booleans(),
)
def test_what_is_spoken_does_not_depend_on_where_the_text_is_cut(
    phrase: str, lead: int, ends: Sequence[int], begun: bool
) -> None:
    text = " ".join([*LEAD[:lead], phrase])
    assert words(" ".join(pieces(text, ends, begun=begun))) == words(speakable(text))
