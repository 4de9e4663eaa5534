"""Yes or no: what somebody means by it, in the languages that most callers speak. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from unicodedata import category, normalize

from vivavoce.text.yes_no_words import MEANINGS, Meaning

__all__ = ["judged", "words_of"]

_KANA_MARKS = "\u3099\u309a"
"""Without them `ga` and `ka` were one: unlike accents, they are never left out."""
_ALONE = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
"""What is written without spaces, or with endings that no list of words can hold, is read letter by letter."""


def judged(text: str, language: str | None = None, *, asked: str = "") -> bool | None:
    """Return whether somebody says yes; None if that is not clear.

    A no may be surrounded by anything. A yes may not: beside courtesies, and words of the question that was
    `asked`, every word can be the one that takes it back ("yes, but not that one"). What means one thing in one
    language and another in another means nothing, unless the `language` (ISO 639-1) is known.
    """
    known, echoed = _known(_base(language)), frozenset(words_of(asked))
    said = list(_meanings(words_of(text), known, echoed))
    if "yes" not in said:
        return False if "no" in said else None
    is_asking = text.rstrip(" \"'”’»)").endswith(("?", "？", "؟"))
    return None if is_asking or {"no", "open", "other"} & set(said) else True


def words_of(text: str) -> list[str]:
    """Return the words of a text, spelled so that accents, case and punctuation make no difference."""
    plain = "".join(map(_letter, normalize("NFKD", text.casefold())))
    return _ALONE.sub(r" \1 ", normalize("NFC", plain)).split()


def _letter(char: str) -> str:
    """Keep letters, digits and what belongs to them; leave out accents, and what is inside a word."""
    kind = category(char)
    if char in "'’ʼ" or (kind == "Mn" and char not in _KANA_MARKS) or kind == "Cf":
        return ""
    if char == "ı":  # Turkish has two, and capitals of which nobody knows which
        return "i"
    return char if kind[0] in "LNM" else " "


def _meanings(
    words: Sequence[str], known: Mapping[tuple[str, ...], Meaning], echoed: frozenset[str]
) -> Iterator[Meaning | str]:
    """Yield what each phrase means, the longest that are known first; `other` for what is not known."""
    at, longest = 0, max(map(len, known))
    while at < len(words):
        phrases = (tuple(words[at : at + length]) for length in range(longest, 0, -1))
        phrase = next((phrase for phrase in phrases if phrase in known), None)
        if phrase is None:
            yield "mild" if words[at] in echoed else "other"
        else:
            yield known[phrase]
        at += len(phrase or (1,))


@cache
def _known(language: str | None) -> dict[tuple[str, ...], Meaning]:
    """Return what phrases mean. Where languages disagree, one that is known decides; otherwise nobody does."""
    known: dict[tuple[str, ...], Meaning] = {}
    for meanings in MEANINGS.values():
        for phrase, meaning in _phrases(meanings):
            known[phrase] = meaning if known.get(phrase, meaning) == meaning else "open"
    return known | dict(_phrases(MEANINGS.get(language or "", {})))


def _phrases(meanings: Mapping[Meaning, str]) -> Iterator[tuple[tuple[str, ...], Meaning]]:
    for meaning, phrases in meanings.items():
        for phrase in phrases.split(","):
            yield tuple(words_of(phrase)), meaning


def _base(language: str | None) -> str | None:
    return language.partition("-")[0].lower() if language else None
