"""Excerpts: the most telling sentences of what a person has said, as she said them. No I/O, and no model.

What a small model writes when it is asked for a summary is partly made up. A sentence that was said is not.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from tomllib import loads
from typing import NamedTuple

from vivavoce.text.yes_no import plain_words

SHORT_WORDS = 4
"""an answer of so few words to a question is quoted with the question"""
ANSWER = 0.5
"""what is added to the score of an answer to a question"""
LEAST = 1.5
"""the lowest score of a sentence that is kept"""

_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？؟।]+|$)", re.MULTILINE)
_END = ("?", "？", "؟")
_NAME = re.compile(r"(?<=[\w,;:] )[A-ZÀ-ÖØ-ÞА-ЯĀ-Ž](?!\b)[\w'’-]+")
_NUMBER = re.compile(r"\d[\d.,:/-]*")


class Remark(NamedTuple):
    """What a person has said, and what she was asked before, if anything."""

    text: str
    before: str = ""


class _Quote(NamedTuple):
    score: float
    text: str


def excerpts(remarks: Sequence[Remark], max_chars: int) -> str:
    """Return the most telling sentences in order, each once, of at most `max_chars` together.

    Names, numbers, wishes and what people say about themselves tell much; questions and thanks do not. Of two
    that tell as much, the later counts.
    """
    found: dict[str, _Quote] = {}
    for remark in remarks:
        for quote in _quotes(remark):
            key = " ".join(plain_words(quote.text))
            found.pop(key, None)
            found[key] = quote
    quotes = list(found.values())
    room, kept = max_chars, set[int]()
    for at in sorted(range(len(quotes)), key=lambda at: (quotes[at].score, at), reverse=True):
        if quotes[at].score >= LEAST and len(quotes[at].text) + 1 <= room:
            room -= len(quotes[at].text) + 1
            kept.add(at)
    return " ".join(quotes[at].text for at in sorted(kept))


def _quotes(remark: Remark) -> list[_Quote]:
    sentences = _split(remark.text)
    question = next((one for one in reversed(_split(remark.before)) if one.endswith(_END)), "")
    if question and len(sentences) == 1 and len(sentences[0].split()) <= SHORT_WORDS:
        text = f"({question}) {sentences[0]}"
        is_about_her = bool(_table()["telling"].intersection(plain_words(question)))
        return [_Quote(score(sentences[0]) + 1 + is_about_her, text)]
    answers = [ANSWER if question and at == 0 else 0 for at in range(len(sentences))]
    return [_Quote(score(one) + answer, one) for one, answer in zip(sentences, answers, strict=True)]


def _split(text: str) -> list[str]:
    found = (" ".join(match.group().split()) for match in _SENTENCE.finditer(text))
    return [sentence for sentence in found if sentence]


def score(sentence: str) -> float:
    """Return how much a sentence tells about the person who says it, and what she wants."""
    words, table = set(plain_words(sentence)), _table()
    names = len(_NAME.findall(sentence))
    numbers = len(_NUMBER.findall(sentence)) + len(words & table["numbers"])
    told = min(1, len(words & table["own"])) + min(2, len(words & table["telling"]))
    asks = 2 if sentence.rstrip("\"'”’)").endswith(_END) else 0
    return min(names, 2) + 1.5 * min(numbers, 2) + told + min(len(words), 12) / 24 - asks


@cache
def _table() -> dict[str, frozenset[str]]:
    table = loads((files("vivavoce.text") / "excerpts.toml").read_text(encoding="utf-8"))
    return {name: frozenset(plain_words(words)) for name, words in table.items()}
