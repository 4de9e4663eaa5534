"""Chat completions by HTTP, with the chat model that answers callers, for side tasks of a client."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from secrets import token_hex

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from vivavoce.dates import unix_now
from vivavoce.engines.cascade.items import check_images
from vivavoce.errors import ProviderError
from vivavoce.protocol.events import new_id
from vivavoce.protocol.items import InputAudio, Item, Message
from vivavoce.providers.base import ChatRequest, ChatUsage, SupportsOptions, ToolCall
from vivavoce.runtime import MODEL, Runtime
from vivavoce.web.endpoints.chat_schema import (
    ChatCompletionRequest,
    read_chat_request,
    to_chat_request,
    to_items,
)
from vivavoce.web.endpoints.transcript_formats import joined
from vivavoce.web.errors import error_body
from vivavoce.web.recordings import Recordings, no_speech
from vivavoce.web.requests import (
    Admission,
    read_bytes,
    respond_while_connected,
    send_chunk,
    send_event,
    start_response,
)

Json = Mapping[str, object]
Reply = AsyncGenerator[str | ToolCall | ChatUsage, None]


class ChatCompletionsEndpoint:
    """An ASGI application. A request counts as running until its response has been sent."""

    def __init__(self, runtime: Runtime, admission: Admission, now: Callable[[], int] = unix_now) -> None:
        self.runtime, self.limits, self._admission, self._now = runtime, runtime.config.limits, admission, now
        self._recordings = Recordings(self.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, complete or as a stream; stop when the client disconnects."""
        http = Request(scope, receive)
        with self._admission.admit():
            request = read_chat_request(await read_bytes(http, self.limits, "body_bytes"), self.limits)
            providers = self.runtime.speech.providers
            for index, message in enumerate(request.messages):
                for item in to_items(message):
                    check_images(item, providers, self.limits, f"messages[{index}]")
            supported = providers.chat.supported_options if isinstance(providers.chat, SupportsOptions) else ()
            asked = to_chat_request(request, self.limits, supported)
            model = request.model or http.path_params.get("deployment", MODEL)
            completion = _Completion(model, self._now(), include_usage=request.stream_options.include_usage)
            respond = _stream if request.stream else _respond
            async with aclosing(self._reply(request, asked)) as reply:
                await respond_while_connected(receive, send, self.limits, partial(respond, reply, completion))

    async def _reply(self, request: ChatCompletionRequest, asked: ChatRequest) -> Reply:
        """Call the model, and enforce what it may ignore: `tools`, `parallel_tool_calls` and `stop`."""
        may_call, stops = request.tool_choice != "none", StopSequences(request.stop_sequences)
        asked = replace(asked, items=[await self._transcribed(item) for item in asked.items])
        async with aclosing(self.runtime.speech.providers.reply(asked, self.limits)) as pieces:
            async for piece in pieces:
                text = stops.push(piece) if isinstance(piece, str) else stops.flush()
                if text:
                    yield text
                if stops.met:
                    return
                if isinstance(piece, ChatUsage) or (isinstance(piece, ToolCall) and may_call):
                    yield piece
                if isinstance(piece, ToolCall):
                    may_call = may_call and request.parallel_tool_calls
        if text := stops.flush():
            yield text

    async def _transcribed(self, item: Item) -> Item:
        """Return an item with transcripts instead of recordings."""
        if not isinstance(item, Message):
            return item
        content = list(item.content)
        for index, part in enumerate(content):
            if isinstance(part, InputAudio) and part.audio is not UNSET:
                audio = await self._recordings.decode(part.audio, "messages")
                async with aclosing(self.runtime.speech.transcribe(audio)) as segments:
                    words = joined([segment async for segment in segments])
                if not words:
                    raise no_speech("messages")
                content[index] = InputAudio(transcript=words)
        return msgspec.structs.replace(item, content=tuple(content))


