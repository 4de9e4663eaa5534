"""Items of a conversation as one wants to see them."""

from dataclasses import dataclass, field

from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    ItemStatus,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    Role,
)
from vivavoce.session.item_audio import ItemAudio

__all__ = ["Entry"]


@dataclass(frozen=True)
class Entry:
    """An item as it was when it was told of; its sound as it is now. `item` is the protocol's own."""

    item: Item
    _sounds: ItemAudio = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        return self.item.id or ""

    @property
    def type(self) -> str:
        """`message`, `function_call`, `function_call_output`, or one of those about MCP."""
        return str(self.item.__struct_config__.tag)

    @property
    def role(self) -> Role | None:
        """Whose message it is; None for what is no message."""
        return self.item.role if isinstance(self.item, Message) else None

    @property
    def status(self) -> ItemStatus:
        """What the server says; without that, only an answer is ever in progress."""
        if isinstance(self.item, Message | FunctionCall | FunctionCallOutput) and self.item.status:
            return self.item.status
        return "in_progress" if self.role == "assistant" else "completed"

    @property
    def text(self) -> str:
        """What was written."""
        parts = self.item.content if isinstance(self.item, Message) else ()
        return "".join(part.text for part in parts if isinstance(part, InputText | OutputText))

    @property
    def transcript(self) -> str:
        """What was said, as far as it was heard."""
        parts = self.item.content if isinstance(self.item, Message) else ()
        return "".join(part.transcript or "" for part in parts if isinstance(part, InputAudio | OutputAudio))

    @property
    def words(self) -> str:
        """What was written, or said."""
        return self.text or self.transcript

    @property
    def audio(self) -> bytes:
        """The audio as far as it was heard, in the session's format, and kept (`limits.item_audio_seconds`)."""
        return self._sounds.stored(self.id)

    @property
    def tool_call(self) -> FunctionCall | McpCall | None:
        """The call of a tool: its `name`, and `arguments` as JSON text."""
        return self.item if isinstance(self.item, FunctionCall | McpCall) else None

    @property
    def output(self) -> str | None:
        """What came of a tool's call."""
        if isinstance(self.item, FunctionCallOutput | McpCall):
            return self.item.output or None
        return None
