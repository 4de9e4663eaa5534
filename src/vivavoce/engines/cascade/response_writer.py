"""The protocol's bookkeeping of one answer: whatever it opens, it closes."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypedDict

import anyio
from msgspec.structs import replace

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.engines.cascade.mcp_calls import McpCalls, PendingMcpCall
from vivavoce.engines.cascade.settings import ResponseSettings
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    AudioPart,
    FunctionCall,
    ItemStatus,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    TextPart,
)
from vivavoce.protocol.responses import (
    CachedTokens,
    InputTokens,
    OutputTokens,
    Response,
    ResponseAudio,
    ResponseOutput,
    ResponseStatus,
    StatusDetails,
    Usage,
)
from vivavoce.providers.base import ChatUsage, ToolCall
from vivavoce.session.conversation import Conversation
from vivavoce.session.formats import Spoken
from vivavoce.session.item_audio import ItemAudio

__all__ = ["ResponseWriter"]

Send = Callable[[e.ServerEvent], Awaitable[None]]
_MS_PER_AUDIO_TOKEN = 50
_DELTA_CHARS = 8
_MOST_DELTAS = 64
_BYTES_PER_MS = 2 * OUTPUT_RATE // 1000


class _Place(TypedDict):
    """Where in the answer an event belongs."""

    response_id: str
    item_id: str
    output_index: int


class _PartPlace(_Place):
    content_index: int


class ResponseWriter:
    """Says an answer in events. Without a `conversation` it is out of band, and leaves no items."""

    def __init__(
        self,
        send: Send,
        manner: ResponseSettings,
        conversation: Conversation | None,
        sounds: ItemAudio,
        errands: McpCalls,
        *,
        conversation_id: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self._send, self._manner, self._conversation = send, manner, conversation
        self._sounds, self._errands = sounds, errands
        self._left_to_do: list[PendingMcpCall] = []
        self._place: _Place | None = None
        self._open: str | None = None
        self._text, self._spoken_as = "", Spoken(manner.format)
        self._ms, self._begins_ms = 0.0, 0.0
        self.response = Response(
            id=e.new_id("resp"),
            status="in_progress",
            output=(),
            conversation_id=conversation_id,
            output_modalities=(manner.modality,),
            max_output_tokens=manner.max_output_tokens,
            audio=ResponseAudio(output=ResponseOutput(format=manner.format, voice=manner.voice or "default")),
            metadata=metadata,
        )

    def is_open(self, item_id: str) -> bool:
        """Say whether there is more to tell of this item."""
        return item_id == self._open

    async def begin(self) -> None:
        """Announce the answer."""
        await self._send(e.ResponseCreated(response=self.response))

    async def words(self, text: str) -> None:
        """Give more words, opening a message if none is open."""
        where = await self._part()
        self._text += text
        if self._spoken:
            await self._send(e.ResponseOutputAudioTranscriptDelta(**where, delta=text))
        else:
            await self._send(e.ResponseOutputTextDelta(**where, delta=text))

    async def sound(self, chunk: bytes) -> None:
        """Give more sound to the words: PCM at `OUTPUT_RATE`, which the client hears in its own format."""
        where = await self._part()
        self._ms += len(chunk) / _BYTES_PER_MS
        if told := self._spoken_as.push(chunk):
            self._sounds.append(where["item_id"], told)
            await self._send(e.ResponseOutputAudioDelta(**where, delta=told))

    async def call(self, call: ToolCall) -> None:
        """Ask the client for a tool, or a server that has it, all in one breath: half a call is none."""
        errand = self._errands.find(call, self._manner)
        with anyio.CancelScope(shield=True):
            await self._close_message("completed")
            await (self._leave(errand) if errand else self._ask_for(call))

    async def _leave(self, errand: PendingMcpCall) -> None:
        """Tell of a call that is done when the answer is over; who does it also closes it."""
        item = errand.item
        place = self._take_place(replace(item, arguments=""))
        await self._announce(place, replace(item, arguments=""))
        for more in _pieces(item.arguments):
            await self._send(e.ResponseMcpCallArgumentsDelta(**place, delta=more))
        await self._send(e.ResponseMcpCallArgumentsDone(**place, arguments=item.arguments))
        self._put(place, item)
        await self._errands.take(errand, place["response_id"], place["output_index"])
        self._left_to_do.append(errand)

    async def _ask_for(self, call: ToolCall) -> None:
        call_id = e.new_id("call")
        item = FunctionCall(
            id=e.new_id("item"),
            object="realtime.item",
            status="in_progress",
            name=call.name,
            call_id=call_id,
            arguments="",
        )
        place = self._take_place(item)
        await self._announce(place, item)
        for more in _pieces(call.arguments):
            await self._send(e.ResponseFunctionCallArgumentsDelta(**place, call_id=call_id, delta=more))
        await self._send(
            e.ResponseFunctionCallArgumentsDone(
                **place, call_id=call_id, name=call.name, arguments=call.arguments
            )
        )
        await self._close(place, replace(item, status="completed", arguments=call.arguments))

    async def end(
        self,
        status: ResponseStatus,
        *,
        details: StatusDetails | None = None,
        usage: ChatUsage | None = None,
        heard_ms: float | None = None,
    ) -> None:
        """Close what is open, and the answer itself. `heard_ms` of all its sound were heard."""
        await self._close_message("completed" if status == "completed" else "incomplete", heard_ms)
        self.response = replace(
            self.response, status=status, status_details=details, usage=self._usage(usage or ChatUsage(0, 0))
        )
        await self._send(e.ResponseDone(response=self.response))
        self._errands.run(self._left_to_do)

    @property
    def _spoken(self) -> bool:
        return self._manner.modality == "audio"

    async def _part(self) -> _PartPlace:
        """Return the place of the message's part, opening both if need be."""
        place = self._place or await self._open_message()
        return {**place, "content_index": 0}

    async def _open_message(self) -> _Place:
        """Open a message and its part, in one breath: what is half open cannot be closed."""
        message = self._message("in_progress", ())
        place = self._place = self._take_place(message)
        self._open = place["item_id"]
        self._text, self._spoken_as, self._begins_ms = "", Spoken(self._manner.format), self._ms
        if self._spoken and self._conversation is not None:
            self._sounds.open(place["item_id"], self._manner.format)
        part = AudioPart(transcript="") if self._spoken else TextPart(text="")
        with anyio.CancelScope(shield=True):
            await self._announce(place, message)
            await self._send(e.ResponseContentPartAdded(**place, content_index=0, part=part))
        return place

    async def _close_message(self, status: ItemStatus, heard_ms: float | None = None) -> None:
        if self._place is None:
            return
        place, self._place = self._place, None
        where: _PartPlace = {**place, "content_index": 0}
        if self._spoken:
            await self._send(e.ResponseOutputAudioDone(**where))
            await self._send(e.ResponseOutputAudioTranscriptDone(**where, transcript=self._text))
            part, content = (
                AudioPart(transcript=self._text),
                OutputAudio(transcript=self._heard(place, heard_ms)),
            )
            await self._send(e.ResponseContentPartDone(**where, part=part))
            await self._close(place, self._message(status, (content,), place["item_id"]))
        else:
            await self._send(e.ResponseOutputTextDone(**where, text=self._text))
            await self._send(e.ResponseContentPartDone(**where, part=TextPart(text=self._text)))
            await self._close(place, self._message(status, (OutputText(text=self._text),), place["item_id"]))
        self._open = None

    def _heard(self, place: _Place, heard_ms: float | None) -> str:
        """Return the words of the message that were heard, and leave of its sound as much."""
        if self._conversation is None:
            return self._text
        if heard_ms is None:
            return self._conversation.heard(place["item_id"])
        in_message = max(0.0, heard_ms - self._begins_ms)
        self._sounds.truncate(place["item_id"], in_message)
        return self._conversation.heard(place["item_id"], in_message)

    def _message(
        self, status: ItemStatus, content: tuple[OutputAudio | OutputText, ...], item_id: str | None = None
    ) -> Message:
        return Message(
            id=item_id or e.new_id("item"),
            object="realtime.item",
            status=status,
            role="assistant",
            content=content,
        )

    def _take_place(self, item: Message | FunctionCall | McpCall) -> _Place:
        """Put an item into the answer."""
        output_index = len(self.response.output)
        self.response = replace(self.response, output=(*self.response.output, item))
        return {"response_id": self.response.id, "item_id": item.id or "", "output_index": output_index}

    async def _announce(self, place: _Place, item: Message | FunctionCall | McpCall) -> None:
        """Tell of a new item, and add it to the conversation if the answer is in it."""
        await self._send(
            e.ResponseOutputItemAdded(
                response_id=place["response_id"], output_index=place["output_index"], item=item
            )
        )
        if self._conversation is not None:
            previous = self._conversation.last_id
            await self._send(e.ConversationItemAdded(item=item, previous_item_id=previous))

    async def _close(self, place: _Place, item: Message | FunctionCall) -> None:
        """Give an item of the answer its final form."""
        self._put(place, item)
        if self._conversation is not None and place["item_id"] in self._conversation:
            previous = self._conversation.before(place["item_id"])
            await self._send(e.ConversationItemDone(item=item, previous_item_id=previous))
        await self._send(
            e.ResponseOutputItemDone(
                response_id=place["response_id"], output_index=place["output_index"], item=item
            )
        )

    def _put(self, place: _Place, item: Message | FunctionCall | McpCall) -> None:
        output = list(self.response.output)
        output[place["output_index"]] = item
        self.response = replace(self.response, output=tuple(output))

    def _usage(self, chat: ChatUsage) -> Usage:
        """Count the model's tokens as text, our sound at the protocol's rate of 20 tokens a second."""
        audio = round(self._ms) // _MS_PER_AUDIO_TOKEN
        return Usage(
            total_tokens=chat.input_tokens + chat.output_tokens + audio,
            input_tokens=chat.input_tokens,
            output_tokens=chat.output_tokens + audio,
            input_token_details=InputTokens(
                text_tokens=chat.input_tokens,
                cached_tokens=chat.cached_tokens,
                cached_tokens_details=CachedTokens(text_tokens=chat.cached_tokens),
            ),
            output_token_details=OutputTokens(text_tokens=chat.output_tokens, audio_tokens=audio),
        )


def _pieces(arguments: str) -> Iterator[str]:
    """Cut a call's arguments into deltas: as small as words, but never very many."""
    size = max(_DELTA_CHARS, len(arguments) // _MOST_DELTAS + 1)
    return (arguments[at : at + size] for at in range(0, len(arguments), size))
