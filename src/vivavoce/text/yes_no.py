"""Whether an answer means yes or no, in the languages that have a `yes_no.toml`. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal
from unicodedata import category, normalize

from vivavoce.text.languages import base_language, word_lists

Meaning = Literal["yes", "no", "courtesy", "doubt", "unknown"]
"""`doubt` leaves the answer open whatever stands beside it: conditions, and what may mean either."""
_LISTED: tuple[Meaning, ...] = ("yes", "no", "courtesy", "doubt")

_KANA_MARKS = "\u3099\u309a"
"""Without them `ga` and `ka` were one: unlike accents, they are never left out."""
_SINGLE = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
"""What is written without spaces, or with endings that no word list can hold, is read letter by letter."""


def judge_answer(text: str, language: str | None = None, *, question: str = "") -> bool | None:
    """Return whether an answer to a question is a yes; None if that is not clear.

    A no may be surrounded by anything. A yes may not: apart from courtesies and words of the `question`, every
    word can be the one that takes it back ("yes, but not that one"). A phrase that means one thing in one
    language and another in another means nothing, unless the `language` (ISO 639-1) is known.
    """
    known = _known(base_language(language) if language else "")
    meanings = list(_meanings(plain_words(text), known, frozenset(plain_words(question))))
    if "yes" not in meanings:
        return False if "no" in meanings else None
    is_question = text.rstrip(" \"'”’»)").endswith(("?", "？", "؟"))
    return None if is_question or {"no", "doubt", "unknown"} & set(meanings) else True


def plain_words(text: str) -> list[str]:
    """Return the words of a text, spelled so that accents, case and punctuation make no difference."""
    plain = "".join(map(_plain_letter, normalize("NFKD", text.casefold())))
    return _SINGLE.sub(r" \1 ", normalize("NFC", plain)).split()


def _plain_letter(char: str) -> str:
    """Keep letters, digits and what belongs to them; leave out accents, and what is inside a word."""
    kind = category(char)
    if char in "'’ʼ" or (kind == "Mn" and char not in _KANA_MARKS) or kind == "Cf":
        return ""
    if char == "ı":  # Turkish has two, and transcribers mix up their capitals
        return "i"
    return char if kind[0] in "LNM" else " "


def _meanings(
    words: Sequence[str], known: Mapping[tuple[str, ...], Meaning], asked: frozenset[str]
) -> Iterator[Meaning]:
    """Yield the meaning of each phrase, the longest known ones first."""
    at, longest = 0, max(map(len, known))
    while at < len(words):
        phrases = (tuple(words[at : at + length]) for length in range(longest, 0, -1))
        phrase = next((phrase for phrase in phrases if phrase in known), None)
        if phrase:
            yield known[phrase]
        else:
            yield "courtesy" if words[at] in asked else "unknown"
        at += len(phrase or (1,))


@cache
def _known(language: str) -> Mapping[tuple[str, ...], Meaning]:
    """Return the meanings of phrases. Where languages disagree, the known one decides; else it is a doubt."""
    known: dict[tuple[str, ...], Meaning] = {}
    for phrases in phrase_lists().values():
        for phrase, meaning in phrases:
            known[phrase] = meaning if known.get(phrase, meaning) == meaning else "doubt"
    return known | dict(phrase_lists().get(language, ()))


@cache
def phrase_lists() -> Mapping[str, Sequence[tuple[tuple[str, ...], Meaning]]]:
    """Return each language's phrases, as `plain_words`, with their meanings."""
    return {
        language: [(tuple(plain_words(phrase)), meaning) for meaning in _LISTED for phrase in lists[meaning]]
        for language, lists in word_lists("yes_no.toml").items()
    }
