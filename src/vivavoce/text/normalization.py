"""Text normalization for speech: removes markup and emoji, and spells out numbers, dates, money and addresses.

No I/O; used before every synthesizer. Only English is spelled out (`text/en`); for other languages only markup
is removed. Rules are applied from top to bottom, each to the result of those before it.
"""

import html
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from vivavoce.text.en.normalization import Rule, compile_rules, early_rules, plain_digits, word_rules


def speakable(text: str, *, language: str = "en") -> str:
    """Return `text` in the words to be spoken; an empty text if there are none.

    What was written as people write, and is speakable already, is unchanged. `language` is an ISO 639-1 code.
    """
    return read(text, language=language).between(0, len(text)).words


@dataclass(frozen=True)
class Spoken:
    """The words to be spoken for a part of a text; for each character, where the last one that it reads is."""

    words: str
    sources: Sequence[int] = ()

    def written(self, chars: int) -> int:
        """Return the place in the written part of the last character that is read after the first `chars`."""
        return self.sources[min(chars, len(self.sources) - 1)] if self.sources else 0


@dataclass(frozen=True)
class Reading:
    """A text as it is spoken, with the part of the written text (start and end) that each character reads."""

    text: str
    sources: Sequence[tuple[int, int]]

    def crosses(self, start: int, end: int) -> bool:
        """Whether something that is read as one begins before `start` and ends after `end`."""
        return any(a < start and b > end for a, b in self.sources)

    def between(self, start: int, end: int) -> Spoken:
        """Return what is spoken for a part of the written text."""
        first, last = (bisect_left(self.sources, (at, -1)) for at in (start, end))
        part = self.text[first:last]
        if not any(char.isalnum() for char in part):
            return Spoken("")
        first += len(part) - len(part.lstrip())
        words = part.strip()
        sources = self.sources[first : first + len(words)]
        return Spoken(words, [max(a, b - 1) - start for a, b in sources])


def read(text: str, *, language: str = "en") -> Reading:
    """Return how `text` is spoken, and which part of it is read by what."""
    english = language.lower().startswith("en")
    reading = _replaced(Reading(text, [(at, at + 1) for at in range(len(text))]), ENTITIES)
    if english:
        reading = _each_char(reading, lambda char: char if char in READ_SYMBOLS else _without_symbols(char))
        reading = _each_char(reading, plain_digits)
        reading = _replaced(reading, (*LINKS, *early_rules(), *MARKUP, *word_rules()))
    else:
        reading = _replaced(reading, (*LINKS, *MARKUP))
    return _replaced(_each_char(reading, _without_symbols), TIDY)


ENTITIES = (
    Rule(
        re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z]\w{1,31});"),
        lambda match: html.unescape(match[0]),
    ),
)
UNSPEAKABLE = {"So", "Sk", "Cn", "Co", "Cs", "Me"}
"""Unicode categories of emoji and other symbols without words"""
READ_SYMBOLS = "°℃℉№♭^`"
"""symbols of these categories that English rules read, or remove as markup"""

