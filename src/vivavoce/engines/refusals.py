"""The errors that all engines have in common."""

from msgspec import UNSET

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event


def error_for(event: e.Event, error: ProtocolError) -> e.ErrorEvent:
    """Return the `error` about a client event, with the event's id."""
    if error.event_id is None and isinstance(event, e.ClientEvent) and event.event_id is not UNSET:
        error.event_id = event.event_id
    return error_event(error)


def expired(limits: Limits) -> e.ErrorEvent:
    """Return the `error` that ends a conversation at `limits.conversation_minutes`."""
    minutes = limits.conversation_minutes
    message = f"Your session hit the maximum duration of {minutes:g} minutes (limits.conversation_minutes)."
    return error_event(ProtocolError(message, code="session_expired"))


def too_many_items(limits: Limits) -> ProtocolError:
    """Return the error for an item beyond `limits.items`."""
    return ProtocolError(
        f"A conversation may have at most {limits.items} items (limits.items); delete some.",
        code="too_many_items",
        param="item",
    )


def not_a_client_event() -> ProtocolError:
    """Return the error for an event that is not a client event."""
    return ProtocolError("An engine accepts only client events.", code="invalid_event")
