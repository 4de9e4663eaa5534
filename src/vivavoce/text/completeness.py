"""What the words of a turn indicate: whether it can end here, and whether it was only a backchannel.

No I/O. Made for the first words of a transcriber: short, without context, sometimes wrong. The words are in
`completeness.toml` in the language's folder, today only English; for other languages only punctuation is used.
`docs/why/turns.md` shows how reliable this is.
"""

import re
from functools import cache
from typing import NamedTuple

from vivavoce.text.languages import language_table

UNKNOWN = 0.5
WHOLE, ANSWER, SENTENCE, PHRASE, PIECE = 1.0, 0.95, 0.75, 0.5, 0.1
"""Degrees of completeness: a question or command; one or two words; a statement; no sentence; a fragment."""

LATIN = "ɏ"
"""The last Latin letter: words and sentences of other scripts are not recognized."""


class WordClasses(NamedTuple):
    """The words of a language, by what they indicate."""

    digits: frozenset[str]
    interrogatives: frozenset[str]
    determiners: frozenset[str]
    conjunctions: frozenset[str]
    fillers: frozenset[str]
    prepositions: frozenset[str]
    subjects: frozenset[str]
    auxiliaries: frozenset[str]
    reporting: frozenset[str]
    verbs: frozenset[str]
    answers: frozenset[str]
    greetings: frozenset[str]
    backchannels: frozenset[str]
    beside_backchannels: frozenset[str]
    final: frozenset[str]
    noise: frozenset[str]

    @classmethod
    @cache
    def of(cls, language: str) -> "WordClasses":
        """Read the word classes of a language (ISO 639-1), once."""
        table = language_table(language, "completeness.toml")
        return cls(**{name: frozenset(words.split()) for name, words in table.items()})


def _classes() -> WordClasses:
    return WordClasses.of("en")


@cache
def _leading() -> frozenset[str]:
    """Return the words after which, at the end, more must follow."""
    known = _classes()
    return (
        known.conjunctions
        | known.fillers
        | known.determiners
        | known.subjects
        | known.auxiliaries
        | known.reporting
        | known.prepositions
    )


def completeness(text: str) -> float:
    """Return how complete an utterance is: 0 certainly continues, 1 is complete, 0.5 is unknown."""
    words, known = _words(_last_sentence(text)), _classes()
    if not words:
        return UNKNOWN
    if len(words) <= 2 and all(word in known.answers for word in words):
        return WHOLE
    if len(words) == 1 and words[0] in known.greetings:
        return SENTENCE
    if spelling(text):
        return PIECE if len(words) > 1 else PHRASE
    return min(_by_mark(text, words), _by_last_word(text, words))


def hesitates(text: str) -> bool:
    """Return whether this ends in an `um`, with which speakers keep their turn."""
    words = _words(text)
    return bool(words) and words[-1] in _classes().fillers


def is_backchannel(text: str) -> bool:
    """Return whether these words are only a backchannel, such as `uh-huh`. Without words: False."""
    words = [word for word in _words(text) if word not in _classes().beside_backchannels]
    return bool(words) and all(word in _classes().backchannels for word in words)


def is_doubtful(text: str) -> bool:
    """Return whether this is what transcribers write for noise: a single `the` or `you`."""
    words = _words(text)
    return len(words) == 1 and words[0] in _classes().noise


def spelling(text: str) -> bool:
    """Return whether this ends in spelled digits: a number or a code that may continue."""
    words = _words(_last_sentence(text))
    if not words or not _is_digit(words[-1]):
        return False
    return not _has_verb(words) or all(map(_is_digit, words[-2:]))


def _is_digit(word: str) -> bool:
    return word in _classes().digits or word.isdigit()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['-]\w+)*", text.casefold().replace("’", "'"))


def _last_sentence(text: str) -> str:
    return re.split(r"[.?!]\s+", text.strip())[-1]


def _mark(text: str) -> str:
    """Return the punctuation mark at the end, or an empty string."""
    end = text.rstrip(" \"'”’)")
    return "" if not end or end[-1].isalnum() else "…" if end.endswith("..") else end[-1]


def _by_mark(text: str, words: list[str]) -> float:
    mark = _mark(text)
    if not mark:
        return PIECE if any(letter.isupper() or letter in ",.?!" for letter in text) else UNKNOWN
    if mark in "?？":
        return WHOLE if _is_request(words) else SENTENCE
    if mark in ".!。":
        return WHOLE if _is_request(words) else _as_statement(words)
    return PIECE


def _is_request(words: list[str]) -> bool:
    """Return whether this has the form of a question or a command: `how old is`, `could you`, `book a`."""
    first, *rest = words
    first, known = re.sub("('s|'re|n't)$", "", first), _classes()
    if len(rest) < 2:
        return False
    if first in known.interrogatives:
        return words[0] != first or rest[0] not in known.subjects
    return first in known.auxiliaries or first in known.verbs


def _as_statement(words: list[str]) -> float:
    if any(letter > LATIN for word in words for letter in word):
        return SENTENCE
    if len(words) <= 3 and words[0] not in _leading():
        return ANSWER
    if _has_verb(words):
        return SENTENCE
    return PIECE if words[0] in _leading() - _classes().subjects - _classes().auxiliaries else PHRASE


def _by_last_word(text: str, words: list[str]) -> float:
    last, mark, known = words[-1], _mark(text), _classes()
    if last not in _leading():
        return 1.0
    if mark == "?" and len(words) > 2 and last not in known.conjunctions | known.fillers:
        return 1.0
    return PHRASE if last in known.final and mark in (".", "!") else PIECE


def _has_verb(words: list[str]) -> bool:
    return any(map(_is_verb, ["", *words], words))


def _is_verb(before: str, word: str) -> bool:
    known = _classes()
    if word in known.verbs | known.auxiliaries | known.reporting or re.search(
        r"('(s|re|ve|ll|d|m)|n't)$", word
    ):
        return True
    stem = re.sub(r"(es|s|ed|d)$", "", word)
    return (
        stem in known.verbs
        or stem + "e" in known.verbs
        or (word.endswith("ed") and before not in known.prepositions)
    )
