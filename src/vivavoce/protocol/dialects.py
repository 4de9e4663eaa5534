"""The dialects of the protocol: GA, the beta, and the first beta. A connection uses one of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from vivavoce.limits import Limits
from vivavoce.protocol import codec
from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.events import ClientEvent, Event

Reader = Callable[[str | bytes], tuple[Event, ...]]
"""Decodes the messages of a server, in order, into GA events; an unknown message becomes none.

Raises `ProtocolError` if a message is no event, or required fields are missing.
"""


@dataclass(frozen=True)
class Dialect:
    """The functions by which servers and clients decode and encode events.

    Encoding returns JSON text, without what the dialect does not have; None if nothing is left.
    """

    decode_client: Callable[[str | bytes, Limits], ClientEvent]
    """raises `ProtocolError` if the event is invalid"""
    encode: Callable[[Event], str | None]
    encode_client: Callable[[Event], str | None]
    reader: Callable[[], Reader]
    """returns a new reader for one connection"""


GA = Dialect(codec.decode_client, codec.encode, codec.encode_client, lambda: codec.read_server)
BETA = Dialect(beta.decode_client, beta.encode, beta.encode_client, beta.BetaReader)
FIRST_BETA = replace(BETA, encode=beta.encode_first_beta)

GA_VERSIONS = frozenset({"v1", "preview", "latest"})
"""Azure's names of the GA interface, if a version is given; dated versions are the beta"""
SECOND_PREVIEW = "2025"
"""earlier dates are Azure's first preview"""


def by_version(version: str) -> Dialect:
    """Return the dialect of an Azure `api-version`."""
    if version in GA_VERSIONS:
        return GA
    return FIRST_BETA if version < SECOND_PREVIEW else BETA
