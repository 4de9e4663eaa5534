"""Replays a conversation to a server that does not know it, by creating its items under their ids. No I/O."""

from collections.abc import Callable, Iterator

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    Message,
    OutputAudio,
    OutputText,
)
from vivavoce.session.conversation import Conversation

REPLAY_ID = "ours"
"""prefix of the ids of events that the client has not sent, and whose errors it does not receive"""
_ROOT = "root"


def replayable_items(conversation: Conversation, audio: Callable[[str], bytes]) -> Iterator[Item]:
    """Return the items of a conversation as a client can create them, in order and with their ids.

    Speech becomes its transcript, or its audio (`audio` by item id) if it has none; answers contain what was
    played. Left out are empty messages, unfinished function calls, outputs without their call, and MCP items,
    which only a server can create, and what was said that is no answer: apologies and fillers.
    """
    calls = set[str]()
    for item in conversation.items:
        if conversation.purpose(item):
            continue
        created = replayable(item, audio(item.id or ""))
        if isinstance(created, FunctionCallOutput) and created.call_id not in calls:
            continue
        if isinstance(created, FunctionCall):
            calls.add(created.call_id or "")
        if created is not None:
            yield created


def replayable(item: Item, audio: bytes = b"") -> Item | None:
    """Return an item as a client can create it, or None if it cannot."""
    match item:
        case Message(content=content):
            parts = tuple(created for part in content if (created := _replayable_part(part, audio)))
            return replace(item, content=parts, object=UNSET, status=UNSET) if parts else None
        case FunctionCall(status="incomplete" | "in_progress"):
            return None
        case FunctionCall() | FunctionCallOutput():
            return replace(item, object=UNSET, status=UNSET)
        case _:
            return None


def _replayable_part(part: ContentPart, audio: bytes) -> ContentPart | None:
    match part:
        case InputAudio(transcript=str() as text) if text.strip():
            return InputText(text=text)
        case InputAudio():
            return InputAudio(audio=audio) if audio else None
        case OutputAudio(transcript=text):
            return OutputText(text=text) if text and text.strip() else None
        case InputText(text=text) | OutputText(text=text) if not text.strip():
            return None
        case _:
            return part


class HistoryReplay:
    """Replays a conversation to one server after the other, and tracks which items the current server has.

    The client knows all these items already, so the server's events about the replay are not forwarded to it.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._old = set[str]()
        """items from before the current connection: the server can only have them by replay"""
        self._missing = set[str]()
        """the old items that the server does not have"""
        self._creating = dict[str, str]()
        """items that are being created, by the id of our event"""
        self._deleting = list[str]()

    def start(self, audio: Callable[[str], bytes]) -> Iterator[e.ConversationItemCreate]:
        """Return the events that create all items on a new server; `audio` returns the audio of an item id."""
        self._old = {item.id or "" for item in self._conversation.items}
        self._missing, self._creating, self._deleting = set(self._old), {}, []
        for item in replayable_items(self._conversation, audio):
            self._missing.discard(item.id or "")
            yield self._create(item)

    def is_old(self, item_id: str) -> bool:
        """Whether an item is from before this connection, so that requests about it are answered here."""
        return item_id in self._old and item_id in self._conversation

    def is_missing(self, item_id: str) -> bool:
        """Whether the server does not have an item that the client has."""
        return item_id in self._missing

    def recreate(self, item_id: str) -> Iterator[e.ClientEvent]:
        """Return the events that delete and recreate an old item in its current form, for example truncated."""
        if item_id in self._missing:
            return
        self._deleting.append(item_id)
        yield e.ConversationItemDelete(event_id=e.new_id(REPLAY_ID), item_id=item_id)
        item = self._conversation.find(item_id)
        if item is None or (created := replayable(item)) is None:
            self._missing.add(item_id)
            return
        before = self._conversation.before(item_id)
        while before in self._missing:
            before = self._conversation.before(before)
        yield replace(self._create(created), previous_item_id=before or _ROOT)

    def withhold(self, item_id: str) -> None:
        """Treat an item as one that the server does not have: it never receives it."""
        self._old.add(item_id)
        self._missing.add(item_id)

    def delete(self, item_id: str) -> e.ConversationItemDelete:
        """Return the event that deletes an item on the server, and not at the client."""
        self.withhold(item_id)
        self._deleting.append(item_id)
        return e.ConversationItemDelete(event_id=e.new_id(REPLAY_ID), item_id=item_id)

    def _create(self, item: Item) -> e.ConversationItemCreate:
        event_id = e.new_id(REPLAY_ID)
        self._creating[event_id] = item.id or ""
        return e.ConversationItemCreate(event_id=event_id, item=item)

    # server events

    def acknowledge(self, event: e.Event) -> bool:
        """Return whether a server event only confirms, or follows from, the replay."""
        match event:
            case e.ConversationItemAdded(item=item):
                return item.id in self._creating.values()
            case e.ConversationItemDone(item=item) if item.id in self._creating.values():
                del self._creating[next(ours for ours, one in self._creating.items() if one == item.id)]
                return True
            case e.ConversationItemDeleted(item_id=item_id) if item_id in self._deleting:
                self._deleting.remove(item_id)
                return True
            case e.TranscriptionDelta() | e.TranscriptionCompleted() | e.TranscriptionFailed():
                return event.item_id in self._old
            case _:
                return False

    def rejected(self, event_id: str) -> bool:
        """Record that the server rejected one of our events; return whether that would have created an item."""
        item_id = self._creating.pop(event_id, None)
        if item_id is not None:
            self._missing.add(item_id)
        return item_id is not None

    def reposition(self, event: e.Event) -> e.Event:
        """Return an event with the `previous_item_id` that the client knows, after items the server lacks."""
        if not self._missing:
            return event
        match event:
            case e.InputAudioBufferCommitted(previous_item_id=before):
                return replace(event, previous_item_id=self._position(before))
            case e.ConversationItemAdded(previous_item_id=before):
                return replace(event, previous_item_id=self._position(before))
            case e.ConversationItemDone(item=item) if item.id and item.id in self._conversation:
                return replace(event, previous_item_id=self._conversation.before(item.id))
            case _:
                return event

    def _position(self, before: str | None) -> str | None:
        order = [item.id or "" for item in self._conversation.items]
        at = order.index(before) + 1 if before in order else 0 if before is None else len(order)
        while at < len(order) and order[at] in self._missing:
            at += 1
        return order[at - 1] if at else None
