"""What takes part in a conversation beside its two ends: listeners observe, middleware may also intervene."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from vivavoce.protocol.events import ClientEvent, Event, OwnEvent


@dataclass(frozen=True)
class ObservedEvent:
    """One event on a line: which, who sent it, and when (in seconds of the event loop's clock)."""

    event: Event
    source: Literal["client", "server"]
    at: float


Listener = Callable[[ObservedEvent], None]
"""Observes the events of one conversation, in their order: records or measures. It is called synchronously
for each, sound included, and must not block: what takes time goes into a queue of the listener's own."""


class SessionHandle(Protocol):
    """What middleware sends by: to the engine in the caller's place, or to those who observe.

    Every method raises `HungUp` once the conversation is over.
    """

    async def send(self, event: ClientEvent) -> None:
        """Send an event of our own to the engine. An `error` about it goes to the middleware alone."""
        ...

    async def resume(self, event: ClientEvent) -> None:
        """Pass on to the engine an event of the caller that `intercept` has held back."""
        ...

    async def notify(self, event: OwnEvent) -> None:
        """Send an event of our own to listeners, and to the clients that know such events."""
        ...


class Middleware(Protocol):
    """Observes one conversation, holds back or changes what the client sends, and sends in its place."""

    def intercept(self, event: ClientEvent) -> ClientEvent | None:
        """Return what the engine receives in place of a client's event, or None to hold it back or drop it.

        Called synchronously, before any listener; must not block. If it raises `ProtocolError`, nobody receives
        the event, and its sender gets the error.
        """
        ...

    def on_event(self, observed: ObservedEvent) -> None:
        """Observe an event, our own among them. Called synchronously; must not block."""
        ...

    async def run(self, handle: SessionHandle) -> None:
        """Work until cancelled, which happens when the conversation ends.

        Anything raised is a server error, and ends the conversation.
        """
        ...
