"""Which of the model's slots continues which conversation, and what is read ahead while nobody waits.

A slot caches the text that it has read, so a conversation should return to the same one. Several conversations
share the slots: replies come first, and reading ahead fills the time between them, a piece at a time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import anyio

from vivavoce.providers.dialogue import DialogueTurn

Prompt = tuple[DialogueTurn, ...]

PIECE_CHARS = 250
"""characters that are read ahead at once, about 60 tokens: a reply that comes meanwhile waits for so much"""


class Place(NamedTuple):
    """Where a conversation continues in a slot."""

    spared: int = 0
    """characters that need not be read again; 0 if the slot has another conversation"""
    start: int = 0
    """the first turn of the conversation that is in the prompt"""
    known: int = 0
    """turns that the slot has read, from `start` on"""
    has_dropped: bool = False
    """whether the slot has read older turns than these, which are dropped from its cache"""


class PromptWindow(NamedTuple):
    """The turns of a conversation that fit into the context, of which a prompt has the last ones.

    A prompt begins with the turn `first`, unless a slot has begun with another one, not after `latest`.
    """

    turns: Prompt
    first: int = 0
    latest: int = 0


class Lent(NamedTuple):
    """A slot that is in use: its number, and the prompt for it."""

    slot: int
    prompt: Prompt
    has_dropped: bool
    on_read: Callable[[], None]
    """to be called when the prompt is read"""


@dataclass
class _Slot:
    number: int
    read: Prompt
    """what is in its cache: at least this"""
    is_dropping: bool = False
    """whether older turns may be in the cache as well: a request that was to drop them may be cancelled"""
    used: int = 0


class Slots:
    """Assigns the slots of a model, each to one reply at a time; if all are in use, the next reply waits.

    `read` is what all slots have read at first.
    """

    def __init__(self, count: int, read: Prompt = ()) -> None:
        self._idle = [_Slot(number, read) for number in range(count)]
        self._free = anyio.Semaphore(count, max_value=count)
        self._clock = 0
        self._replies = 0
        self._turn_to_read = anyio.Lock()
        self._piece: anyio.CancelScope | None = None
        self._changed = anyio.Event()

    @contextmanager
    def replying(self) -> Iterator[None]:
        """Stop reading ahead, for any conversation, until the block is left."""
        self._replies += 1
        if self._piece:
            self._piece.cancel()
        try:
            yield
        finally:
            self._replies -= 1
            self._notify()

    @asynccontextmanager
    async def lend(self, opening: Prompt, window: PromptWindow) -> AsyncIterator[Lent]:
        """Yield the slot for a conversation; it is free again when the block is left.

        The prompt consists of `opening` and of turns of the window.
        """
        async with self._free:
            while self._piece:
                await self._changed.wait()
            with self._lend(opening, window.turns, self._best(opening, window)) as lent:
                yield lent

    async def read_ahead(
        self, opening: Prompt, window: PromptWindow, read: Callable[[Lent], Awaitable[None]]
    ) -> None:
        """Read a conversation, a piece at a time, when no reply is in progress; return when it is read.

        Its last turn is the user's, maybe an empty one.
        """
        turns = window.turns

        async def piece() -> bool:
            needed = len(turns) - (not turns[-1].text)
            places = (find_place(slot.read, opening, window) for slot in self._idle)
            if any(place.start + place.known >= needed for place in places):
                return True
            best = self._best(opening, window)
            place = best[1]
            end, chars = place.start + place.known, 0
            while end < len(turns) and chars < PIECE_CHARS:
                chars, end = chars + len(turns[end].text), end + 1
            so_far = turns[:end]
            if so_far[-1].role != "user":
                so_far += (DialogueTurn("user", ""),)
            with self._lend(opening, so_far, best) as lent:
                await read(lent)
                lent.on_read()
            return False

        await self.when_idle(piece)

    async def when_idle(self, work: Callable[[], Awaitable[bool]]) -> None:
        """Run `work` when no reply is in progress, again and again, until it returns True.

        A reply cancels it; it then runs again afterwards. Several wait for each other: if more conversations
        than slots took turns in reading, each would take the slot of another before it has read to its end.
        """
        is_done = False
        async with self._turn_to_read:
            while not is_done:
                while self._replies:
                    await self._changed.wait()
                try:
                    with anyio.CancelScope() as self._piece:
                        is_done = await work()
                finally:
                    self._piece = None
                    self._notify()

    def _best(self, opening: Prompt, window: PromptWindow) -> tuple[int, Place]:
        """Return which idle slot spares most reading, or else was idle longest, and the place in it."""
        places = [find_place(slot.read, opening, window) for slot in self._idle]
        best = max(range(len(places)), key=lambda i: (places[i].spared, -self._idle[i].used))
        return best, places[best] if places[best].spared else Place(start=window.first)

    @contextmanager
    def _lend(self, opening: Prompt, turns: Prompt, best: tuple[int, Place]) -> Iterator[Lent]:
        slot, place = self._idle.pop(best[0]), best[1]
        prompt = (*opening, *turns[place.start :])

        def on_read() -> None:
            slot.read, slot.is_dropping = prompt, False

        self._clock += 1
        slot.used = self._clock
        slot.read = prompt[: len(opening) + place.known] if place.spared else ()
        slot.is_dropping = bool(place.spared) and (place.has_dropped or slot.is_dropping)
        try:
            yield Lent(slot.number, prompt, slot.is_dropping, on_read)
        finally:
            self._idle.append(slot)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def find_place(read: Prompt, opening: Prompt, window: PromptWindow) -> Place:
    """Return where a conversation continues in a slot that has read `read`.

    Either the slot begins with one of the turns that the prompt may begin with, or it has read older ones. It
    suits if the conversation repeats all but its last turn, or most of it.
    """
    if not read or read[: len(opening)] != opening:
        return Place()
    cached, best = read[len(opening) :], Place()
    begins = [(start, 0) for start in range(window.latest + 1)]
    begins += [(window.first, gone) for gone in range(1, len(cached))]
    for start, gone in begins:
        old, new = cached[gone:], window.turns[start:]
        known = _count_equal(old, new)
        suits = known >= len(old) - 1 or 2 * known >= len(old)
        if suits and (known > 1 or not gone):  # a single turn may be alike by chance
            spared = sum(len(turn.text) for turn in (*opening, *old[:known]))
            if known < min(len(old), len(new)):
                spared += _count_equal(old[known].text, new[known].text)
            best = max(best, Place(spared, start, known, gone > 0))
        elif known >= sum(1 for turn in new if turn.text) and not best.spared:
            best = Place(0, start, known)
    return best


def _count_equal(one: Sequence[object], other: Sequence[object]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
