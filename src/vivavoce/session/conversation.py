"""The conversation so far, as a fold over the events of a line. No I/O. Truncated speech is cut off."""

from dataclasses import dataclass, field
from math import inf

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    Purpose,
    part_text,
    purpose_of,
)
from vivavoce.protocol.responses import Response, response_purpose
from vivavoce.protocol.session import Pcm, Session, output_settings
from vivavoce.session.formats import bytes_per_ms

MS_PER_CHAR = 65
"""estimated milliseconds of speech per character, while its audio is not known (about 155 words a minute)"""


@dataclass
class SpokenText:
    """The text of a spoken message, aligned with its audio."""

    text: str = ""
    ms: float = 0
    is_complete: bool = False
    """all audio has arrived, so that the last words end where it ends"""
    marks: list[tuple[int, float]] = field(default_factory=list)
    """for each delta of the text, the characters and milliseconds before it"""
    heard_ms: float = inf
    """where it was truncated"""

    def append(self, words: str) -> None:
        """Append words whose audio follows."""
        self.marks.append((len(self.text), self.ms))
        self.text += words

    def until(self, ms: float) -> str:
        """Return the whole words that end within the first `ms` milliseconds of the audio."""
        ends = [*self.marks[1:], (len(self.text), self._end())]
        for (chars, begin), (next_chars, end) in zip(self.marks, ends, strict=False):
            if ms < end:
                share = (ms - begin) / (end - begin) if end > begin else 0
                return _whole_words(self.text, chars + int(share * (next_chars - chars)))
        return self.text

    def _end(self) -> float:
        if self.is_complete or not self.marks:
            return self.ms
        chars, begin = self.marks[-1]
        return max(self.ms, begin + (len(self.text) - chars) * MS_PER_CHAR)


def _whole_words(text: str, chars: int) -> str:
    """Cut after the last word that ends within the first `chars` characters."""
    if chars >= len(text) or text[chars].isspace():
        return text[:chars].rstrip()
    return text[: text.rfind(" ", 0, chars) + 1].rstrip()


