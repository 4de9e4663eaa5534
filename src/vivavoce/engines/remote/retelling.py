"""A conversation that the caller knows, and somebody far away is told again: who knows what of it. Pure."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from vivavoce.connect.history_replay import retold, told_again
from vivavoce.protocol import events as e
from vivavoce.protocol.items import Item
from vivavoce.session.conversation import Conversation

__all__ = ["OURS", "Retelling"]

OURS = "ours"
"""how the ids begin of events that the caller has not said, and need not hear an error about"""
_ROOT = "root"


class Retelling:
    """Tells items again, and keeps what comes back of that from the caller."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._old = set[str]()
        """items that whoever is there knows from us, if at all"""
        self._absent = set[str]()
        """those of them that only the caller knows"""
        self._adding = dict[str, str]()
        """items that are being told, by the id of our event"""
        self._deleting = list[str]()

    def all(self, sounds: Mapping[str, bytes]) -> Iterator[e.ConversationItemCreate]:
        """Give what tells all to somebody who knows nothing; `sounds` are of items that have no words yet."""
        self._old = {item.id or "" for item in self._conversation.items}
        self._absent, self._adding, self._deleting = set(self._old), {}, []
        for item in told_again(self._conversation, sounds):
            self._absent.discard(item.id or "")
            yield self._creating(item)

    def knows(self, item_id: str) -> bool:
        """Whether an item is an old one, of which only we can tell how it was."""
        return item_id in self._old and item_id in self._conversation

    def is_absent(self, item_id: str) -> bool:
        """Whether only the caller knows an item."""
        return item_id in self._absent

    def again(self, item_id: str) -> Iterator[e.ClientEvent]:
        """Give what tells an old item again as it is now: less of it was heard, say."""
        if item_id in self._absent:
            return
        self._deleting.append(item_id)
        yield e.ConversationItemDelete(event_id=e.new_id(OURS), item_id=item_id)
        item = self._conversation.find(item_id)
        if item is None or (said := retold(item)) is None:
            self._absent.add(item_id)
        else:
            yield replace(self._creating(said), previous_item_id=self._known_before(item_id))

    def _creating(self, item: Item) -> e.ConversationItemCreate:
        ours = e.new_id(OURS)
        self._adding[ours] = item.id or ""
        return e.ConversationItemCreate(event_id=ours, item=item)

    def _known_before(self, item_id: str) -> str:
        before = self._conversation.before(item_id)
        while before in self._absent:
            before = self._conversation.before(before)
        return before or _ROOT

    # what comes back

    def swallows(self, event: e.Event) -> bool:
        """Say whether an event only tells of what we have told."""
        match event:
            case e.ConversationItemAdded(item=item):
                return item.id in self._adding.values()
            case e.ConversationItemDone(item=item) if item.id in self._adding.values():
                del self._adding[next(ours for ours, one in self._adding.items() if one == item.id)]
                return True
            case e.ConversationItemDeleted(item_id=item_id) if item_id in self._deleting:
                self._deleting.remove(item_id)
                return True
            case e.TranscriptionDelta() | e.TranscriptionCompleted() | e.TranscriptionFailed():
                return event.item_id in self._old
            case _:
                return False

    def refused(self, event_id: str) -> bool:
        """The far end does not take one of our events; return whether that told an item."""
        item_id = self._adding.pop(event_id, None)
        if item_id is not None:
            self._absent.add(item_id)
        return item_id is not None

    def placed(self, event: e.Event) -> e.Event:
        """Return an event that says where an item is as the caller has it: behind what only they know."""
        if not self._absent:
            return event
        match event:
            case e.InputAudioBufferCommitted(previous_item_id=before):
                return replace(event, previous_item_id=self._place(before))
            case e.ConversationItemAdded(previous_item_id=before):
                return replace(event, previous_item_id=self._place(before))
            case e.ConversationItemDone(item=item) if item.id and item.id in self._conversation:
                return replace(event, previous_item_id=self._conversation.before(item.id))
            case _:
                return event

    def _place(self, before: str | None) -> str | None:
        order = [item.id or "" for item in self._conversation.items]
        at = order.index(before) + 1 if before in order else 0 if before is None else len(order)
        while at < len(order) and order[at] in self._absent:
            at += 1
        return order[at - 1] if at else None
