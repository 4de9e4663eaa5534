"""Events as messages of a data channel, which are no larger than the other end can take."""

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.dialects import Dialect
from vivavoce.protocol.items import InputAudio, Item, Message, OutputAudio

__all__ = ["written"]


def written(event: e.Event, dialect: Dialect, most: int) -> str | None:
    """Write an event in at most so many bytes (0 is any number), or nothing if the dialect does not know it.

    An item that was asked for goes without its sound, if need be: it was on the track. Of anything else that is
    too large the client is told by an `error`.
    """
    text = dialect.encode(event)
    if text is None or not 0 < most < len(text.encode()):
        return text
    if isinstance(event, e.ConversationItemRetrieved) and _silent(event.item) != event.item:
        return written(replace(event, item=_silent(event.item)), dialect, most)
    name = event.__struct_config__.tag
    problem = f"{name} is too large for this client's data channel: a message has at most {most} bytes."
    return dialect.encode(error_event(ProtocolError(problem, code="event_too_large")))


def _silent(item: Item) -> Item:
    if not isinstance(item, Message):
        return item
    return replace(item, content=tuple(_without_sound(part) for part in item.content))


def _without_sound(part: object) -> object:
    return replace(part, audio=UNSET) if isinstance(part, InputAudio | OutputAudio) else part
