"""The dialects of the protocol, of which each connection chooses one: GA, the beta, and the first beta.

A server speaks them to its clients (`Dialect`), and a client to an upstream server (`ClientDialect`).
"""

from collections.abc import Callable
from typing import Protocol

from vivavoce.protocol import codec as wire
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.beta import first as first_beta
from vivavoce.protocol.events import ClientEvent, Event

__all__ = ["BETA", "FIRST_BETA", "GA", "ClientDialect", "Dialect", "Reader", "SpokenBothWays", "by_version"]

Reader = Callable[[str | bytes], tuple[Event, ...]]
"""Reads a server's messages, one after the other, and gives what each means in GA."""


class Dialect(Protocol):
    """How a server writes events, and reads a client's."""

    def decode_client(
        self, data: str | bytes, *, append_bytes: int, text_chars: int, values: int
    ) -> ClientEvent:
        """Read what a client said. Raises `ProtocolError` for whatever is wrong with it."""
        ...

    def encode(self, event: Event) -> str | None:
        """Write an event as JSON text; None if this dialect does not know it."""
        ...


class ClientDialect(Protocol):
    """How a client writes events, and reads a server's."""

    def encode_client(self, event: Event) -> str | None:
        """Write what a client says as JSON text, without what this dialect cannot say; None if that is all."""
        ...

    def reader(self) -> Reader:
        """Return what reads one connection; a message that we do not know means nothing to it.

        It raises `ProtocolError` for what is no event, or lacks what its type must have.
        """
        ...


class SpokenBothWays(Dialect, ClientDialect, Protocol):
    """A dialect that we speak as a server, and as a client."""


GA: SpokenBothWays = wire
BETA: SpokenBothWays = beta
FIRST_BETA: SpokenBothWays = first_beta

GA_VERSIONS = frozenset({"v1", "preview", "latest"})
"""What Azure calls its GA interface, if anybody names it at all; dated versions are of the beta."""
SECOND_PREVIEW = "2025"
"""Dates before this are of Azure's first preview."""


def by_version(version: str) -> SpokenBothWays:
    """Return the dialect of one of Azure's `api-version`s."""
    if version in GA_VERSIONS:
        return GA
    return FIRST_BETA if version < SECOND_PREVIEW else BETA
