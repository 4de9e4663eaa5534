"""Telling a server anew what was said, after the connection to the one before has broken."""

from collections.abc import Iterable, Iterator

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.client.conversation_item import Entry
from vivavoce.protocol.events import ConversationItemCreate
from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    Message,
    OutputAudio,
    OutputText,
)

__all__ = ["said_again"]


def said_again(entries: Iterable[Entry]) -> Iterator[ConversationItemCreate]:
    """Return what a client says to create a conversation anew, its items under the same ids.

    What somebody said becomes its words, for a client can create no spoken answer, and its sound only where
    nobody has written it down. What says nothing, and what was settled with MCP servers, is left out; so is a
    call of a tool that was never finished.
    """
    for item in map(_again, entries):
        if item is not None:
            yield ConversationItemCreate(item=item)


def _again(entry: Entry) -> Item | None:
    match entry.item:
        case Message() as message:
            content = tuple(_parts(message, entry))
            return replace(message, content=content, status=UNSET, object=UNSET) if content else None
        case FunctionCall() | FunctionCallOutput() as item if item.status != "incomplete":
            return replace(item, status=UNSET, object=UNSET)
        case _:
            return None


def _parts(message: Message, entry: Entry) -> Iterator[ContentPart]:
    for part in message.content:
        match part:
            case InputAudio(transcript=str() as words) if words.strip():
                yield InputText(text=words)
            case InputAudio():
                if sound := entry.audio:
                    yield InputAudio(audio=sound)
            case OutputAudio(transcript=str() as words) if words.strip():
                yield OutputText(text=words)
            case InputText(text=words) | OutputText(text=words) if not words.strip():
                pass
            case OutputAudio():
                pass
            case _:
                yield part
