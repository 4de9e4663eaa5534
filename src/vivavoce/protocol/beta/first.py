"""The beta as it was in 2024, which Azure's first preview still has: events that came later are not said.

Clients of that year know its events and no others. Azure's `rt-client` hangs up on one that it does not know.
"""

from vivavoce.protocol.beta import codec as beta
from vivavoce.protocol.beta.codec import decode_client, encode_client, reader
from vivavoce.protocol.events import Event, TranscriptionDelta

__all__ = ["decode_client", "encode", "encode_client", "reader"]

LATER = (TranscriptionDelta,)
"""What a server says unasked now, and did not say then."""


def encode(event: Event) -> str | None:
    """Write an event as JSON text; None if the first beta does not know it."""
    return None if isinstance(event, LATER) else beta.encode(event)
