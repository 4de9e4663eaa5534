"""Telling a server anew what was said, after the connection to the one before has broken."""

from collections.abc import Iterable, Iterator

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.client.entries import Entry
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


def said_again(entries: Iterable[Entry]) -> Iterator[Item]:
    """Return the items by which a client can create a conversation anew, under the same ids.

    What somebody said becomes its words, for a client can create no spoken answer, and its sound only where
    nobody has written it down. What says nothing, and what was settled with MCP servers, is left out; so is a
    call of a tool that was never finished.
    """
    for entry in entries:
        match entry.item:
            case Message() as message:
                content = tuple(_parts(message, entry))
                if content:
                    yield replace(message, content=content, status=UNSET, object=UNSET)
            case FunctionCall() as call if call.status != "incomplete":
                yield replace(call, status=UNSET, object=UNSET)
            case FunctionCallOutput() as output:
                yield replace(output, status=UNSET, object=UNSET)
            case _:
                pass


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
