"""The protocol's bookkeeping of one answer: whatever it opens, it closes."""

from collections.abc import Awaitable, Callable
from typing import TypedDict

import anyio
from msgspec.structs import replace

from vivavoce.conversation import Conversation
from vivavoce.engines.manner import Manner
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    AudioPart,
    FunctionCall,
    ItemStatus,
    Message,
    OutputAudio,
    OutputText,
    TextPart,
)
from vivavoce.protocol.response import (
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
from vivavoce.providers import SPEAKING_RATE, ChatUsage, ToolCall

__all__ = ["Reply"]

Send = Callable[[e.ServerEvent], Awaitable[None]]
_MS_PER_AUDIO_TOKEN = 50


class _Place(TypedDict):
    """Where in the answer an event belongs."""

    response_id: str
    item_id: str
    output_index: int


class _PartPlace(_Place):
    content_index: int


class Reply:
    """Says an answer in events. Without a `conversation` it is out of band, and leaves no items."""

    def __init__(
        self,
        send: Send,
        manner: Manner,
        conversation: Conversation | None,
        *,
        conversation_id: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self._send, self._manner, self._conversation = send, manner, conversation
        self._place: _Place | None = None
        self._text, self._bytes = "", 0
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
        """Give more sound to the words."""
        where = await self._part()
        self._bytes += len(chunk)
        await self._send(e.ResponseOutputAudioDelta(**where, delta=chunk))

    async def call(self, call: ToolCall) -> None:
        """Ask the client for a tool, all in one breath: half a call is none."""
        with anyio.CancelScope(shield=True):
            await self._close_message("completed")
            await self._ask_for(call)

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
        await self._send(e.ResponseFunctionCallArgumentsDelta(**place, call_id=call_id, delta=call.arguments))
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
        """Close what is open, and the answer itself. `heard_ms` leaves of the message what was heard."""
        await self._close_message("completed" if status == "completed" else "incomplete", heard_ms)
        self.response = replace(
            self.response, status=status, status_details=details, usage=self._usage(usage or ChatUsage(0, 0))
        )
        await self._send(e.ResponseDone(response=self.response))

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
        self._text = ""
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

    def _heard(self, place: _Place, heard_ms: float | None) -> str:
        if heard_ms is None or self._conversation is None:
            return self._text
        return self._conversation.heard(place["item_id"], heard_ms)

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

    def _take_place(self, item: Message | FunctionCall) -> _Place:
        """Put an item into the answer."""
        output_index = len(self.response.output)
        self.response = replace(self.response, output=(*self.response.output, item))
        return {"response_id": self.response.id, "item_id": item.id or "", "output_index": output_index}

    async def _announce(self, place: _Place, item: Message | FunctionCall) -> None:
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
        output = list(self.response.output)
        output[place["output_index"]] = item
        self.response = replace(self.response, output=tuple(output))
        if self._conversation is not None and place["item_id"] in self._conversation:
            previous = self._conversation.before(place["item_id"])
            await self._send(e.ConversationItemDone(item=item, previous_item_id=previous))
        await self._send(
            e.ResponseOutputItemDone(
                response_id=place["response_id"], output_index=place["output_index"], item=item
            )
        )

    def _usage(self, chat: ChatUsage) -> Usage:
        """Count the model's tokens as text, our sound at the protocol's rate of 20 tokens a second."""
        audio = self._bytes * 1000 // (2 * SPEAKING_RATE) // _MS_PER_AUDIO_TOKEN
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
