"""Chat completions: the chat model that answers callers, asked in writing, for the side tasks of a client.

Whoever provides the model, it is asked as it always is, so that all are asked alike.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from vivavoce.dates import unix_now
from vivavoce.engines.cascade.answer import timely
from vivavoce.engines.cascade.images import check_images
from vivavoce.errors import ProviderError
from vivavoce.protocol.events import new_id
from vivavoce.providers.base import ChatRequest, ChatUsage, SupportsOptions, ToolCall
from vivavoce.runtime import MODEL, Runtime
from vivavoce.web.admission import Admission
from vivavoce.web.chat_schema import ChatCompletionRequest, items_of, read_question, request_of
from vivavoce.web.errors import failed
from vivavoce.web.request_body import read
from vivavoce.web.stop_sequences import StopSequences
from vivavoce.web.streaming import begin, tell, while_they_read

__all__ = ["ChatCompletionsEndpoint"]

Json = Mapping[str, object]
Piece = str | ToolCall | ChatUsage
Reply = AsyncGenerator[Piece, None]


class ChatCompletionsEndpoint:
    """An ASGI application. A place is taken until the last word is written."""

    def __init__(self, runtime: Runtime, places: Admission, now: Callable[[], int] = unix_now) -> None:
        self.runtime, self.limits, self._places, self._now = runtime, runtime.config.limits, places, now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question, whole or as it is written; stop when the client leaves."""
        request = Request(scope, receive)
        with self._places.take():
            body = await read(request, self.limits, self.limits.body_bytes, "body_bytes")
            question = read_question(body, self.limits)
            self._check_images(question)
            chat = self.runtime.speech.crew.chat
            asked = request_of(
                question, self.limits, chat.supported_options if isinstance(chat, SupportsOptions) else ()
            )
            model = question.model or request.path_params.get("deployment", MODEL)
            wording = _Wording(model, self._now(), tells_usage=question.stream_options.include_usage)
            answer = _streamed if question.stream else _whole
            async with aclosing(self._reply(question, asked)) as reply:
                await while_they_read(receive, send, self.limits, partial(answer, reply, wording))

    def _check_images(self, question: ChatCompletionRequest) -> None:
        for index, said in enumerate(question.messages):
            for item in items_of(said):
                check_images(item, self.runtime.speech.crew, self.limits, f"messages[{index}]")

    async def _reply(self, question: ChatCompletionRequest, asked: ChatRequest) -> Reply:
        """Ask the model, and hold it to what was wished: no tools, or one at a time, and where to end."""
        may_call, stops = question.tool_choice != "none", StopSequences(question.stops)
        waits = self.limits.first_token_seconds, self.limits.next_token_seconds
        reply = self.runtime.speech.crew.chat.reply(asked)
        async with aclosing(timely(reply, *waits, provider="chat")) as pieces:
            async for piece in pieces:
                text = stops.take(piece) if isinstance(piece, str) else stops.finish()
                if text:
                    yield text
                if stops.met:
                    return
                if isinstance(piece, ChatUsage) or (isinstance(piece, ToolCall) and may_call):
                    yield piece
                if isinstance(piece, ToolCall):
                    may_call = may_call and question.parallel_tool_calls
        if text := stops.finish():
            yield text


# how an answer is written


@dataclass
class _Wording:
    """What all parts of one answer have in common, and what became of it so far."""

    model: str
    created: int
    tells_usage: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{token_hex(12)}")
    calls: int = 0
    usage: ChatUsage | None = None
    """unknown where the answer was ended at a text by us, not by the model"""

    @property
    def finish(self) -> str:
        """Why the answer ended."""
        if self.calls:
            return "tool_calls"
        return self.usage.finish if self.usage else "stop"

    def whole(self, text: str | None, calls: list[Json]) -> Json:
        """Return an answer that is written at once."""
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        cost = {"usage": _told(self.usage)} if self.usage else {}
        return {**self._head("chat.completion"), "choices": [choice], **cost}

    def chunk(self, delta: Json, finish: str | None = None) -> Json:
        """Return a part of an answer that is written as it comes."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        last = {"usage": None} if self.tells_usage else {}
        return {**self._head("chat.completion.chunk"), "choices": [choice], **last}

    def last(self, usage: ChatUsage) -> Json:
        """Return what comes after the last part: what it cost."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": _told(usage)}

    def call(self, call: ToolCall) -> Json:
        """Return a tool call, and count it."""
        self.calls += 1
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": new_id("call"), "type": "function", "function": function}

    def _head(self, kind: str) -> dict[str, object]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


async def _whole(reply: Reply, wording: _Wording, send: Send) -> None:
    text, calls = "", list[Json]()
    async for piece in reply:
        match piece:
            case str():
                text += piece
            case ToolCall():
                calls.append(wording.call(piece))
            case ChatUsage():
                wording.usage = piece
    answer = msgspec.json.encode(wording.whole(text or (None if calls else ""), calls))
    await begin(send, "application/json")
    await tell(send, answer, more=False)


async def _streamed(reply: Reply, wording: _Wording, send: Send) -> None:
    chunks = _chunks(reply, wording)
    first = await anext(chunks)  # what fails before the first word is still answered with a status
    await begin(send, "text/event-stream; charset=utf-8")
    await tell(send, _line(first))
    try:
        async for chunk in chunks:
            await tell(send, _line(chunk))
        await tell(send, b"data: [DONE]\n\n", more=False)
    except ProviderError as error:
        await tell(send, _line(failed(error)), more=False)


async def _chunks(reply: Reply, wording: _Wording) -> AsyncIterator[Json]:
    opening: dict[str, object] = {"role": "assistant", "content": ""}
    async for piece in reply:
        match piece:
            case str():
                yield wording.chunk({**opening, "content": piece})
            case ToolCall():
                index = wording.calls
                yield wording.chunk({**opening, "tool_calls": [{"index": index, **wording.call(piece)}]})
            case ChatUsage():
                wording.usage = piece
                continue
        opening = {}
    yield wording.chunk(opening, wording.finish)
    if wording.tells_usage and wording.usage:
        yield wording.last(wording.usage)


def _told(usage: ChatUsage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _line(said: Json) -> bytes:
    return b"data: " + msgspec.json.encode(said) + b"\n\n"
