"""What a client does with the items of a conversation: put in, look at, cut short, take out."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.images import check_images, has_images
from vivavoce.engines.cascade.responses import Responses
from vivavoce.engines.cascade.transcripts import Transcripts
from vivavoce.engines.refusals import too_many_items
from vivavoce.errors import ProtocolError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    Item,
    ItemReference,
    Message,
    OutputAudio,
)
from vivavoce.protocol.session import AudioFormat
from vivavoce.protocol.validation import invalid
from vivavoce.session.formats import check_samples

__all__ = ["Items"]

_ROOT = "root"
_TRUNCATE_SLACK_MS = 1000
"""How far past the end of an answer a client's clock may be before it is told that it is wrong."""


class Items:
    """Does what `conversation.item.*` asks; whatever changes here makes drafts of an answer outdated."""

    def __init__(self, call: CascadeContext, voice: Responses, minutes: Transcripts) -> None:
        self.call, self.voice, self.minutes = call, voice, minutes

    async def retrieve(self, item_id: str) -> None:
        """Show an item as it is, with its sound if that is still kept."""
        sound = await self.call.sounds.read(item_id)
        item = self.find(item_id, "retrieve")
        await self.call.send(e.ConversationItemRetrieved(item=_with_sound(item, sound) if sound else item))

    async def delete(self, item_id: str) -> None:
        """Take an item out. If we are just saying it, we stop: nothing is told of an item that is gone."""
        self.find(item_id, "delete")
        await self.voice.leave_off(item_id)
        self.call.edition += 1
        self.call.sounds.delete(item_id)
        await self.call.send(e.ConversationItemDeleted(item_id=item_id))

    def given(self, items: Sequence[Item | ItemReference]) -> Callable[[], Awaitable[Sequence[Item]]]:
        """Check what one answer is made from in place of the conversation; return what gives it in words."""
        most = self.call.limits.items
        if len(items) > most:
            raise invalid("response.input", f"{len(items)} items; there may be {most} (limits.items).")
        for index, item in enumerate(items):
            self._check_given(item, f"response.input[{index}]")

        async def read() -> Sequence[Item]:
            if any(isinstance(item, ItemReference) for item in items):  # to sound perhaps, not yet understood
                await self.minutes.all_told()
            found = [self._find_referred(item) for item in items]
            return [await self._in_words(item) for item in found if item]

        return read

    def _check_given(self, item: Item | ItemReference, at: str) -> None:
        if not isinstance(item, ItemReference):
            _without_sound(item, self.minutes.ear.hearing.format, at)
            check_images(item, self.call.crew, self.call.limits, at)
        elif item.id not in self.call.conversation:
            raise invalid(f"{at}.id", f"there is no item '{item.id}' in the conversation.")

    def _find_referred(self, item: Item | ItemReference) -> Item | None:
        return self.call.conversation.find(item.id) if isinstance(item, ItemReference) else item

    async def _in_words(self, item: Item) -> Item:
        """Return an item with what is said in its sound, in place of the sound."""
        if not isinstance(item, Message):
            return item
        content = list(item.content)
        for index, part in enumerate(content):
            if isinstance(part, InputAudio) and part.audio:
                transcript = part.transcript or await self.minutes.words_in(part.audio)
                content[index] = InputAudio(transcript=transcript)
        return replace(item, content=tuple(content))

    async def create(self, item: Item, previous: str | UnsetType | None) -> None:
        """Put an item in: at the end, at `root`, or behind another one."""
        conversation, limits = self.call.conversation, self.call.limits
        sent_as = self.minutes.ear.hearing.format
        item, sound = _without_sound(item, sent_as, "item")
        check_images(item, self.call.crew, limits, "item")
        item_id = item.id or e.new_id("item")
        if item_id == _ROOT:
            raise invalid("item.id", f"'{_ROOT}' is where a conversation begins; choose another.")
        if item_id in conversation:
            raise ProtocolError(
                f"Error adding item: item with ID '{item_id}' already exists in the conversation.",
                code="item_create_duplicate_item_id",
                param="item.id",
            )
        if len(conversation) >= limits.items:
            raise too_many_items(limits)
        if isinstance(item, FunctionCallOutput) and not self._was_called(item.call_id):
            raise ProtocolError(
                f"Tool call ID '{item.call_id}' not found in conversation.",
                code="invalid_value",
                param="item.call_id",
            )
        before = self._place(previous)
        item = replace(item, id=item_id)
        if isinstance(item, FunctionCall) and not item.call_id:
            item = replace(item, call_id=e.new_id("call"))
        if hasattr(item, "status"):
            item = replace(item, object="realtime.item", status="completed")
        self.call.edition += 1
        await self.call.send(e.ConversationItemAdded(item=item, previous_item_id=before))
        await self.call.send(e.ConversationItemDone(item=item, previous_item_id=before))
        if has_images(item):
            conversation.forget_images(limits.conversation_image_bytes)
        if sound:
            self.call.sounds.open(item_id, sent_as)
            self.call.sounds.append(item_id, sound)
            if _is_untold(item):
                self.minutes.read(item_id, sound)

    def _place(self, previous: str | UnsetType | None) -> str | None:
        """Return after which item a new one goes (realtime.md 1.3): absent is the end, `root` the start."""
        if previous is UNSET or previous is None:
            return self.call.conversation.last_id
        if previous == _ROOT:
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
        self.call.sounds.truncate(item_id, ms)
        await self.call.send(
            e.ConversationItemTruncated(item_id=item_id, content_index=content_index, audio_end_ms=ms)
        )


def _with_sound(item: Item, sound: bytes) -> Item:
    """Return an item with its sound, which is in the first part that can hold it."""
    content = list(item.content) if isinstance(item, Message) else []
    for index, part in enumerate(content):
        if isinstance(part, InputAudio | OutputAudio):
            content[index] = replace(part, audio=sound)
            return replace(item, content=tuple(content))
    return item


def _without_sound(item: Item, format: AudioFormat, at: str) -> tuple[Item, bytes]:
    """Return an item without its sound, and the sound. `at` is where a client has put the item."""
    if not isinstance(item, Message):
        return item, b""
    sound, content = b"", []
    for index, part in enumerate(item.content):
        if isinstance(part, InputAudio):
            audio = part.audio or b""
            check_samples(audio, format, f"{at}.content[{index}].audio")
            sound += audio
            part = InputAudio(transcript=part.transcript or None)
        content.append(part)
    return replace(item, content=tuple(content)), sound


def _is_untold(item: Item) -> bool:
    """Say whether an item holds sound of which nobody has said what it says."""
    parts = item.content if isinstance(item, Message) else ()
    return any(isinstance(part, InputAudio) and not part.transcript for part in parts)
