"""The item by which a model is told what was said before the items that it reads. No I/O.

It says of itself that it is nobody's words. Its id begins with `summary_`, so that a page can tell it apart.
"""

from collections.abc import Iterable, Iterator

from vivavoce.protocol.events import new_id
from vivavoce.protocol.items import InputText, Item, Message, part_text
from vivavoce.text.excerpts import Remark, excerpts

PREFIX = "summary"
HEAD = "Notes on what was said before, made by a program. "
QUOTED = "The user said: "


def summary_item(text: str) -> Message:
    """Return a system message with notes."""
    content = (InputText(text=HEAD + text),)
    return Message(id=new_id(PREFIX), role="system", content=content)


def summary_text(item: Item) -> str | None:
    """Return the notes in an item; None if it has none."""
    is_summary = isinstance(item, Message) and str(item.id).startswith(f"{PREFIX}_")
    return words_of(item).removeprefix(HEAD) if is_summary else None


def quote_user(items: Iterable[Item], max_chars: int) -> str:
    """Return notes that quote what the user has said of herself, without a model; empty if there is nothing."""
    quotes = excerpts([*_remarks(items)], max_chars - len(QUOTED))
    return QUOTED + quotes if quotes else ""


def _remarks(items: Iterable[Item]) -> Iterator[Remark]:
    before = ""
    for item in items:
        if (notes := summary_text(item)) is not None:
            yield Remark(notes.removeprefix(QUOTED))
        elif isinstance(item, Message) and item.role == "user":
            yield Remark(words_of(item), before)
        before = words_of(item) if isinstance(item, Message) and item.role == "assistant" else before


def words_of(item: Item) -> str:
    """Return the words of a message; empty for other items."""
    return " ".join(map(part_text, item.content)).strip() if isinstance(item, Message) else ""
