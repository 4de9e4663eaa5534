"""What every engine of ours says no to, in the same words."""

from msgspec import UNSET

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event

__all__ = ["expired", "naming", "not_a_clients", "too_many_items"]


def naming(error: ProtocolError, event: e.Event) -> e.ErrorEvent:
    """Make an `error` that names the client's event (realtime.md 1.4 G)."""
    if error.event_id is None and isinstance(event, e.ClientEvent) and event.event_id is not UNSET:
        error.event_id = event.event_id
    return error_event(error)


def expired(limits: Limits) -> e.ErrorEvent:
    """Make the `error` with which a conversation ends that has lasted as long as it may."""
    minutes = limits.conversation_minutes
    message = f"Your session hit the maximum duration of {minutes:g} minutes (limits.conversation_minutes)."
    return error_event(ProtocolError(message, code="session_expired"))


def too_many_items(limits: Limits) -> ProtocolError:
    """Make the error for an item more than a conversation may hold."""
    return ProtocolError(
        f"A conversation holds at most {limits.items} items (limits.items); delete some.",
        code="too_many_items",
        param="item",
    )


def not_a_clients() -> ProtocolError:
    """Make the error for an event that no client says."""
    return ProtocolError("An engine is told client events only.", code="invalid_event")
