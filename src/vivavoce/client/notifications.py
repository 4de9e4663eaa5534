"""The notifications that a client emits to its handlers in addition to protocol events."""

from dataclasses import dataclass
from typing import Literal

from vivavoce.client.items import ConversationItem
from vivavoce.errors import ProviderError
from vivavoce.protocol.events import ClientEvent, Event


@dataclass(frozen=True)
class Delta:
    """What an event added to an item; one of the fields is set."""

    text: str = ""
    transcript: str = ""
    audio: bytes = b""
    arguments: str = ""


@dataclass(frozen=True)
class Update:
    """An item of the conversation has changed, was appended, or is complete."""

    name: Literal["conversation.updated", "conversation.item.appended", "conversation.item.completed"]
    item: ConversationItem
    delta: Delta | None = None


@dataclass(frozen=True)
class Interrupted:
    """The user has started to speak, so playback should stop. `item` is the last spoken answer."""

    item: ConversationItem | None
    name: Literal["conversation.interrupted"] = "conversation.interrupted"


@dataclass(frozen=True)
class ConnectionChanged:
    """The connection was opened, was lost and is retried in `seconds` seconds, or was closed for good.

    `attempt` counts the failed attempts in a row. `error` is the cause; None if it was closed on purpose.
    """

    name: Literal["connection.opened", "connection.lost", "connection.closed"]
    attempt: int = 0
    seconds: float = 0.0
    error: ProviderError | None = None


@dataclass(frozen=True)
class HandlerFailed:
    """A handler raised `error`, or is too slow and was not called (None); `about` names the event."""

    handler: str
    about: str
    error: Exception | None
    name: Literal["handler.failed"] = "handler.failed"


Notification = Update | Interrupted | ConnectionChanged | HandlerFailed
Emitted = Event | Notification


def name_of(emitted: Emitted) -> str:
    """Return the full name: `server.response.done`, `client.response.create`, or `conversation.updated`."""
    if isinstance(emitted, Event):
        source = "client" if isinstance(emitted, ClientEvent) else "server"
        return f"{source}.{emitted.__struct_config__.tag}"
    return emitted.name


def matches(pattern: str, emitted: Emitted) -> bool:
    """Return whether `pattern` matches an event or notification.

    A pattern is a full name, a prefix with a star (`server.*`, `server.response.*`, `*`), or the name of a
    server event as in the protocol (`response.done`, `error`).
    """
    name = name_of(emitted)
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return pattern == name or f"server.{pattern}" == name
