"""The conversation so far, as a fold over the events of a line. No I/O. Truncated speech is cut off."""

from dataclasses import dataclass, field

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
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
)
from vivavoce.protocol.responses import Response
from vivavoce.protocol.session import Pcm, Session
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

    def append(self, words: str) -> None:
        """Append words whose audio follows."""
        self.marks.append((len(self.text), self.ms))
        self.text += words

    def until(self, ms: float) -> str:
        """Return the whole words that end within the first `ms` milliseconds of the audio."""
        ends = [*self.marks[1:], (len(self.text), self._end())]
        for (chars, begin), (next_chars, end) in zip(self.marks, ends, strict=True):
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
    before = text[:chars]
    return before[: len(before) - len(before.split(" ")[-1])].rstrip()


class Conversation:
    """The items in order. Pass every event of the line to `apply`."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self._spoken: dict[str, SpokenText] = {}
        self._heard_ms: dict[str, float] = {}
        self._bytes_per_ms: dict[str, int] = {}

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, in order."""
        return tuple(self._items[item_id] for item_id in self._order)

    @property
    def last_id(self) -> str | None:
        return self._order[-1] if self._order else None

    @property
    def last_turn_id(self) -> str | None:
        """The id of the last item that is part of a turn; listings and approvals of MCP servers are not."""
        return next((i for i in reversed(self._order) if not isinstance(self._items[i], _MCP_ITEMS)), None)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def __len__(self) -> int:
        return len(self._order)

    def find(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    def before(self, item_id: str) -> str | None:
        """Return the id of the item before this one, or None for the first."""
        at = self._order.index(item_id)
        return self._order[at - 1] if at else None

    def spoken_ms(self, item_id: str) -> float | None:
        """Return the milliseconds of audio of a spoken message so far; None if it is not one."""
        spoken = self._spoken.get(item_id)
        return spoken.ms if spoken else None

    def heard_text(self, item_id: str, ms: float | None = None) -> str:
        """Return the words of a spoken message within its first `ms` milliseconds, and before a truncation."""
        spoken, cut = self._spoken.get(item_id) or SpokenText(), self._heard_ms.get(item_id)
        times = [one for one in (ms, cut) if one is not None]
        return spoken.until(min(times)) if times else spoken.text

    def messages(self) -> tuple[Item, ...]:
        """Return the items for a model: those with content, spoken messages up to their truncation."""
        return tuple(item for item in self.items if not _is_empty(item))

    def drop_images(self, most: int) -> None:
        """Keep the newest images, of at most `most` bytes as data URLs; replace others by a note."""
        kept = 0
        for item_id in reversed(self._order):
            item = self._items[item_id]
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
            case e.ResponseDone(response=response):
                self._bytes_per_ms.pop(response.id, None)
            case e.ConversationItemAdded(item=item, previous_item_id=previous):
                self._add(item, previous)
            case e.ConversationItemDone(item=item):
                self._finish(item)
            case e.ConversationItemDeleted(item_id=item_id) if item_id in self._items:
                self._order.remove(item_id)
                for by_id in (self._items, self._spoken, self._heard_ms):
                    by_id.pop(item_id, None)
            case e.ConversationItemTruncated(item_id=item_id, audio_end_ms=ms) if item_id in self._spoken:
                self._heard_ms[item_id] = ms
                self._items[item_id] = self._as_heard(self._items[item_id])
            case e.TranscriptionCompleted(item_id=item_id, transcript=transcript) if item_id in self._items:
                self._items[item_id] = _with_transcript(self._items[item_id], transcript)
            case e.ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=words) if item_id in self._items:
                self._spoken.setdefault(item_id, SpokenText()).append(words)
                self._items[item_id] = self._as_heard(self._items[item_id])
            case e.ResponseOutputAudioDelta(item_id=item_id, delta=sound) if item_id in self._items:
                rate = self._bytes_per_ms.get(event.response_id) or self._rate()
                self._spoken.setdefault(item_id, SpokenText()).ms += len(sound) / rate
            case e.ResponseOutputTextDelta(item_id=item_id, delta=words) if item_id in self._items:
                self._items[item_id] = _with_text(self._items[item_id], words)
            case (
                e.ResponseFunctionCallArgumentsDelta(item_id=item_id, delta=more)
                | e.ResponseMcpCallArgumentsDelta(item_id=item_id, delta=more)
            ):
                call = self._items.get(item_id)
                if isinstance(call, FunctionCall | McpCall):
                    self._items[item_id] = replace(call, arguments=call.arguments + more)
            case _:
                pass

    def _add(self, item: Item, previous: str | None) -> None:
        if item.id is UNSET:
            raise ValueError("an item of a conversation has an id")
        if item.id in self._items:
            return
        at = self._order.index(previous) + 1 if previous in self._items else 0 if previous is None else None
        self._order.insert(len(self._order) if at is None else at, item.id)
        self._items[item.id] = item

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
        if finished and item.id not in self._heard_ms:
            return item
        return replace(item, content=(OutputAudio(transcript=self.heard_text(item.id)),))

    def _rate(self, response: Response | None = None) -> int:
        """Return the bytes per millisecond of output audio; a response may override the session's format."""
        for settings in (response, self.session):
            audio = settings.audio if settings else UNSET
            output = audio.output if audio else UNSET
            if output and output.format:
                return bytes_per_ms(output.format)
        return bytes_per_ms(Pcm())


def _without_images(item: Message) -> Message:
    note = InputText(text="(An image that was shown here is not kept any more.)")
    parts = (note if isinstance(part, InputImage) else part for part in item.content)
    return replace(item, content=tuple(parts))


def _with_transcript(item: Item, transcript: str) -> Item:
    if not isinstance(item, Message):
        return item
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


def _with_text(item: Item, words: str) -> Item:
    if not isinstance(item, Message):
        return item
    before = "".join(part.text for part in item.content if isinstance(part, OutputText))
    return replace(item, content=(OutputText(text=before + words),))


_MCP_ITEMS = McpListTools, McpApprovalRequest, McpApprovalResponse
"""Items about MCP servers that are not sent to models, which get the tools and outputs in other ways."""


def _is_empty(item: Item) -> bool:
    if not isinstance(item, Message):
        return isinstance(item, _MCP_ITEMS)
    return not any(_has_content(part) for part in item.content)


def _has_content(part: object) -> bool:
    match part:
        case InputText(text=text) | OutputText(text=text):
            return bool(text.strip())
        case InputAudio(transcript=str() as text) | OutputAudio(transcript=str() as text):
            return bool(text.strip())
        case InputAudio() | OutputAudio():
            return False
        case _:
            return True
