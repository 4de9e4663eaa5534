"""What people search for is found, however the transcriber spelled it."""

import sqlite3
import tomllib
import unicodedata
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.store.folding import QUERY_ALTERNATIVES, QUERY_WORDS, fold, fold_query

UTTERANCES = tomllib.loads(Path(__file__).with_name("utterances.toml").read_text(encoding="utf-8"))
WORDS = (
    "a I o e the two five twenty thirty first second 21st 3:30 555-1234 3.5 $50 % hundred thousand and oh um "
    "U.S.A. Dr. o'clock wi-fi mail naïve Müller Straße łódź 東京 都 서울 दिल्ली "
    "fives ones drs ums running, x-ray 1,200 4 007 ½ ok "
    "e-r 0,0:0 ʼ ers"
).split()
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)


def finds(query: str, text: str) -> bool:
    """Whether one alternative has all its words in the folded text, as both databases decide it."""
    folded = set(fold(text).split())
    return any(folded.issuperset(words) for words in fold_query(query))


def cases(name: str) -> list[tuple[str, str, bool]]:
    return [
        (case["said"], query, expected)
        for case in UTTERANCES[name]
        for key, expected in (("found", True), ("missed", False), ("beyond", False))
        for query in case.get(key, [])
    ]


@pytest.mark.parametrize("name", ["written", "held_out"])
def test_a_query_finds_what_was_said_and_nothing_else(name: str) -> None:
    assert len(UTTERANCES[name]) >= (60 if name == "written" else 20)
    assert [case for case in cases(name) if finds(case[1], case[0]) != case[2]] == []


def test_sqlite_finds_the_same_as_comparing_words_does() -> None:
    """As PostgreSQL does, whose index holds the folded words as they are."""
    said = [case["said"] for name in UTTERANCES for case in UTTERANCES[name]] + ["दुल्लो", "が", "か"]
    queries = [query for name in UTTERANCES for _, query, _ in cases(name)] + ["か", "が"]
    database = sqlite3.connect(":memory:")
    tokenizer = import_module("vivavoce.store.migrations.versions.r0001_conversations")._TOKENIZER
    database.execute(f'CREATE VIRTUAL TABLE words USING fts5 (folded, tokenize="{tokenizer}")')
    database.executemany("INSERT INTO words (folded) VALUES (?)", [(fold(text),) for text in said])
    folded = [set(fold(text).split()) for text in said]
    for query in queries:
        alternatives = [[f'"{word}"' for word in words] for words in fold_query(query)]
        match = " OR ".join(f"({' AND '.join(words)})" for words in alternatives)
        found = {
            row - 1 for (row,) in database.execute("SELECT rowid FROM words WHERE words MATCH ?", (match,))
        }
        expected = {
            at for at, has in enumerate(folded) if any(has.issuperset(one) for one in fold_query(query))
        }
        assert found == expected, query
    database.close()


def test_a_long_query_is_cut_and_an_empty_one_finds_nothing() -> None:
    assert fold_query(" um ?! ") == fold_query("um-uh") == []
    huge = fold_query(" ".join(f"word{number} ö" for number in range(20_000)))
    assert 0 < len(huge) <= QUERY_ALTERNATIVES
    assert all(len(words) <= QUERY_WORDS for words in huge)
    assert len(fold_query("x" * 100_000)[0][0]) < 2001


@settings(max_examples=60)
@given(texts)
def test_what_was_said_finds_itself(text: str) -> None:
    assert finds(text, text) or not fold_query(text)


@settings(max_examples=60)
@given(texts)
def test_folding_twice_loses_no_word(text: str) -> None:
    assert set(fold(text).split()) <= set(fold(fold(text)).split())


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_any_text_folds_the_same_composed_decomposed_and_in_capitals(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    assert fold(text) == fold(text).strip()
