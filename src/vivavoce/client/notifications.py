"""What a client reports to its handlers: every event, and what it means for the conversation."""

from dataclasses import dataclass
from typing import Literal

from vivavoce.client.items import ConversationItem
from vivavoce.errors import ProviderError
from vivavoce.protocol.events import ClientEvent, Event


@dataclass(frozen=True)
class Delta:
    """What was added to an item: one of these."""

    text: str = ""
    transcript: str = ""
    audio: bytes = b""
    arguments: str = ""


@dataclass(frozen=True)
class Update:
    """An item of the conversation has changed, is new, or has reached its final form."""

    name: Literal["conversation.updated", "conversation.item.appended", "conversation.item.completed"]
    item: ConversationItem
    delta: Delta | None = None


@dataclass(frozen=True)
class Interrupted:
    """The user has begun to speak: playback should stop. `item` is the last spoken answer."""

    item: ConversationItem | None
    name: Literal["conversation.interrupted"] = "conversation.interrupted"


@dataclass(frozen=True)
class ConnectionChanged:
    """The connection is open, is lost and will be tried again in so many `seconds`, or is closed.

    `attempt` counts the attempts in a row that failed. `error` is why; without one, the connection was closed
    on purpose.
    """

    name: Literal["connection.opened", "connection.lost", "connection.closed"]
    attempt: int = 0
    seconds: float = 0.0
    error: ProviderError | None = None


@dataclass(frozen=True)
class HandlerFailed:
    """A handler raised an error, or could not keep up (`error` is None); `about` is what it was called for."""

    handler: str
    about: str
    error: Exception | None
    name: Literal["handler.failed"] = "handler.failed"


Notification = Update | Interrupted | ConnectionChanged | HandlerFailed
Emitted = Event | Notification


def name_of(emitted: Emitted) -> str:
    """Return the full name: `server.response.done`, `client.response.create`, `conversation.updated`."""
    if isinstance(emitted, Event):
        source = "client" if isinstance(emitted, ClientEvent) else "server"
        return f"{source}.{emitted.__struct_config__.tag}"
    return emitted.name


def matches(pattern: str, emitted: Emitted) -> bool:
    """Return whether a handler for `pattern` is to be called.

    A pattern is a full name, the beginning of some (`server.*`, `server.response.*`), everything (`*`), or the
    name of a server's event as the protocol has it (`response.done`, `error`).
    """
    name = name_of(emitted)
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return pattern == name or f"server.{pattern}" == name
