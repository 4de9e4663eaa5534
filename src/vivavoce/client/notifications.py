"""The notifications that a client emits to its handlers in addition to protocol events."""

from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from itertools import chain
from typing import Literal, get_args, get_type_hints

from vivavoce.client.items import ConversationItem
from vivavoce.errors import ConfigError, ProviderError
from vivavoce.protocol.events import ClientEvent, Event, kinds


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
    return _event_name(type(emitted)) if isinstance(emitted, Event) else emitted.name


def _event_name(kind: type[Event]) -> str:
    source = "client" if issubclass(kind, ClientEvent) else "server"
    return f"{source}.{kind.__struct_config__.tag}"


def matches(pattern: str, name: str) -> bool:
    """Return whether `pattern` matches the full name of an event or notification.

    A pattern is a full name, or the name of a server event as in the protocol (`response.done`, `error`). A
    star stands for any characters (`server.*`, `response.*.delta`, `*`).
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"server.{pattern}")


@cache
def _names() -> tuple[str, ...]:
    notifications = [get_args(get_type_hints(kind)["name"]) for kind in get_args(Notification)]
    return (*map(_event_name, kinds(Event)), *chain(*notifications))


@lru_cache
def check_pattern(pattern: str) -> None:
    """Raise `ConfigError` if nothing that a client emits has a name like this."""
    if any(matches(pattern, name) for name in _names()):
        return
    short = (name.removeprefix("server.") for name in _names())
    near = get_close_matches(pattern, (*_names(), *short), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; the names are those of the protocol's events"
    raise ConfigError(f"No event or notification is called {pattern!r}{hint}")
