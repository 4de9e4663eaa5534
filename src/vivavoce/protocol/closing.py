"""The events and objects that close the parts, items and responses of a response, in the protocol's order."""

from typing import TypedDict

from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import AudioPart, FunctionCall, FunctionCallOutput, Item, Message, TextPart
from vivavoce.protocol.responses import Failed, FailedError, Response


class OutputPlace(TypedDict):
    """The item and response that an event is about."""

    response_id: str
    item_id: str
    output_index: int


class PartPlace(OutputPlace):
    """The part of a message that an event is about."""

    content_index: int


def part_closers(place: PartPlace, text: str, *, spoken: bool) -> tuple[e.ServerEvent, ...]:
    """Return the events that close a part of a message; `text` is its text, or its transcript if `spoken`."""
    if not spoken:
        return (
            e.ResponseOutputTextDone(**place, text=text),
            e.ResponseContentPartDone(**place, part=TextPart(text=text)),
        )
    return (
        e.ResponseOutputAudioDone(**place),
        e.ResponseOutputAudioTranscriptDone(**place, transcript=text),
        e.ResponseContentPartDone(**place, part=AudioPart(transcript=text)),
    )


def incomplete(item: Item) -> Item:
    """Return an item in progress as incomplete; others unchanged."""
    if isinstance(item, Message | FunctionCall | FunctionCallOutput) and item.status == "in_progress":
        return replace(item, status="incomplete")
    return item


def connection_lost(response: Response, message: str) -> Response:
    """Return a response as failed because its server was lost; `message` is readable text."""
    error = FailedError(type="server_error", code="connection_lost", message=message)
    return replace(response, status="failed", status_details=Failed(error=error))
