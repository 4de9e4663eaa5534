"""Which of a model's slots reads a conversation: the one that has read most of it before."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile

import anyio

from vivavoce.providers.dialogue import Turn

__all__ = ["Slots", "best"]

Prompt = tuple[Turn, ...]


@dataclass
class _Slot:
    number: int
    read: Prompt = ()
    used: int = 0


def best(prompt: Prompt, slots: Sequence[tuple[Prompt, int]]) -> int:
    """Return the index of the slot for a prompt, of slots given as what each read last and when that was.

    A slot suits where all that it read but its last turn comes again: the conversation returns to it. The one
    that spares most reading is taken; where none is better than another, the one that has been idle longest.
    """
    return max(range(len(slots)), key=lambda i: (_spared(prompt, slots[i][0]), -slots[i][1]))


def _spared(prompt: Prompt, read: Prompt) -> int:
    """Return how many characters need not be read again; none where the slot is another conversation's."""
    if not read or len(prompt) < len(read) or prompt[: len(read) - 1] != read[:-1]:
        return 0
    last, now = read[-1].text, prompt[len(read) - 1].text
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(last, now, strict=False)))
    return sum(len(said.text) for said in read[:-1]) + alike


class Slots:
    """Lends out the slots of one model, each to one reply at a time; who comes when all are lent waits."""

    def __init__(self, count: int, read: Prompt = ()) -> None:
        self._idle = [_Slot(number, read) for number in range(count)]
        self._free = anyio.Semaphore(count, max_value=count)
        self._clock = 0

    @asynccontextmanager
    async def lend(self, prompt: Prompt) -> AsyncIterator[int]:
        """Give the number of the slot to read `prompt`; it is free again when the block is left."""
        async with self._free:
            slot = self._idle.pop(best(prompt, [(slot.read, slot.used) for slot in self._idle]))
            self._clock += 1
            slot.read, slot.used = prompt, self._clock
            try:
                yield slot.number
            finally:
                self._idle.append(slot)
