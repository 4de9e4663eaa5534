"""Segments a stream of text into clauses and sentences to be spoken. Pure, but for the waiting of `clauses`."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

FIRST_WORDS = 5
"""After so many words the first clause ends, punctuation or none: the caller is waiting."""

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
    """Cuts text as it comes: the first clause early, then whole sentences."""

    rest: str = ""
    begun: bool = False

    def push(self, text: str) -> list[str]:
        """Add text; return what can be spoken now. What is returned adds up to what was pushed."""
        self.rest += text
        ready = []
        while (cut := self._cut()) is not None:
            ready.append(self.rest[:cut])
            self.rest, self.begun = self.rest[cut:], True
        return ready

    def flush(self) -> str:
        """Return what is left when no more text comes."""
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
    """Return where the first stretch ends that is long enough to be spoken, and is no abbreviation."""
    for match in pattern.finditer(text):
        before = text[: match.end()].rstrip()
        if len(before.strip()) >= _LEAST_CHARS and not _NO_END.search(before):
            return match.end()
    return None


async def clauses(words: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Yield what can be spoken as soon as it can be; together it is all that came."""
    segmenter = Segmenter()
    async for word in words:
        for clause in segmenter.push(word):
            yield clause
    if left := segmenter.flush():
        yield left


def pause_after(clause: str) -> float:
    """Return the seconds of silence that a speaker leaves after a clause."""
    match clause.rstrip()[-1:]:
        case "." | "!" | "?" | "…" | "。" | "！" | "？":
            return 0.28
        case "," | ";" | ":" | "—" | "，" | "；":
            return 0.14
        case _:
            return 0.0
