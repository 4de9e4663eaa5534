"""Where the tools of a client sit: on our side of the line."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.session.line import HungUp

__all__ = ["ClientSessionHandle"]

REMEMBERED = 256
"""of what was said here, so many events are remembered by name"""


@dataclass
class ClientSessionHandle:
    """Says things as the client, by `send`, and remembers what: an error about it is not the user's.

    What is said while the connection is being made again waits for it.
    """

    send_event: Callable[[e.ClientEvent], Awaitable[None]]
    show: Callable[[e.OwnEvent], None]
    _said: dict[str, None] = field(default_factory=dict)

    async def send(self, event: e.ClientEvent) -> None:
        """Say something of our own."""
        if event.event_id is UNSET:
            event = replace(event, event_id=e.new_id("event"))
        self._said[event.event_id or ""] = None
        if len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
        await self.resume(event)

    async def resume(self, event: e.ClientEvent) -> None:
        """Say what the user has said, and was kept back."""
        try:
            await self.send_event(event)
        except ProviderError as error:
            raise HungUp from error

    async def notify(self, event: e.OwnEvent) -> None:
        """Show the user an event of our own."""
        self.show(event)

    def is_ours(self, event: e.Event) -> bool:
        """Say whether this is an error about something said here."""
        return isinstance(event, e.ErrorEvent) and event.error.event_id in self._said
