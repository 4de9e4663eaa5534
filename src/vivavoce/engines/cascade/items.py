"""Handling of `conversation.item.*`: create, retrieve, truncate, delete."""

import binascii
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import anyio.to_thread
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.audio.decode import is_file
from vivavoce.engines.cascade.context import CascadeContext, Providers
from vivavoce.engines.cascade.responses import Responses
from vivavoce.engines.cascade.transcripts import Transcripts
from vivavoce.engines.sessions import too_many_items
from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    Item,
    ItemReference,
    Message,
    OutputAudio,
)
from vivavoce.protocol.session import AudioFormat
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import SupportsImages
from vivavoce.providers.dialogue import content_text
from vivavoce.session.formats import check_samples, decode_file

_ROOT = "root"
_TRUNCATE_SLACK_MS = 1000
"""how far an `audio_end_ms` may be past the end of a message's audio, since the client's clock may differ"""
_IMAGE_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)


class Items:
    """Handles `conversation.item.*`. Every change makes the drafts of a response outdated."""

    def __init__(self, context: CascadeContext, responses: Responses, transcripts: Transcripts) -> None:
        self.context, self.responses, self.transcripts = context, responses, transcripts

    @property
    def _input_format(self) -> AudioFormat:
        return self.transcripts.input_audio.settings.format

    async def retrieve(self, item_id: str) -> None:
        """Send an item in its current form, with its audio if that is still kept."""
        audio = await self.context.item_audio.read(item_id)
        item = self._find(item_id, "retrieve")
        item = _with_audio(item, audio) if audio else item
        await self.context.send(e.ConversationItemRetrieved(item=item))

    async def delete(self, item_id: str) -> None:
        """Delete an item. A response that is sending it is interrupted first: no event follows a deletion."""
        self._find(item_id, "delete")
        await self.responses.interrupt_item(item_id)
        self.context.revision += 1
        self.context.item_audio.delete(item_id)
        self.context.notes.forget(item_id)
        await self.context.send(e.ConversationItemDeleted(item_id=item_id))
        self.responses.read_ahead()

    async def truncate(self, item_id: str, content_index: int, ms: int) -> None:
        """Cut a spoken message after its first `ms` milliseconds."""
        self._find(item_id, "truncate")
        length = self.context.conversation.spoken_ms(item_id)
        if length is None or content_index != 0:
            message = f"Only the audio of a response can be truncated; item '{item_id}' has none there."
            param = "item_id" if length is None else "content_index"
            raise ProtocolError(message, code="invalid_value", param=param)
        if ms < 0 or ms > length + _TRUNCATE_SLACK_MS:
            message = f"Audio content of {length:.0f}ms is already shorter than {ms}ms"
            raise ProtocolError(message, code="invalid_value", param="audio_end_ms")
        self.context.revision += 1
        self.context.item_audio.truncate(item_id, ms)
        self.context.notes.forget(item_id)
        truncated = e.ConversationItemTruncated(item_id=item_id, content_index=content_index, audio_end_ms=ms)
        await self.context.send(truncated)
        self.responses.read_ahead()

    def _find(self, item_id: str, verb: str) -> Item:
        item = self.context.conversation.find(item_id)
        if item is None:
            message = f"Error: item with ID '{item_id}' does not exist in the conversation."
            raise ProtocolError(message, code=f"item_{verb}_invalid_item_id", param="item_id")
        return item

    # creating

    async def create(self, item: Item, previous: str | UnsetType | None) -> None:
        """Create an item: at the end, at `root`, or after another item."""
        input_format = self._input_format
        item, audio = _without_audio(await self._decoded(item, "item"), input_format, "item")
        item_id = item.id or e.new_id("item")
        self._check_new(item, item_id)
        before = self._resolve_previous(previous)
        item = replace(item, id=item_id)
        if isinstance(item, FunctionCall) and not item.call_id:
            item = replace(item, call_id=e.new_id("call"))
        if hasattr(item, "status"):
            item = replace(item, object="realtime.item", status="completed")
        self.context.revision += 1
        await self.context.add_item(item, before)
        if isinstance(item, Message) and content_text(item.content) == self.responses.apology.text:
            self.context.conversation.set_purpose(item_id, "apology")  # told again, under an id of the client's
        self.responses.read_ahead()
        parts = item.content if isinstance(item, Message) else ()
        if any(isinstance(part, InputImage) for part in parts):
            self.context.conversation.drop_images(self.context.limits.conversation_image_bytes)
        if audio:
            self.context.item_audio.open(item_id, input_format)
            self.context.item_audio.append(item_id, audio)
            if any(isinstance(part, InputAudio) and not part.transcript for part in parts):
                self.transcripts.transcribe_item(item_id, audio)

    async def _decoded(self, item: Item, path: str) -> Item:
        """Return an item with bare samples, where a client has sent a file."""
        content = list(item.content) if isinstance(item, Message) else []
        for index, part in enumerate(content):
            if isinstance(part, InputAudio) and part.audio and is_file(part.audio):
                param, seconds = f"{path}.content[{index}].audio", self.context.limits.input_buffer_seconds
                work = partial(decode_file, part.audio, self._input_format, seconds, param)
                content[index] = replace(part, audio=await anyio.to_thread.run_sync(work))
        return replace(item, content=tuple(content)) if isinstance(item, Message) else item

    def _check_new(self, item: Item, item_id: str) -> None:
        conversation, limits = self.context.conversation, self.context.limits
        check_images(item, self.context.providers, limits, "item")
        if item_id == _ROOT:
            raise invalid("item.id", f"'{_ROOT}' is where a conversation begins; choose another.")
        if item_id in conversation:
            message = f"Error adding item: item with ID '{item_id}' already exists in the conversation."
            raise ProtocolError(message, code="item_create_duplicate_item_id", param="item.id")
        if len(conversation) >= limits.items:
            raise too_many_items(limits)
        if isinstance(item, FunctionCallOutput):
            calls = (one.call_id for one in conversation.items if isinstance(one, FunctionCall))
            if item.call_id not in calls:
                message = f"Tool call ID '{item.call_id}' not found in conversation."
                raise ProtocolError(message, code="invalid_value", param="item.call_id")

    def _resolve_previous(self, previous: str | UnsetType | None) -> str | None:
        """Return the id of the item before a new one: absent means the end, `root` the start (None)."""
        if previous is UNSET or previous is None:
            return self.context.conversation.last_id
        if previous == _ROOT:
            return None
        if previous not in self.context.conversation:
            message = f"Error adding item: the previous item with ID '{previous}' does not exist."
            raise ProtocolError(message, code="invalid_value", param="previous_item_id")
        return previous

    # the input of a response

    def response_input(self, items: Sequence[Item | ItemReference]) -> Callable[[], Awaitable[Sequence[Item]]]:
        """Check the items in the `input` of a response; return the function that reads them."""
        limits = self.context.limits
        if len(items) > limits.items:
            raise invalid("response.input", f"{len(items)} items; there may be {limits.items} (limits.items).")
        for index, item in enumerate(items):
            path = f"response.input[{index}]"
            if not isinstance(item, ItemReference):
                _without_audio(item, self._input_format, path)
                check_images(item, self.context.providers, limits, path)
            elif item.id not in self.context.conversation:
                raise invalid(f"{path}.id", f"there is no item '{item.id}' in the conversation.")

        async def read() -> Sequence[Item]:
            if any(isinstance(item, ItemReference) for item in items):  # it may be to a turn without transcript
                await self.transcripts.wait()
            find = self.context.conversation.find
            found = [find(item.id) if isinstance(item, ItemReference) else item for item in items]
            return [await self._transcribed(item) for item in found if item]

        return read

    async def _transcribed(self, item: Item) -> Item:
        """Return an item with transcripts instead of audio."""
        if not isinstance(item, Message):
            return item
        content = list(item.content)
        for index, part in enumerate(content):
            if isinstance(part, InputAudio) and part.audio:
                transcript = part.transcript or await self.transcripts.transcribe_recording(part.audio)
                content[index] = InputAudio(transcript=transcript)
        return replace(item, content=tuple(content))


