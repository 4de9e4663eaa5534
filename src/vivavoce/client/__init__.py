"""A client library for vivavoce, OpenAI, Azure, and any other server of the Realtime protocol."""

from vivavoce.client.event_log import EventLog, Logged
from vivavoce.client.items import ConversationItem, image
from vivavoce.client.notifications import (
    ConnectionChanged,
    Delta,
    Emitted,
    HandlerFailed,
    Interrupted,
    Update,
    name_of,
)
from vivavoce.client.realtime import RealtimeClient

__all__ = [
    "ConnectionChanged",
    "ConversationItem",
    "Delta",
    "Emitted",
    "EventLog",
    "HandlerFailed",
    "Interrupted",
    "Logged",
    "RealtimeClient",
    "Update",
    "image",
    "name_of",
]
