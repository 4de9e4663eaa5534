"""Segments a stream of text into clauses and sentences to be spoken. No I/O."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

FIRST_WORDS = 5
"""The first clause ends after this many words even without punctuation, because the caller is waiting."""

_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*\s+|\n+|[。！？]")
_CLAUSE_END = re.compile(r"[,;:.!?…。！？—]+[\"'”’)\]]*\s+|\n+|[。！？，；]")
_NO_END = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Inc|Ltd|Co|vs|etc|approx|No|Fig|e\.g|i\.e|a\.m|p\.m|U\.S|U\.K)"
    r"|\b[A-Z]|(?:^|\s)\d+)\.$",
    re.IGNORECASE,
)
_LEAST_CHARS = 4


@dataclass
class Segmenter:
    """Segments text as it arrives: the first clause early, then whole sentences."""

    rest: str = ""
    begun: bool = False

    def push(self, text: str) -> list[str]:
        """Append text; return the segments that are complete. All segments together are the whole text."""
        self.rest += text
        ready = []
        while (cut := self._cut()) is not None:
            ready.append(self.rest[:cut])
            self.rest, self.begun = self.rest[cut:], True
        return ready

    def flush(self) -> str:
        """Return the rest at the end of the text."""
        left, self.rest = self.rest, ""
        return left

    def _cut(self) -> int | None:
        if self.begun:
            return _end(_SENTENCE_END, self.rest)
        early = _end(_CLAUSE_END, self.rest)
        words = [word.end() for word in re.finditer(r"\S+\s+", self.rest)]
        full = words[FIRST_WORDS - 1] if len(words) >= FIRST_WORDS else None
        return min((at for at in (early, full) if at is not None), default=None)


def _end(pattern: re.Pattern[str], text: str) -> int | None:
    """Return the end of the first segment that is long enough and does not end in an abbreviation."""
    for match in pattern.finditer(text):
        before = text[: match.end()].rstrip()
        if len(before.strip()) >= _LEAST_CHARS and not _NO_END.search(before):
            return match.end()
    return None


async def clauses(words: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Yield segments as soon as they are complete; together they are the whole text."""
    segmenter = Segmenter()
    async for word in words:
        for clause in segmenter.push(word):
            yield clause
    if left := segmenter.flush():
        yield left


def pause_after(clause: str) -> float:
    """Return the seconds of silence that speakers leave after a clause."""
    match clause.rstrip()[-1:]:
        case "." | "!" | "?" | "…" | "。" | "！" | "？":
            return 0.28
        case "," | ";" | ":" | "—" | "，" | "；":
            return 0.14
        case _:
            return 0.0
