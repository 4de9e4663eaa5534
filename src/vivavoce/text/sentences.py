"""Segments a stream of text into clauses and sentences, and reads each with the text around it. No I/O.

What is spoken does not depend on where the text is cut: a clause never ends where its reading could still
change, and it is read with what stands before it.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass

from vivavoce.text.en.normalization import ends_in_abbreviation, is_undecided
from vivavoce.text.normalization import Reading, Spoken, read

FIRST_WORDS = 5
"""The first clause ends after this many words even without punctuation, because the caller is waiting."""
FEWEST_WORDS = 3
"""It ends earlier, but not before this many words, if how the last ones are read depends on what follows."""
HELD_CHARS = 100
"""A first clause that is longer ends at the next word, decided or not."""
LONGEST_CHARS = 200
"""Even what is read as one is cut after this many characters."""
CONTEXT_CHARS = 100
"""how much of the text before and after a clause is regarded to read it"""

_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*\s+|\n+|[。！？]")
_CLAUSE_END = re.compile(r"[,;:.!?…。！？—]+[\"'”’)\]]*\s+|\n+|[。！？，；]")
_WORD_END = re.compile(r"(?<=\S)\s+")
_LEAST_CHARS = 4
_ABBREVIATION_CHARS = 32


@dataclass(frozen=True)
class Clause:
    """A part of a text as it is written, and as it is spoken."""

    text: str
    spoken: Spoken


@dataclass
class Segmenter:
    """Segments text as it arrives: the first clause early, then whole sentences."""

    rest: str = ""
    begun: bool = False
    before: str = ""

    def push(self, text: str) -> Iterator[Clause]:
        """Append text; iterate over the clauses that are complete. All clauses together are the whole text."""
        self.rest += text
        return iter(self._next, None)

    def flush(self) -> Iterator[Clause]:
        """Yield the rest at the end of the text, if there is any."""
        if self.rest:
            yield self._take(len(self.rest), self._read(len(self.rest)))

    def _next(self) -> Clause | None:
        for end in self._ends(_SENTENCE_END) if self.begun else self._first_ends():
            reading = self._read(end)
            if end > LONGEST_CHARS or not self._separates(reading, end):
                return self._take(end, reading)
        return None

    def _ends(self, pattern: re.Pattern[str]) -> Iterator[int]:
        """Yield the ends of the segments that are long enough and do not end in an abbreviation."""
        for match in pattern.finditer(self.rest):
            segment = self.rest[: match.end()]
            if len(segment.strip()) >= _LEAST_CHARS and not ends_in_abbreviation(
                segment[-_ABBREVIATION_CHARS:]
            ):
                yield match.end()

    def _first_ends(self) -> Iterator[int]:
        words = [word.end() for word in _WORD_END.finditer(self.rest)]
        full, early = words[FIRST_WORDS - 1 :], words[FEWEST_WORDS - 1 : FIRST_WORDS - 1]
        for end in sorted({*self._ends(_CLAUSE_END), *full}):
            if end > HELD_CHARS or not is_undecided(self.rest[:end]):
                yield end
            elif end in full[:1]:
                yield from (end for end in reversed(early) if not is_undecided(self.rest[:end]))

    def _read(self, end: int) -> Reading:
        """Read the text up to here with what is around it."""
        return read(self.before + self.rest[: end + CONTEXT_CHARS])

    def _separates(self, reading: Reading, end: int) -> bool:
        """Return whether a cut here would separate what is read as one."""
        begin = len(self.before)
        return reading.crosses(begin + len(self.rest[:end].rstrip()), begin + end)

    def _take(self, end: int, reading: Reading) -> Clause:
        text, begin = self.rest[:end], len(self.before)
        if reading.crosses(len(self.before.rstrip()), begin) or self._separates(reading, end):
            reading, begin = read(text), 0  # what stands around it came too late
        line = (self.before + text).rpartition("\n")[2]
        self.before = line if len(line) <= CONTEXT_CHARS else line[-CONTEXT_CHARS:].partition(" ")[2]
        self.rest, self.begun = self.rest[end:], True
        return Clause(text, reading.between(begin, begin + end))


async def clauses(words: AsyncIterator[str]) -> AsyncGenerator[Clause, None]:
    """Yield clauses as soon as they are complete; together they are the whole text."""
    segmenter = Segmenter()
    async for word in words:
        for clause in segmenter.push(word):
            yield clause
    for clause in segmenter.flush():
        yield clause


def pause_after(clause: str) -> float:
    """Return the seconds of silence that speakers leave after a clause."""
    match clause.rstrip()[-1:]:
        case "." | "!" | "?" | "…" | "。" | "！" | "？":
            return 0.28
        case "," | ";" | ":" | "—" | "，" | "；":
            return 0.14
        case _:
            return 0.0
