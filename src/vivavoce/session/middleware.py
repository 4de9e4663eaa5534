"""The contracts of listeners, which observe a conversation, and middleware, which can also change it."""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from vivavoce.protocol.events import ClientEvent, Event, OwnEvent


class ObservedEvent(msgspec.Struct, frozen=True):
    """An event on a line, with its source, and its time in seconds of the event loop's clock."""

    event: Event
    source: Literal["client", "server"]
    at: float


Listener = Callable[[ObservedEvent], None]
"""Observes the events of one conversation in order, for example to record or measure them. Called synchronously
for each event, audio included, so it must not block; slow work belongs in a queue of the listener."""


EndedBy = Literal["caller", "server", "error"]
"""Who ended a conversation: the caller hung up; the engine or `Switchboard.hang_up`; or an internal error."""


@runtime_checkable
class SupportsEnd(Protocol):
    """A listener that is also told when the conversation is over."""

    def on_end(self, by: EndedBy) -> None: ...


class SessionHandle(Protocol):
    """Lets middleware send events to the engine, or to the clients and listeners.

    All methods raise `HungUp` once the conversation is over.
    """

    async def send(self, event: ClientEvent) -> None:
        """Send the engine an event of the middleware, which alone observes an `error` about it."""
        ...

    async def resume(self, event: ClientEvent) -> None:
        """Send the engine a client event that `intercept` has held back."""
        ...

    async def notify(self, event: OwnEvent) -> None:
        """Send an event of vivavoce's own to listeners, and to the clients that have `extras`."""
        ...


class Middleware(Protocol):
    """Observes one conversation, changes or holds back client events, and sends events of its own."""

    def intercept(self, event: ClientEvent) -> ClientEvent | None:
        """Return the event that the engine receives instead of `event`; None to hold it back or drop it.

        Called synchronously, before any listener; must not block. If it raises `ProtocolError`, the event is
        dropped, and its sender receives the error.
        """
        ...

    def on_event(self, observed: ObservedEvent) -> None:
        """Observe an event, including those that this middleware sent. Called synchronously; must not block."""
        ...

    async def run(self, handle: SessionHandle) -> None:
        """Run until cancelled, which happens when the conversation ends.

        An exception is reported as a server error, and ends the conversation.
        """
        ...
