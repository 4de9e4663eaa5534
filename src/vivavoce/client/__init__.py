"""For people who write against us, OpenAI, Azure, or any server of the Realtime protocol: `RealtimeClient`."""

from vivavoce.client.content import image
from vivavoce.client.conversation_item import Entry
from vivavoce.client.event_log import EventLog, Logged
from vivavoce.client.notifications import (
    ConnectionChanged,
    Delta,
    HandlerFailed,
    Happening,
    Interrupted,
    Update,
    name_of,
)
from vivavoce.client.realtime import RealtimeClient

__all__ = [
    "ConnectionChanged",
    "Delta",
    "Entry",
    "EventLog",
    "HandlerFailed",
    "Happening",
    "Interrupted",
    "Logged",
    "RealtimeClient",
    "Update",
    "image",
    "name_of",
]
