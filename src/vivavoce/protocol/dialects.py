"""The dialects of the protocol, of which each connection chooses one: GA, the beta, and the first beta."""

from typing import Protocol

from vivavoce.protocol import beta, first_beta, wire
from vivavoce.protocol.events import ClientEvent, Event

__all__ = ["BETA", "FIRST_BETA", "GA", "Dialect"]


class Dialect(Protocol):
    """How events are written, and read."""

    def decode_client(
        self, data: str | bytes, *, append_bytes: int, text_chars: int, values: int
    ) -> ClientEvent:
        """Read what a client said. Raises `ProtocolError` for whatever is wrong with it."""
        ...

    def encode(self, event: Event) -> str | None:
        """Write an event as JSON text; None if this dialect does not know it."""
        ...


GA: Dialect = wire
BETA: Dialect = beta
FIRST_BETA: Dialect = first_beta