def _with_audio(item: Item, audio: bytes) -> Item:
    """Return an item with its audio, in the first part that can contain it."""
    content = list(item.content) if isinstance(item, Message) else []
    for index, part in enumerate(content):
        if isinstance(part, InputAudio | OutputAudio):
            content[index] = replace(part, audio=audio)
            return replace(item, content=tuple(content))
    return item


def _without_audio(item: Item, format: AudioFormat, path: str) -> tuple[Item, bytes]:
    """Return an item without its audio, and the audio. `path` is the item's path in the event."""
    if not isinstance(item, Message):
        return item, b""
    whole, content = b"", []
    for index, part in enumerate(item.content):
        if isinstance(part, InputAudio):
            audio = part.audio or b""
            if is_file(audio):
                problem = "it is a file; bare samples are expected here (conversation.item.create takes files)."
                raise invalid(f"{path}.content[{index}].audio", problem)
            check_samples(audio, format, f"{path}.content[{index}].audio")
            whole += audio
            part = InputAudio(transcript=part.transcript or None)
        content.append(part)
    return replace(item, content=tuple(content)), whole


def check_images(item: Item, providers: Providers, limits: Limits, path: str) -> None:
    """Raise `ProtocolError` for the first image of an item that the chat model cannot use.

    Image URLs are passed on: the model's endpoint fetches them, not this server. `path` is the item's path in
    the event.
    """
    for index, part in enumerate(item.content if isinstance(item, Message) else ()):
        if not isinstance(part, InputImage):
            continue
        where = f"{path}.content[{index}]"
        if not (isinstance(providers.chat, SupportsImages) and providers.chat.supports_images):
            raise invalid(where, f"{providers.chat_name} sees no images.")
        _check_image_url(part.image_url, f"{where}.image_url", limits.image_bytes)


def _check_image_url(url: str, param: str, max_bytes: int) -> None:
    data = _IMAGE_DATA.match(url)
    size = (len(url) - data.end()) * 3 // 4 if data else len(url)
    if size > max_bytes:
        raise invalid(param, f"the image has {size} bytes; there may be {max_bytes} (limits.image_bytes).")
    if data is None and not url.startswith(("https://", "http://")):
        expected = "expected a data URL of a PNG, JPEG, GIF or WebP in base64, or an address on the web."
        raise invalid(param, expected)
    with suppress(binascii.Error, ValueError):
        if data is None or binascii.a2b_base64(url[data.end() :], strict_mode=True):
            return
    raise invalid(param, "what follows 'base64,' is no base64 (standard alphabet, padded).")
