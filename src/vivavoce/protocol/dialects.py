"""The dialects of the protocol, of which each connection uses one: GA, the beta, and the first beta."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from vivavoce.protocol import codec
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.events import ClientEvent, Event

Reader = Callable[[str | bytes], tuple[Event, ...]]
"""Decodes a server's messages, one after the other, into GA's events; an unknown message gives none.

Raises `ProtocolError` for what is no event, or lacks what its type requires.
"""


class DecodeClient(Protocol):
    """Decodes a client event. Raises `ProtocolError` for whatever is wrong with it."""

    def __call__(
        self, data: str | bytes, *, append_bytes: int, text_chars: int, values: int
    ) -> ClientEvent: ...


@dataclass(frozen=True)
class Dialect:
    """How a server decodes client events and encodes its own, and how a client does the reverse.

    Encoding returns JSON text, without what the dialect does not know; None if nothing is left of an event.
    """

    decode_client: DecodeClient
    encode: Callable[[Event], str | None]
    encode_client: Callable[[Event], str | None]
    reader: Callable[[], Reader]
    """returns what reads one connection"""


GA = Dialect(codec.decode_client, codec.encode, codec.encode_client, codec.reader)
BETA = Dialect(beta.decode_client, beta.encode, beta.encode_client, beta.reader)
FIRST_BETA = replace(BETA, encode=beta.encode_first_beta)

GA_VERSIONS = frozenset({"v1", "preview", "latest"})
"""what Azure calls its GA interface, where a version is named at all; dated versions are of the beta"""
SECOND_PREVIEW = "2025"
"""dates before this are of Azure's first preview"""


def by_version(version: str) -> Dialect:
    """Return the dialect of one of Azure's `api-version`s."""
    if version in GA_VERSIONS:
        return GA
    return FIRST_BETA if version < SECOND_PREVIEW else BETA
