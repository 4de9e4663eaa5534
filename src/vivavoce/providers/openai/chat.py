"""A chat model behind an OpenAI-compatible `/chat/completions`, streamed, with native tool calls."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import UNSET

from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    Item,
    McpCall,
    Message,
)
from vivavoce.protocol.session import FunctionTool, ToolChoice, ToolChoiceFunction
from vivavoce.providers.base import ChatRequest, ChatUsage, ToolCall
from vivavoce.providers.chat_chunks import ChatChunk, ChunkUsage, FunctionDelta
from vivavoce.providers.dialogue import (
    SPOKEN_STYLE,
    content_text,
    estimate_tokens,
    mcp_result,
    system_prompt,
)
from vivavoce.providers.openai.client import ApiClient, ApiSettings, EventLines, api_plugin

OPTIONS = frozenset(
    "frequency_penalty logit_bias presence_penalty response_format seed temperature top_p".split()
)


class OpenAIChatSettings(ApiSettings, frozen=True, kw_only=True):
    """The model and its endpoint. `temperature` is the endpoint's default unless set.

    `images` says whether the model accepts images. `context` is its context in tokens: of a longer conversation
    only the end is sent.
    """

    model: str = "gpt-4o-mini"
    temperature: float | None = None
    images: bool = True
    context: int = 128_000


_FINISHES: Mapping[str, Literal["length", "content_filter"]] = {
    "length": "length",
    "content_filter": "content_filter",
}


@dataclass
class OpenAIChat:
    """Streams replies from an endpoint."""

    client: ApiClient
    settings: OpenAIChatSettings

    @property
    def supports_images(self) -> bool:
        """Whether the model accepts images."""
        return self.settings.images

    @property
    def supported_options(self) -> frozenset[str]:
        """The options of chat completions that are passed on to the endpoint."""
        return OPTIONS

    def context_budget(self, request: ChatRequest) -> int:
        """Return how many tokens are left for the conversation, as a low estimate."""
        tools = [msgspec.json.encode(tool).decode() for tool in request.tools]
        opening = sum(map(estimate_tokens, [request.instructions, SPOKEN_STYLE, *tools]))
        answer = min(request.max_tokens or 0, self.settings.context // 4)
        return max(0, self.settings.context - answer - opening)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Yield words and tool calls. Closing the iterator closes the connection: the endpoint stops."""
        lines, usage, finish = EventLines(), ChunkUsage(), None
        calls: dict[int, ToolCall] = {}
        async with self.client.stream("chat/completions", chat_body(request, self.settings)) as data:
            async for piece in data:
                for chunk in self._chunks(lines, piece):
                    for choice in chunk.choices:
                        for part in choice.delta.tool_calls or ():
                            calls[part.index] = _joined(calls.get(part.index), part.function)
                        finish = choice.finish_reason or finish
                        if text := choice.delta.content:
                            yield text
                    usage = chunk.usage or usage
        if finish is None:
            raise self.client.failure("hung up in the middle of its answer", retryable=True)
        for _, call in sorted(calls.items()):
            yield call if call.arguments else ToolCall(call.name, "{}")
        details = usage.prompt_tokens_details
        yield ChatUsage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cached_tokens=(details.cached_tokens or 0) if details else 0,
            finish=_FINISHES.get(finish, "stop"),
        )

    def _chunks(self, lines: EventLines, data: bytes) -> list[ChatChunk]:
        try:
            events = [line for line in lines.push(data) if line and line != b"[DONE]"]
            chunks = [msgspec.json.decode(line, type=ChatChunk) for line in events]
        except (msgspec.MsgspecError, ValueError) as error:
            raise self.client.failure(f"sent something that is no chat completion: {error}") from error
        if fault := next((chunk.error for chunk in chunks if chunk.error), None):
            raise self.client.failure(fault if isinstance(fault, str) else fault.message)
        return chunks


def _joined(call: ToolCall | None, part: FunctionDelta) -> ToolCall:
    """Return a tool call extended by a delta: calls arrive in parts, identified by their index."""
    name, arguments = part.name or "", part.arguments or ""
    return ToolCall(call.name + name, call.arguments + arguments) if call else ToolCall(name, arguments)


# the request


def chat_body(request: ChatRequest, settings: OpenAIChatSettings) -> dict[str, object]:
    """Return the JSON of a chat completion request."""
    system = system_prompt(request.instructions, SPOKEN_STYLE if request.spoken else "")
    outputs = {item.call_id: item.output for item in request.items if isinstance(item, FunctionCallOutput)}
    messages = [message for item in request.items for message in _messages(item, outputs)]
    body: dict[str, object] = {
        "model": settings.model,
        "messages": [*([{"role": "system", "content": system}] if system else []), *messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body |= {"tools": [_tool(tool) for tool in request.tools], "tool_choice": _choice(request.tool_choice)}
        if not request.parallel_tool_calls:
            body["parallel_tool_calls"] = False
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    return body | dict(request.options)


def _messages(item: Item, outputs: Mapping[str, str]) -> list[dict[str, object]]:
    """Return an item as messages. A call is only sent with its output, since endpoints reject one alone."""
    match item:
        case Message(role=role, content=content) if text := _content(content):
            return [{"role": role, "content": text}]
        case FunctionCall(name=name, arguments=arguments, call_id=str(call_id)) if call_id in outputs:
            return _call_messages(call_id, name, arguments, outputs[call_id])
        case McpCall(id=call_id, name=name, arguments=arguments):
            return _call_messages(call_id, name, arguments, mcp_result(item))
    return []


def _call_messages(call_id: str, name: str, arguments: str, output: str) -> list[dict[str, object]]:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": output},
    ]


def _content(content: Sequence[ContentPart]) -> str | list[dict[str, object]]:
    """Return the text of a message, with its images if it has any."""
    images = [_image(part) for part in content if isinstance(part, InputImage)]
    text = content_text(content)
    if not images:
        return text
    return [{"type": "text", "text": text}, *images] if text else images


def _image(image: InputImage) -> dict[str, object]:
    detail = {} if image.detail is UNSET else {"detail": image.detail}
    return {"type": "image_url", "image_url": {"url": image.image_url, **detail}}


def _tool(tool: FunctionTool) -> dict[str, object]:
    optional = {"description": tool.description, "parameters": tool.parameters}
    function = {"name": tool.name} | {name: value for name, value in optional.items() if value is not UNSET}
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> object:
    if isinstance(choice, ToolChoiceFunction):
        return {"type": "function", "function": {"name": choice.name}}
    return choice if isinstance(choice, str) else "auto"


PLUGIN = api_plugin("chat", "Answers from", OpenAIChatSettings, OpenAIChat)
