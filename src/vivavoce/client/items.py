"""Conversation items as the client presents them, and the content of user messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from vivavoce.protocol.events import new_id
from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    ItemStatus,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    Purpose,
    Role,
)
from vivavoce.protocol.validation import invalid
from vivavoce.session.item_audio import ItemAudio

Part = str | bytes | bytearray | InputText | InputAudio | InputImage | Mapping[str, object]
"""Text, audio in the session's input format, or a content part of the protocol, as a struct or as JSON."""
Content = Part | Sequence[Part]

_IMAGE_TYPES = {
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


@dataclass(frozen=True)
class ConversationItem:
    """A snapshot of a conversation item, with access to its current audio. `item` is the protocol's item."""

    item: Item
    _audio: ItemAudio = field(repr=False, compare=False)
    purpose: Purpose | None = None
    """what the words of the assistant are that are no answer: `apology` or `filler`; None for an answer"""

    @property
    def id(self) -> str:
        return self.item.id or ""

    @property
    def type(self) -> str:
        """`message`, `function_call`, `function_call_output`, or an MCP type (`mcp_call`, …)."""
        return str(self.item.__struct_config__.tag)

    @property
    def role(self) -> Role | None:
        """The role of a message; None for other items."""
        return self.item.role if isinstance(self.item, Message) else None

    @property
    def status(self) -> ItemStatus:
        """The status that the server reported; by default, only an assistant's message is in progress."""
        if isinstance(self.item, Message | FunctionCall | FunctionCallOutput) and self.item.status:
            return self.item.status
        return "in_progress" if self.role == "assistant" else "completed"

    @property
    def text(self) -> str:
        """The written text of a message."""
        parts = self.item.content if isinstance(self.item, Message) else ()
        return "".join(part.text for part in parts if isinstance(part, InputText | OutputText))

    @property
    def transcript(self) -> str:
        """The transcript of the spoken parts of a message, up to where it was truncated."""
        parts = self.item.content if isinstance(self.item, Message) else ()
        return "".join(part.transcript or "" for part in parts if isinstance(part, InputAudio | OutputAudio))

    @property
    def words(self) -> str:
        """The text, or else the transcript."""
        return self.text or self.transcript

    @property
    def audio(self) -> bytes:
        """The audio that is kept of it (`limits.item_audio_seconds`), as truncated, in the session's format."""
        return self._audio.stored(self.id)

    @property
    def tool_call(self) -> FunctionCall | McpCall | None:
        """The call of a tool: its `name`, and `arguments` as JSON text."""
        return self.item if isinstance(self.item, FunctionCall | McpCall) else None

    @property
    def output(self) -> str | None:
        """The output of a tool's call."""
        if isinstance(self.item, FunctionCallOutput | McpCall):
            return self.item.output or None
        return None


def image(data: bytes) -> InputImage:
    """Return an image (PNG, JPEG, GIF or WebP) as a part of a message. Raises `ProtocolError` for others."""
    media_type = next((name for magic, name in _IMAGE_TYPES.items() if data.startswith(magic)), None)
    if media_type is None:
        raise invalid("image", "expected the bytes of a PNG, JPEG, GIF or WebP image.")
    encoded = msgspec.json.encode(data).decode().strip('"')
    return InputImage(image_url=f"data:{media_type};base64,{encoded}")


def user_message(content: Content) -> Message | None:
    """Return a user message with a new id, or None if `content` is empty.

    Raises `ProtocolError` for content that a user message cannot contain.
    """
    is_several = isinstance(content, Sequence) and not isinstance(content, str | bytes | bytearray)
    parts = cast("Sequence[object]", content) if is_several else (content,)
    read = tuple(_read(part, index) for index, part in enumerate(parts) if part)
    return Message(id=new_id("item"), role="user", content=read) if read else None


def _read(part: object, index: int) -> ContentPart:
    match part:
        case str():
            return InputText(text=part)
        case bytes() | bytearray():
            return InputAudio(audio=bytes(part))
        case InputText() | InputAudio() | InputImage():
            return part
        case Mapping():
            try:
                return msgspec.convert(dict(part), InputText | InputAudio | InputImage)
            except msgspec.ValidationError as error:
                raise invalid(f"item.content[{index}]", f"{error}.") from error
        case _:
            problem = f"a user message contains text, bytes of audio, and images, not a {type(part).__name__}."
            raise invalid(f"item.content[{index}]", problem)
