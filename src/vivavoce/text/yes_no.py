"""Judges whether an answer means yes or no, in the languages with a `yes_no.toml`. No I/O."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal
from unicodedata import category, normalize

from vivavoce.text.languages import base_language, word_lists

Meaning = Literal["yes", "no", "courtesy", "doubt", "unknown"]
"""`doubt` makes the whole answer unclear: conditions, and phrases with several meanings."""
_LISTED: tuple[Meaning, ...] = ("yes", "no", "courtesy", "doubt")

_KANA_MARKS = "\u3099\u309a"
"""Marks that are never removed, unlike accents: without them `ga` and `ka` would be equal."""
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_SINGLE = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
"""Scripts without spaces, or with too many endings for a word list, are read letter by letter."""


def judge_answer(text: str, language: str | None = None, *, question: str = "") -> bool | None:
    """Return whether an answer to a question is a yes; None if it is unclear.

    A no may be surrounded by anything. A yes may not: apart from courtesies and words of the `question`, any
    other word could revoke it ("yes, but not that one"). A phrase with different meanings in several languages
    is ignored unless the `language` (ISO 639-1) is known.
    """
    known = _known(base_language(language) if language else "")
    meanings = list(_meanings(plain_words(text), known, frozenset(plain_words(question))))
    if "yes" not in meanings:
        return False if "no" in meanings else None
    is_question = text.rstrip(" \"'”’»)").endswith(("?", "？", "؟"))
    return None if is_question or {"no", "doubt", "unknown"} & set(meanings) else True


def plain_words(text: str) -> list[str]:
    """Return the words of a text, normalized so that accents, case and punctuation do not matter."""
    if text.isascii():  # the same, twenty times as fast
        return _ASCII_WORD.findall(text.lower().replace("'", ""))
    plain = "".join(map(_plain_letter, normalize("NFKD", text.casefold())))
    return _SINGLE.sub(r" \1 ", normalize("NFC", plain)).split()


def _plain_letter(char: str) -> str:
    """Keep letters, digits and their marks; remove accents, and punctuation inside words."""
    kind = category(char)
    if char in "'’ʼ" or (kind == "Mn" and char not in _KANA_MARKS) or kind == "Cf":
        return ""
    if char == "ı":  # Turkish has two kinds of i, and transcribers confuse their capitals
        return "i"
    return char if kind[0] in "LNM" else " "


def _meanings(
    words: Sequence[str], known: Mapping[tuple[str, ...], Meaning], asked: frozenset[str]
) -> Iterator[Meaning]:
    """Yield the meaning of each phrase; the longest known phrases take precedence."""
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
    """Return the meanings of phrases. If languages disagree, the known language decides; else it is a doubt."""
    known: dict[tuple[str, ...], Meaning] = {}
    for phrases in phrase_lists().values():
        for phrase, meaning in phrases:
            known[phrase] = meaning if known.get(phrase, meaning) == meaning else "doubt"
    return known | dict(phrase_lists().get(language, ()))


@cache
def phrase_lists() -> Mapping[str, Sequence[tuple[tuple[str, ...], Meaning]]]:
    """Return the phrases of each language, as `plain_words`, with their meanings."""
    return {
        language: [(tuple(plain_words(phrase)), meaning) for meaning in _LISTED for phrase in lists[meaning]]
        for language, lists in word_lists("yes_no.toml").items()
    }
