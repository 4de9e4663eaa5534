"""Writes the events of one response. Only here items and parts are opened and closed, always in pairs."""

from collections.abc import Iterator
from math import inf

import anyio
from msgspec.structs import replace

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.engines.cascade.context import CascadeContext
from vivavoce.engines.cascade.mcp_servers import McpServerTools, PendingMcpCall
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
    Response,
    ResponseAudio,
    ResponseOutput,
    ResponseStatus,
    StatusDetails,
    TokenDetails,
    Usage,
    response_purpose,
)
from vivavoce.providers.base import ChatUsage, ToolCall
from vivavoce.session.formats import AudioEncoder

_MS_PER_AUDIO_TOKEN = 50
_DELTA_CHARS = 8
_MAX_DELTAS = 64
_BYTES_PER_MS = 2 * OUTPUT_RATE // 1000


class ResponseWriter:
    """Writes one response as events. An out-of-band response adds no items to the conversation."""

    def __init__(
        self,
        context: CascadeContext,
        settings: ResponseSettings,
        mcp_servers: McpServerTools,
        *,
        out_of_band: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self._context, self._settings, self._mcp_servers = context, settings, mcp_servers
        self._send, self.is_started = context.send, False
        self._conversation = None if out_of_band else context.conversation
        self._pending_calls: list[PendingMcpCall] = []
        self._message: e.OutputPlace | None = None
        self._open_id: str | None = None
        self._text, self._encoder = "", AudioEncoder(settings.format)
        self._ms = self._message_start_ms = 0.0
        self._purpose = response_purpose(metadata)
        output = ResponseOutput(format=settings.format, voice=settings.voice or "default")
        self.response = Response(
            id=e.new_id("resp"),
            status="in_progress",
            output=(),
            conversation_id=None if out_of_band else context.id,
            output_modalities=(settings.modality,),
            max_output_tokens=settings.max_output_tokens,
            audio=ResponseAudio(output=output),
            metadata=metadata,
        )

    def is_open(self, item_id: str) -> bool:
        """Whether more events about this item will be sent."""
        return item_id == self._open_id

    async def start(self) -> None:
        """Send `response.created`, unless it was sent."""
        if not self.is_started:
            await self._send(e.ResponseCreated(response=self.response))
            self.is_started = True

    async def write_text(self, text: str) -> None:
        """Send a text delta, unless it is empty; opens a message if none is open."""
        if not text:
            return
        message = self._message or await self._open_message()
        self._text += text
        delta = e.ResponseOutputAudioTranscriptDelta if self._is_spoken else e.ResponseOutputTextDelta
        await self._send(delta(**message, content_index=0, delta=text))

    async def write_audio(self, chunk: bytes) -> None:
        """Send an audio delta of the text: PCM at `OUTPUT_RATE`, encoded in the client's format."""
        message = self._message or await self._open_message()
        self._ms += len(chunk) / _BYTES_PER_MS
        if encoded := self._encoder.push(chunk):
            self._context.item_audio.append(message["item_id"], encoded)
            await self._send(e.ResponseOutputAudioDelta(**message, content_index=0, delta=encoded))

    async def begin_apology(self) -> None:
        """Put what follows into a message of its own, which no model is shown as an answer."""
        await self._close_message("incomplete")
        self._purpose = "apology"

    async def write_tool_call(self, call: ToolCall) -> None:
        """Send a tool call for the client or an MCP server. Shielded, since half a call would be invalid."""
        pending = self._mcp_servers.find(call, self._settings)
        with anyio.CancelScope(shield=True):
            await self._close_message("completed")
            await (self._write_mcp_call(pending) if pending else self._write_function_call(call))

    async def _write_mcp_call(self, pending: PendingMcpCall) -> None:
        """Send an MCP call, which is made after the response; `McpServerTools` then closes the item."""
        item = pending.item
        place = await self._open_item(replace(item, arguments=""))
        for delta in _deltas(item.arguments):
            await self._send(e.ResponseMcpCallArgumentsDelta(**place, delta=delta))
        await self._send(e.ResponseMcpCallArgumentsDone(**place, arguments=item.arguments))
        self._replace(place, item)
        await self._mcp_servers.add(pending, place["response_id"], place["output_index"])
        self._pending_calls.append(pending)

    async def _write_function_call(self, call: ToolCall) -> None:
        call_id = call.id or e.new_id("call")
        item = FunctionCall(
            id=e.new_id("item"),
            object="realtime.item",
            status="in_progress",
            name=call.name,
            call_id=call_id,
            arguments="",
        )
        place = await self._open_item(item)
        for delta in _deltas(call.arguments):
            await self._send(e.ResponseFunctionCallArgumentsDelta(**place, call_id=call_id, delta=delta))
        done = e.ResponseFunctionCallArgumentsDone(
            **place, call_id=call_id, name=call.name, arguments=call.arguments
        )
        await self._send(done)
        await self._close_item(place, replace(item, status="completed", arguments=call.arguments))

    async def finish(
        self,
        status: ResponseStatus,
        *,
        details: StatusDetails | None,
        usage: ChatUsage | None,
        heard_ms: float,
    ) -> int:
        """Close what is open, and the response itself; return its number of tokens.

        `heard_ms` is how many milliseconds of its audio were played; `inf` is all of it.
        """
        await self._close_message("completed" if status == "completed" else "incomplete", heard_ms)
        total = usage_of(usage or ChatUsage(0, 0), self._ms)
        self.response = replace(self.response, status=status, status_details=details, usage=total)
        await self._send(e.ResponseDone(response=self.response))
        for call in self._pending_calls:
            self._context.tasks.start_soon(self._mcp_servers.run, call)
        return total.total_tokens

    # messages

    @property
    def _is_spoken(self) -> bool:
        return self._settings.modality == "audio"

    async def _open_message(self) -> e.OutputPlace:
        """Open a message and its part. Shielded, since a half-open message could not be closed."""
        item = self._message_item(e.new_id(self._purpose or "item"), "in_progress")
        self._open_id = item.id or ""
        self._text, self._encoder, self._message_start_ms = "", AudioEncoder(self._settings.format), self._ms
        if self._is_spoken and self._conversation is not None:
            self._context.item_audio.open(self._open_id, self._settings.format)
        part = AudioPart(transcript="") if self._is_spoken else TextPart(text="")
        with anyio.CancelScope(shield=True):
            self._message = message = await self._open_item(item)
            await self._send(e.ResponseContentPartAdded(**message, content_index=0, part=part))
        return message

    async def _close_message(self, status: ItemStatus, heard_ms: float = inf) -> None:
        if self._message is None:
            return
        place, self._message = self._message, None
        for event in e.part_closers({**place, "content_index": 0}, self._text, spoken=self._is_spoken):
            await self._send(event)
        content: OutputAudio | OutputText = OutputText(text=self._text)
        if self._is_spoken:
            content = OutputAudio(transcript=self._truncate(place["item_id"], heard_ms))
        await self._close_item(place, self._message_item(place["item_id"], status, content))
        self._open_id = None

    def _truncate(self, item_id: str, heard_ms: float) -> str:
        """Return the words of the message that were played, and truncate its stored audio accordingly."""
        if self._conversation is None:
            return self._text
        in_message = max(0.0, heard_ms - self._message_start_ms)
        self._context.item_audio.truncate(item_id, in_message)
        return self._conversation.heard_text(item_id, in_message)

    def _message_item(self, item_id: str, status: ItemStatus, *content: OutputAudio | OutputText) -> Message:
        return Message(id=item_id, object="realtime.item", status=status, role="assistant", content=content)

    # items

    async def _open_item(self, item: Message | FunctionCall | McpCall) -> e.OutputPlace:
        """Add an item to the response, and to the conversation if the response is in it."""
        index, response_id = len(self.response.output), self.response.id
        self.response = replace(self.response, output=(*self.response.output, item))
        await self._send(e.ResponseOutputItemAdded(response_id=response_id, output_index=index, item=item))
        if self._conversation is not None:
            previous = self._conversation.last_id
            await self._send(e.ConversationItemAdded(item=item, previous_item_id=previous))
        return {"response_id": response_id, "item_id": item.id or "", "output_index": index}

    async def _close_item(self, place: e.OutputPlace, item: Message | FunctionCall) -> None:
        """Send the final form of an item of the response."""
        self._replace(place, item)
        if self._conversation is not None and place["item_id"] in self._conversation:
            previous = self._conversation.before(place["item_id"])
            await self._send(e.ConversationItemDone(item=item, previous_item_id=previous))
        response_id, index = place["response_id"], place["output_index"]
        await self._send(e.ResponseOutputItemDone(response_id=response_id, output_index=index, item=item))

    def _replace(self, place: e.OutputPlace, item: Message | FunctionCall | McpCall) -> None:
        output = list(self.response.output)
        output[place["output_index"]] = item
        self.response = replace(self.response, output=tuple(output))


def usage_of(chat: ChatUsage, audio_ms: float = 0) -> Usage:
    """Count the chat model's tokens as text, and the audio at the protocol's 20 tokens per second."""
    audio = round(audio_ms) // _MS_PER_AUDIO_TOKEN
    return Usage(
        total_tokens=chat.input_tokens + chat.output_tokens + audio,
        input_tokens=chat.input_tokens,
        output_tokens=chat.output_tokens + audio,
        input_token_details=InputTokens(
            text_tokens=chat.input_tokens,
            cached_tokens=chat.cached_tokens,
            cached_tokens_details=CachedTokens(text_tokens=chat.cached_tokens),
        ),
        output_token_details=TokenDetails(text_tokens=chat.output_tokens, audio_tokens=audio),
    )


def _deltas(arguments: str) -> Iterator[str]:
    """Split a call's arguments into deltas of about a word, but not too many of them."""
    size = max(_DELTA_CHARS, len(arguments) // _MAX_DELTAS + 1)
    return (arguments[at : at + size] for at in range(0, len(arguments), size))
