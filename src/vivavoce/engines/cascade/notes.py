"""Notes on a long conversation, so that the chat model knows what its context has no room for. No I/O.

A note on all that was said is put behind the last answer, before the beginning is left out, and stays there.
So the prompt only grows at its end: a model that has read it need not read it again. When most of the context
has come after the last note, there is a new one; the old one is left out like all that is old.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.engines.cascade.truncation import estimate_item
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message
from vivavoce.providers.base import ChatRequest
from vivavoce.providers.dialogue import estimate_tokens, first_kept
from vivavoce.session.summary import summary_item, summary_text, words_of

FULL = 0.8
"""the part of the context that is in use when the first note is made: nothing was left out until then"""
AFTER = 0.6
"""The part of the context that has come after a note when the next is made. A prompt has at least 3/4 of it, so
the note before is still read."""
SHARE = 1 / 8
"""the part of the context that a note may fill"""
CHARS_PER_TOKEN = 3
TOLD = 4
"""turns of an earlier conversation that a small model overlooks nothing of, without a note on them"""


@dataclass(frozen=True)
class _Note:
    message: Message | None
    """None if there was nothing to be noted"""
    after: str
    covered: frozenset[str]
    """ids of the items that it is about"""


class Notes:
    """The notes of one conversation. `messages` are its items without them, in all methods."""

    def __init__(self, max_chars: int) -> None:
        self._notes: list[_Note] = []
        self._max_chars = max_chars

    def with_notes(self, messages: Sequence[Item]) -> tuple[Item, ...]:
        """Return the messages, with each note behind the one that was the last when it was made."""
        by_item = {note.after: note.message for note in self._notes if note.message}
        behind = ((item, by_item.get(item.id or "")) for item in messages)
        return tuple(one for pair in behind for one in pair if one)

    def max_chars(self, budget: int) -> int:
        """Return how long a note may be, where the context has room for `budget` tokens."""
        return min(self._max_chars, int(budget * SHARE * CHARS_PER_TOKEN))

    def due(self, messages: Sequence[Item], budget: int, *, is_told: bool = False) -> Sequence[Item]:
        """Return the messages on which a note is to be made now, with the last one on them; empty if none is.

        Only after an answer, and not on the last turn: of its answer, not all may have been heard yet. What
        `is_told` to a small model, of an earlier conversation, is noted at once: it finds little in many turns.
        """
        if not messages or not _is_by(messages[-1], "assistant"):
            return ()
        turns = [at for at, item in enumerate(messages) if _is_by(item, "user")]
        if is_told and not self._notes and len(turns) > TOLD:
            return messages
        costs, ids = [estimate_item(item) for item in messages], [item.id or "" for item in messages]
        begin = next((ids.index(note.after) + 1 for note in reversed(self._notes) if note.after in ids), 0)
        if sum(costs) < budget * FULL or sum(costs[begin:]) < budget * AFTER:
            return ()
        return messages[: turns[-1]] if turns else ()

    def add(self, text: str, covered: Sequence[Item], messages: Sequence[Item]) -> None:
        """Put a note on some messages behind the last one; without text it is only not due again."""
        message = summary_item(text) if text else None
        ids = frozenset(item.id or "" for item in covered)
        self._notes.append(_Note(message, messages[-1].id or "", ids))

    def forget(self, item_id: str) -> None:
        """Drop all notes on an item, because it was deleted or cut off."""
        self._notes = [note for note in self._notes if item_id not in note.covered]

    def since_last(self, covered: Sequence[Item]) -> Sequence[Item]:
        """Return the last note on some of these messages, if any, and those that are not in it."""
        last = next((note for note in reversed(self._notes) if note.message), None)
        if last is None or last.message is None:
            return covered
        return [last.message, *(item for item in covered if item.id not in last.covered)]


INSTRUCTIONS = (
    "You write notes for a voice assistant on its conversation with a user, of which it will see only the end. "
    "In at most {words} words, in the language of the conversation, say what it has to know of the rest: "
    "names, numbers, dates, what the user wants, likes and has told about people, what was promised and what "
    "is open. Write only what was said, in plain sentences, without a heading."
)


def summary_request(messages: Sequence[Item], budget: int, max_chars: int) -> ChatRequest:
    """Return the request that has a chat model sum up messages: as many of the last ones as it can read."""
    written = [line for item in messages if (line := _line(item))]
    begin = first_kept([estimate_tokens(line) for line in written], budget, 1)
    asked = Message(role="user", content=(InputText(text="\n".join(written[begin:])),))
    return ChatRequest(
        items=(asked,),
        instructions=INSTRUCTIONS.format(words=max_chars // 8),
        max_tokens=max_chars // CHARS_PER_TOKEN,
        spoken=False,
    )


def _line(item: Item) -> str:
    if (notes := summary_text(item)) is not None:
        return f"Earlier notes: {notes}"
    match item:
        case Message(role=role) if words := words_of(item):
            return f"{role.capitalize()}: {words}"
        case FunctionCall(name=name, arguments=arguments):
            return f"(The assistant uses {name}: {arguments})"
        case FunctionCallOutput(output=output):
            return f"(The result: {output})"
        case _:
            return ""


def _is_by(item: Item, role: str) -> bool:
    return isinstance(item, Message) and item.role == role
