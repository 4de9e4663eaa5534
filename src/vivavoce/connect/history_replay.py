"""A conversation told again, to somebody who does not know it. Pure."""

from collections.abc import Iterator, Mapping

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.session.conversation import Conversation

__all__ = ["retold", "told_again"]


def told_again(conversation: Conversation, sounds: Mapping[str, bytes]) -> Iterator[Item]:
    """Give the items of a conversation as a client can create them, in their order and under their ids.

    What was said is told in its words, or in its sound (`sounds`, by item) while nobody knows these; an answer,
    as far as it was heard. What says nothing is left out, and so are half a call, the output of a call that is
    left out, and what concerns MCP servers, which only a server can say.
    """
    calls = set[str]()
    for item in conversation.items:
        again = retold(item, sounds.get(item.id or "", b""))
        if isinstance(again, FunctionCallOutput) and again.call_id not in calls:
            continue
        if isinstance(again, FunctionCall):
            calls.add(again.call_id or "")
        if again is not None:
            yield again


def retold(item: Item, sound: bytes = b"") -> Item | None:
    """Return an item as a client can create it, or None if it cannot."""
    match item:
        case Message(content=content):
            parts = tuple(again for part in content if (again := _retold(part, sound)))
            return replace(item, content=parts, object=UNSET, status=UNSET) if parts else None
        case FunctionCall(status=status) if status != "incomplete" and status != "in_progress":
            return replace(item, object=UNSET, status=UNSET)
        case FunctionCallOutput():
            return replace(item, object=UNSET, status=UNSET)
        case _:
            return None


def _retold(part: ContentPart, sound: bytes) -> ContentPart | None:
    match part:
        case InputAudio(transcript=str() as words) if words.strip():
            return InputText(text=words)
        case InputAudio():
            return InputAudio(audio=sound) if sound else None
        case OutputAudio(transcript=words):
            return OutputText(text=words) if words and words.strip() else None
        case InputText(text=words) | OutputText(text=words):
            return part if words.strip() else None
        case InputImage():
            return part
