"""What closes the parts, items and responses that a response has opened, in the protocol's order. Pure."""

from typing import TypedDict

from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import AudioPart, FunctionCall, FunctionCallOutput, Item, Message, TextPart
from vivavoce.protocol.responses import Failed, FailedError, Response


class OutputPlace(TypedDict):
    """Which item of which response an event is about."""

    response_id: str
    item_id: str
    output_index: int


class PartPlace(OutputPlace):
    """Which part of a message an event is about."""

    content_index: int


def part_closers(place: PartPlace, text: str, *, spoken: bool) -> tuple[e.ServerEvent, ...]:
    """Return the events that close a part of a message; `text` is all of it, or the transcript if `spoken`."""
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
    """Return an item as it ends that was in progress and will not be completed; others stay as they are."""
    if isinstance(item, Message | FunctionCall | FunctionCallOutput) and item.status == "in_progress":
        return replace(item, status="incomplete")
    return item


def connection_lost(response: Response, message: str) -> Response:
    """Return a response as it ends when the connection to its server is lost; `message` is for people."""
    error = FailedError(type="server_error", code="connection_lost", message=message)
    return replace(response, status="failed", status_details=Failed(error=error))
