"""What a client tells those who listen: every event, and what it means for the conversation."""

from dataclasses import dataclass, field
from typing import Literal

from vivavoce.client.conversation_item import Entry
from vivavoce.errors import ProviderError
from vivavoce.protocol.events import ClientEvent, Event

__all__ = [
    "ConnectionChanged",
    "Delta",
    "HandlerFailed",
    "Happening",
    "Interrupted",
    "Notice",
    "Update",
    "is_meant",
    "name_of",
]


@dataclass(frozen=True)
class Delta:
    """What an item has more than before: one of these."""

    text: str = ""
    transcript: str = ""
    audio: bytes = b""
    arguments: str = ""


@dataclass(frozen=True)
class Update:
    """An item of the conversation has changed, is new, or has reached its final form."""

    name: Literal["conversation.updated", "conversation.item.appended", "conversation.item.completed"]
    item: Entry
    delta: Delta | None = None


@dataclass(frozen=True)
class Interrupted:
    """The caller has begun to speak: what is played should stop. `item` is the last spoken answer."""

    item: Entry | None
    name: Literal["conversation.interrupted"] = "conversation.interrupted"


@dataclass(frozen=True)
class ConnectionChanged:
    """The connection is there, is lost and will be tried again in so many `seconds`, or is over.

    `attempt` counts the calls in a row that failed or broke. `error` is why; a connection that ends without
    one was wished to.
    """

    name: Literal["connection.opened", "connection.lost", "connection.closed"]
    attempt: int = 0
    seconds: float = 0.0
    error: ProviderError | None = None


@dataclass(frozen=True)
class HandlerFailed:
    """A handler raised an error, or could not keep up; the others were told all the same."""

    handler: str
    about: str
    error: Exception | None
    name: Literal["handler.failed"] = field(default="handler.failed")


Notice = Update | Interrupted | ConnectionChanged | HandlerFailed
Happening = Event | Notice


def name_of(happening: Happening) -> str:
    """Return the full name: `server.response.done`, `client.response.create`, `conversation.updated`."""
    if isinstance(happening, Event):
        by = "client" if isinstance(happening, ClientEvent) else "server"
        return f"{by}.{happening.__struct_config__.tag}"
    return happening.name


def is_meant(pattern: str, happening: Happening) -> bool:
    """Say whether somebody who asks for `pattern` is to be told.

    A pattern is a full name, the beginning of some (`server.*`, `server.response.*`), everything (`*`), or the
    name of a server's event as the protocol has it (`response.done`, `error`).
    """
    name = name_of(happening)
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return pattern == name or f"server.{pattern}" == name