class StopSequences:
    """Passes text on until the first of `sequences`, which is cut off with all that follows. No I/O."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._withheld = ""
        self.met = False

    def push(self, text: str) -> str:
        """Return the text that is certain; a possible beginning of a stop sequence is withheld."""
        if self.met:
            return ""
        text = self._withheld + text
        if found := [at for sequence in self._sequences if (at := text.find(sequence)) >= 0]:
            self._withheld, self.met = "", True
            return text[: min(found)]
        begun = (_overlap(text, sequence) for sequence in self._sequences)
        at = len(text) - max(begun, default=0)
        self._withheld = text[at:]
        return text[:at]

    def flush(self) -> str:
        """Return the withheld text, which was not a stop sequence."""
        withheld, self._withheld = self._withheld, ""
        return withheld


def _overlap(text: str, sequence: str) -> int:
    """Return how many characters at the end of a text could be the beginning of a sequence."""
    lengths = range(min(len(sequence) - 1, len(text)), 0, -1)
    return next((n for n in lengths if text.endswith(sequence[:n])), 0)


# responses


class _Completion:
    """The common fields of one completion's chunks, and its state so far."""

    def __init__(self, model: str, created: int, *, include_usage: bool) -> None:
        self._head = {"id": f"chatcmpl-{token_hex(12)}", "created": created, "model": model}
        self._include_usage = include_usage
        self.calls = 0
        self.usage: ChatUsage | None = None
        """None if the answer was ended by a stop sequence here, not by the model"""

    @property
    def finish_reason(self) -> str:
        if self.calls:
            return "tool_calls"
        return self.usage.finish if self.usage else "stop"

    def whole(self, text: str | None, calls: list[Json]) -> Json:
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        usage = {"usage": _usage(self.usage)} if self.usage else {}
        return {**self._head, "object": "chat.completion", "choices": [choice], **usage}

    def chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._include_usage else {}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice], **usage}

    def usage_chunk(self) -> Json | None:
        if not (self._include_usage and self.usage):
            return None
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(self.usage)}

    def call(self, call: ToolCall) -> Json:
        """Return a tool call, and count it."""
        self.calls += 1
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": call.id or new_id("call"), "type": "function", "function": function}


async def _respond(reply: Reply, completion: _Completion, send: Send) -> None:
    text, calls = "", list[Json]()
    async for piece in reply:
        match piece:
            case str():
                text += piece
            case ToolCall():
                calls.append(completion.call(piece))
            case ChatUsage():
                completion.usage = piece
    body = msgspec.json.encode(completion.whole(text or (None if calls else ""), calls))
    await start_response(send, "application/json")
    await send_chunk(send, body, more=False)


async def _stream(reply: Reply, completion: _Completion, send: Send) -> None:
    chunks = _chunks(reply, completion)
    first = await anext(chunks)  # a failure before the first chunk can still be answered with an HTTP status
    await start_response(send, "text/event-stream; charset=utf-8")
    await send_event(send, first)
    try:
        async for chunk in chunks:
            await send_event(send, chunk)
        await send_chunk(send, b"data: [DONE]\n\n", more=False)
    except ProviderError as error:
        await send_event(send, error_body(502, str(error), "provider_error"))
        await send_chunk(send, b"", more=False)


async def _chunks(reply: Reply, completion: _Completion) -> AsyncIterator[Json]:
    opening: dict[str, object] = {"role": "assistant", "content": ""}
    async for piece in reply:
        match piece:
            case str():
                yield completion.chunk({**opening, "content": piece})
            case ToolCall():
                index = completion.calls
                yield completion.chunk({**opening, "tool_calls": [{"index": index, **completion.call(piece)}]})
            case ChatUsage():
                completion.usage = piece
                continue
        opening = {}
    yield completion.chunk(opening, completion.finish_reason)
    if usage := completion.usage_chunk():  # if the client requested it
        yield usage


def _usage(usage: ChatUsage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
