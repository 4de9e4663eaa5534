"""What a client does with the items of a conversation: put in, look at, cut short, take out."""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.engines.call import Call
from vivavoce.engines.turns import Turns
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, InputAudio, Item, Message

__all__ = ["Items"]

_TRUNCATE_SLACK_MS = 1000
"""How far past the end of an answer a client's clock may be before it is told that it is wrong."""


class Items:
    """Does what `conversation.item.*` asks; whatever changes here makes drafts of an answer outdated."""

    def __init__(self, call: Call, turns: Turns) -> None:
        self.call, self.turns = call, turns

    async def retrieve(self, item_id: str) -> None:
        """Show an item as it is."""
        await self.call.send(e.ConversationItemRetrieved(item=self.find(item_id, "retrieve")))

    async def delete(self, item_id: str) -> None:
        """Take an item out."""
        self.find(item_id, "delete")
        self.call.edition += 1
        await self.call.send(e.ConversationItemDeleted(item_id=item_id))

    async def create(self, item: Item, previous: str | UnsetType | None) -> None:
        """Put an item in: at the end, at `root`, or behind another one."""
        conversation, limits = self.call.conversation, self.call.limits
        item, sound = _without_sound(item)
        item_id = item.id or e.new_id("item")
        if item_id in conversation:
            raise ProtocolError(
                f"Error adding item: item with ID '{item_id}' already exists in the conversation.",
                code="item_create_duplicate_item_id",
                param="item.id",
            )
        if len(conversation) >= limits.items:
            raise ProtocolError(
                f"A conversation holds at most {limits.items} items (limits.items); delete some.",
                code="too_many_items",
                param="item",
            )
        if isinstance(item, FunctionCallOutput) and not self._was_called(item.call_id):
            raise ProtocolError(
                f"Tool call ID '{item.call_id}' not found in conversation.",
                code="invalid_value",
                param="item.call_id",
            )
        before = self._place(previous)
        item = replace(item, id=item_id)
        if hasattr(item, "status"):
            item = replace(item, object="realtime.item", status="completed")
        self.call.edition += 1
        await self.call.send(e.ConversationItemAdded(item=item, previous_item_id=before))
        await self.call.send(e.ConversationItemDone(item=item, previous_item_id=before))
        if sound:
            self.turns.take_down(item_id, sound)

    def _place(self, previous: str | UnsetType | None) -> str | None:
        """Return after which item a new one goes (realtime.md 1.3): absent is the end, `root` the start."""
        if previous is UNSET or previous is None:
            return self.call.conversation.last_id
        if previous == "root":
            return None
        if previous not in self.call.conversation:
            raise ProtocolError(
                f"Error adding item: the previous item with ID '{previous}' does not exist.",
                code="invalid_value",
                param="previous_item_id",
            )
        return previous

    def find(self, item_id: str, verb: str) -> Item:
        """Return an item, or tell the client that there is none; `verb` is what it wanted to do with it."""
        item = self.call.conversation.find(item_id)
        if item is None:
            raise ProtocolError(
                f"Error: item with ID '{item_id}' does not exist in the conversation.",
                code=f"item_{verb}_invalid_item_id",
                param="item_id",
            )
        return item

    def _was_called(self, call_id: str) -> bool:
        return any(isinstance(i, FunctionCall) and i.call_id == call_id for i in self.call.conversation.items)

    async def truncate(self, item_id: str, content_index: int, ms: int) -> None:
        """Leave of a spoken answer what was heard in so many milliseconds."""
        self.find(item_id, "truncate")
        length = self.call.conversation.spoken_ms(item_id)
        if length is None or content_index != 0:
            raise ProtocolError(
                f"Only the sound of an answer can be truncated; item '{item_id}' has none there.",
                code="invalid_value",
                param="content_index" if length is not None else "item_id",
            )
        if ms < 0 or ms > length + _TRUNCATE_SLACK_MS:
            raise ProtocolError(
                f"Audio content of {length:.0f}ms is already shorter than {ms}ms",
                code="invalid_value",
                param="audio_end_ms",
            )
        self.call.edition += 1
        await self.call.send(
            e.ConversationItemTruncated(item_id=item_id, content_index=content_index, audio_end_ms=ms)
        )


def _without_sound(item: Item) -> tuple[Item, bytes]:
    """Return an item without its sound, and the sound, if it still has to be understood."""
    if not isinstance(item, Message):
        return item, b""
    sound = b""
    content = []
    for part in item.content:
        if isinstance(part, InputAudio) and part.audio is not UNSET:
            if len(part.audio) % 2:
                raise ProtocolError(
                    "audio must be whole samples of 16 bits; this part has an odd number of bytes.",
                    code="invalid_value",
                    param="item.content[0].audio",
                )
            sound += b"" if part.transcript else part.audio
            part = InputAudio(transcript=part.transcript or None)
        content.append(part)
    return replace(item, content=tuple(content)), sound