LINKS = compile_rules(
    (r"[\t\u00a0\u2000-\u200a\u202f\u205f][ \t]*| [ \t]+", " "),
    (r"(?m)^[ \t]*(?:```|~~~)[\w+-]*[ \t]*$", ""),
    (r"!?\[([^\[\]\n]*)\]\((?:[^()\s]|\([^()\s]*\))*(?: \"[^\"\n]*\")?\)", r"\1"),
)
MARKUP = compile_rules(
    (r"</?(?:a|b|i|u|s|p|br|em|strong|code|pre|ul|ol|li|span|div|sub|sup|h[1-6])(?:\s[^<>]*)?/?>", " "),
    (r"(?m)^[ \t]*(?:[-*_=][ \t]*){3,}$", ""),
    (r"(?m)^[ \t]*\|?[ \t:]*-{2,}[-|: \t]*$", ""),
    (r"(?m)^[ \t]*(?:(?:>|#{1,6}|[-*+•])(?:[ \t]+|$))+", ""),
    (r"(?<=\d) ?\* ?(?=\d)", " × "),
    (r"(?<=\w)_+(?=\w)", " "),
    (r"(?<!\w)#(?=\d)", "No. "),
    (r"[*_`#]|~{2,}", ""),
    (r"(?<=[\w)]) ?(?:-{1,2}|=)> ?(?=\w)", " → "),
    (r"(?<![=!<>])={2,3}(?!=)", "="),
    (r"!=(?=\s?[\w$€£.-])", " ≠ "),
    (r"(?<![-=<>])<=(?=\s?[\w$€£.-])", " ≤ "),
    (r"(?<![-=<>])>=(?=\s?[\w$€£.-])", " ≥ "),
    (r"(?<=\s)<(?=\s)|(?<![-=<>])<(?= ?[-$€£]?\.?\d)(?![^\s<>]*>)", " ≺ "),
    (r"(?<=\s)>(?=\s)|(?:(?<=\d)|(?<=\b[A-Za-z])(?<!<[A-Za-z]))>(?= ?[-$€£]?\.?\d)", " ≻ "),
    (r"(?<![-=<>\w\"'/])>(?= ?[-$€£]?\.?\d)", " ⋗ "),
    (r"[\[\]{}<>|\\]", " "),
)
TIDY = compile_rules(
    (r"[ \t]+(?:[\u200d\ufe0e\ufe0f]+[ \t]*)+|[ \t]{2,}|[\t\ufe0e\ufe0f]", " "),
    (r"[ \t]*[\n\r]\s*", "\n"),
    (r"(?<=[\w)'\"”’%])\n", ". "),
    (r"\s{2,}|[^\S ]", " "),
    (r" +(?=[,.;:!?])", ""),
    (r"^ ?(?:[-+•=]+(?: |$))+", ""),
)


def _without_symbols(char: str) -> str:
    return " " if unicodedata.category(char) in UNSPEAKABLE else char


def _each_char(reading: Reading, replace: Callable[[str], str]) -> Reading:
    new = [replace(char) for char in reading.text]
    sources = [source for part, source in zip(new, reading.sources, strict=True) for _ in part]
    return Reading("".join(new), sources)


def _replaced(reading: Reading, rules: Iterable[Rule]) -> Reading:
    text, sources = reading.text, list(reading.sources)
    for pattern, words, needs in rules:
        if not needs.search(text):
            continue
        # from right to left, so that the places of the matches to the left stay true
        for match in reversed(list(pattern.finditer(text))):
            old, new = match[0], match.expand(words) if isinstance(words, str) else words(match)
            if old == new:
                continue
            begin, end = match.span()
            place = sources[begin][0] if begin < len(sources) else sources[-1][1] if sources else 0
            sources[begin:end] = _aligned(old, new, sources[begin:end], place)
            text = text[:begin] + new + text[end:]
    return Reading(text, sources)


def _aligned(old: str, new: str, sources: Sequence[tuple[int, int]], place: int) -> Sequence[tuple[int, int]]:
    """Return the sources of `new`, from those of `old` in whose place it is; what has none stands at `place`.

    What is the same at both ends keeps its source, and so does each part of an enumeration. The rest is read as
    one.
    """
    if new and (at := old.find(new)) >= 0:
        return sources[at : at + len(new)]
    if ", " in old and old.count(", ") == new.count(", "):
        (first, comma, others), (words, _, more) = old.partition(", "), new.partition(", ")
        at = len(first) + len(comma)
        return [
            *_aligned(first, words, sources[: len(first)], place),
            *sources[len(first) : at],
            *_aligned(others, more, sources[at:], sources[at - 1][1]),
        ]
    same = _shared(old, new)
    rest = _shared(old[same:][::-1], new[same:][::-1])
    end = len(old) - rest
    place = sources[same - 1][1] if same else place
    whole = (sources[same][0], max(source[1] for source in sources[same:end])) if same < end else (place, place)
    return [*sources[:same], *[whole] * (len(new) - same - rest), *sources[end:]]


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts share at the beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