class Conversation:
    """The items in order. Pass every event of the line to `apply`."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._items: dict[str, Item] = {}
        self._spoken: dict[str, SpokenText] = {}
        self._bytes_per_ms: dict[str, int] = {}
        self._purposes: dict[str, Purpose] = {}
        """by response in progress, and by item, as far as ids do not say it"""

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, in order."""
        return tuple(self._items.values())

    @property
    def last_id(self) -> str | None:
        return next(reversed(self._items), None)

    @property
    def last_turn_id(self) -> str | None:
        """The id of the last item that is part of a turn; listings and approvals of MCP servers are not."""
        return next((i for i in reversed(self._items) if not isinstance(self._items[i], _MCP_ITEMS)), None)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def __len__(self) -> int:
        return len(self._items)

    def find(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    def before(self, item_id: str) -> str | None:
        """Return the id of the item before this one, or None for the first."""
        order = list(self._items)
        at = order.index(item_id)
        return order[at - 1] if at else None

    def spoken_ms(self, item_id: str) -> float | None:
        """Return the milliseconds of audio of a spoken message so far; None if it is not one."""
        spoken = self._spoken.get(item_id)
        return spoken.ms if spoken else None

    def heard_text(self, item_id: str, ms: float = inf) -> str:
        """Return the words of a spoken message within its first `ms` milliseconds, and before a truncation."""
        spoken = self._spoken.get(item_id)
        return spoken.until(min(ms, spoken.heard_ms)) if spoken else ""

    def purpose(self, item: Item) -> Purpose | None:
        """Return the purpose of the assistant's words in an item; None for an answer, and for other items."""
        if not isinstance(item, Message) or item.role != "assistant":
            return None
        return self._purposes.get(item.id or "") or purpose_of(item.id)

    def set_purpose(self, item_id: str, purpose: Purpose) -> None:
        """Set the purpose of an item whose id does not tell it."""
        self._purposes[item_id] = purpose

    def messages(self) -> tuple[Item, ...]:
        """Return the items for a model: those with content, spoken messages up to their truncation.

        What was said because something failed, or to fill the time, is not for a model.
        """
        return tuple(item for item in self.items if not _is_empty(item) and not self.purpose(item))

    def drop_images(self, most: int) -> None:
        """Keep the newest images, of at most `most` bytes as data URLs; replace others by a note."""
        kept = 0
        for item_id, item in reversed(self._items.items()):
            if isinstance(item, Message):
                kept += sum(len(part.image_url) for part in item.content if isinstance(part, InputImage))
                if kept > most:
                    self._items[item_id] = _without_images(item)

    def apply(self, event: e.Event) -> None:
        """Apply one event. Client events have no effect: only what the engine confirms counts."""
        match event:
            case (
                e.SessionCreated(session=Session() as session) | e.SessionUpdated(session=Session() as session)
            ):
                self.session = session
            case e.ResponseCreated(response=response):
                self._bytes_per_ms[response.id] = self._rate(response)
                if purpose := response_purpose(response.metadata):
                    self._purposes[response.id] = purpose
            case e.ResponseDone(response=response):
                self._bytes_per_ms.pop(response.id, None)
                self._purposes.pop(response.id, None)
            case e.ResponseOutputItemAdded(response_id=response_id, item=item) if response_id in self._purposes:
                self.set_purpose(item.id or "", self._purposes[response_id])
            case e.ConversationItemAdded(item=item, previous_item_id=previous):
                self._add(item, previous)
            case e.ConversationItemDone(item=item):
                self._finish(item)
            case e.ConversationItemDeleted(item_id=item_id) if item_id in self._items:
                del self._items[item_id]
                self._spoken.pop(item_id, None)
                self._purposes.pop(item_id, None)
            case e.ConversationItemTruncated(item_id=item_id, audio_end_ms=ms) if item_id in self._spoken:
                self._spoken[item_id].heard_ms = min(ms, self._spoken[item_id].heard_ms)  # it never grows back
                self._items[item_id] = self._as_heard(self._items[item_id])
            case e.TranscriptionCompleted(item_id=item_id, transcript=transcript):
                if isinstance(known := self._items.get(item_id), Message):
                    self._items[item_id] = _with_transcript(known, transcript)
            case e.ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=words) if item_id in self._items:
                self._spoken.setdefault(item_id, SpokenText()).append(words)
                self._items[item_id] = self._as_heard(self._items[item_id])
            case e.ResponseOutputAudioDelta(item_id=item_id, delta=sound) if item_id in self._items:
                rate = self._bytes_per_ms.get(event.response_id) or self._rate()
                self._spoken.setdefault(item_id, SpokenText()).ms += len(sound) / rate
            case e.ResponseOutputTextDelta(item_id=item_id, delta=words):
                if isinstance(known := self._items.get(item_id), Message):
                    text = "".join(part.text for part in known.content if isinstance(part, OutputText)) + words
                    self._items[item_id] = replace(known, content=(OutputText(text=text),))
            case (
                e.ResponseFunctionCallArgumentsDelta(item_id=item_id, delta=more)
                | e.ResponseMcpCallArgumentsDelta(item_id=item_id, delta=more)
            ):
                call = self._items.get(item_id)
                if isinstance(call, FunctionCall | McpCall):
                    self._items[item_id] = replace(call, arguments=call.arguments + more)

    def _add(self, item: Item, previous: str | None) -> None:
        if item.id is UNSET:
            raise ValueError("an item of a conversation has an id")
        if item.id in self._items:
            return
        order = list(self._items)
        at = order.index(previous) + 1 if previous in self._items else 0 if previous is None else len(order)
        entries = [*self._items.items()]
        entries.insert(at, (item.id, item))
        self._items = dict(entries)

    def _finish(self, item: Item) -> None:
        item_id = item.id
        if item_id is UNSET or item_id not in self._items:
            return
        known = self._items[item_id]
        if isinstance(item, Message) and isinstance(known, Message):
            item = _keeping_transcript(item, known) if item.role == "user" else item
            if item_id in self._spoken:
                self._spoken[item_id].is_complete = item.status == "completed"
        self._items[item_id] = self._as_heard(item, finished=True)

    def _as_heard(self, item: Item, *, finished: bool = False) -> Item:
        """Return a spoken message with the words before its truncation, or with all words."""
        if not isinstance(item, Message) or item.id is UNSET or item.id not in self._spoken:
            return item
        if finished and self._spoken[item.id].heard_ms == inf:
            return item
        return replace(item, content=(OutputAudio(transcript=self.heard_text(item.id)),))

    def _rate(self, response: Response | None = None) -> int:
        """Return the bytes per millisecond of output audio; a response may override the session's format."""
        audio = response.audio if response else UNSET
        output = audio.output if audio else UNSET
        own = output.format if output else UNSET
        return bytes_per_ms(own or output_settings(self.session).format or Pcm())


def user_message(item_id: str, transcript: str | None) -> Message:
    """Return the item of a spoken turn; `transcript` is None until it is known."""
    content = (InputAudio(transcript=transcript),)
    return Message(id=item_id, object="realtime.item", status="completed", role="user", content=content)


def _without_images(item: Message) -> Message:
    note = InputText(text="(An image that was shown here is not kept any more.)")
    parts = (note if isinstance(part, InputImage) else part for part in item.content)
    return replace(item, content=tuple(parts))


def _with_transcript(item: Message, transcript: str) -> Message:
    content = tuple(
        replace(part, transcript=transcript) if isinstance(part, InputAudio) else part for part in item.content
    )
    return replace(item, content=content)


def _keeping_transcript(item: Message, known: Message) -> Message:
    """Keep a transcript that arrived before `conversation.item.done`, which may not contain it."""
    for part in known.content:
        if isinstance(part, InputAudio) and part.transcript:
            return replace(item, content=known.content)
    return item


_MCP_ITEMS = McpListTools, McpApprovalRequest, McpApprovalResponse
"""Items about MCP servers that are not sent to models, which get the tools and outputs in other ways."""


def _is_empty(item: Item) -> bool:
    if not isinstance(item, Message):
        return isinstance(item, _MCP_ITEMS)
    return not any(_has_content(part) for part in item.content)


def _has_content(part: ContentPart) -> bool:
    return isinstance(part, InputImage) or bool(part_text(part).strip())
