"""What the caller was told, so that all of it can be brought to an end when nobody else does. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.engines.remote.answers import Answers
from vivavoce.engines.remote.outbox import Outbox
from vivavoce.engines.remote.turns import Turns
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, Item, McpListTools, Message
from vivavoce.session.conversation import Conversation

__all__ = ["Books"]


@dataclass
class Books:
    """Follows the items, the answers and the caller's turns."""

    conversation: Conversation
    answers: Answers
    turns: Turns
    kept_image_bytes: int
    _open: dict[str, Item] = field(default_factory=dict)
    """items that are added and not done, and are not of an answer"""
    _asked: set[str] = field(default_factory=set)
    """those of them that are the tools of an MCP server, which has been asked for them"""

    @classmethod
    def kept(cls, journal: Outbox, *, seconds: float, image_bytes: int) -> "Books":
        """Open the books beside a journal; so many seconds of sound and bytes of images are kept."""
        conversation = Conversation()
        return cls(conversation, Answers(conversation), Turns(conversation, journal, seconds), image_bytes)

    def tell(self, event: e.Event) -> None:
        """Take in one event that the caller is told."""
        self._apply(event)
        self.turns.tell(event)

    def _apply(self, event: e.Event) -> None:
        match event:
            case e.ConversationItemAdded(item=item) | e.ConversationItemDone(item=item) if item.id is UNSET:
                return  # others may say so, and then nobody can refer to it
            case e.ConversationItemAdded(item=item):
                if item.id not in self.answers:
                    self._open[item.id or ""] = item
            case e.ConversationItemDone(item=item):
                self._open.pop(item.id or "", None)
            case e.ConversationItemDeleted(item_id=item_id):
                self._open.pop(item_id, None)
            case e.McpListToolsInProgress(item_id=item_id):
                self._asked.add(item_id)
            case e.McpListToolsCompleted(item_id=item_id) | e.McpListToolsFailed(item_id=item_id):
                self._asked.discard(item_id)
            case _:
                pass
        self.conversation.apply(event)
        if isinstance(event, e.ConversationItemAdded):
            self.conversation.forget_images(self.kept_image_bytes)
        self.answers.tell(event)

    def closing(self, why: str) -> Iterator[e.ServerEvent]:
        """Give what closes all that is open, in the order in which it may be told; `why` is for people."""
        for event in self.turns.stopped():
            self.tell(event)
            yield event
        for part in (self.answers.closing(why), self._closing_items(), self.turns.closing(why)):
            for event in part:
                self._apply(event)
                yield event

    def _closing_items(self) -> Iterator[e.ServerEvent]:
        for item_id, item in tuple(self._open.items()):
            if isinstance(item, McpListTools):
                if item_id not in self._asked:
                    yield e.McpListToolsInProgress(item_id=item_id)
                yield e.McpListToolsFailed(item_id=item_id)
            if item_id in self.conversation:
                before = self.conversation.before(item_id)
                yield e.ConversationItemDone(item=_finished(item), previous_item_id=before)
        self._open.clear()


def _finished(item: Item) -> Item:
    if isinstance(item, Message | FunctionCall | FunctionCallOutput) and item.status == "in_progress":
        return replace(item, status="incomplete")
    return item
