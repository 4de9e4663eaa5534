"""A chat model behind any OpenAI-compatible `/chat/completions`, streamed, with its own tool calls."""

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
from vivavoce.providers.dialogue import SPOKEN_STYLE, content_text, estimate_tokens, mcp_result, system_prompt
from vivavoce.providers.openai.http import Endpoint, EndpointSettings, EventLines
from vivavoce.providers.registry import Plugin, Weights

__all__ = ["PLUGIN", "OpenAIChat", "OpenAIChatSettings"]

NAME = "openai"
HEEDS = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "presence_penalty",
        "response_format",
        "seed",
        "temperature",
        "top_p",
    }
)


class OpenAIChatSettings(EndpointSettings, frozen=True, kw_only=True):
    """Which model, and where. `temperature` is left to the endpoint unless given.

    `images` says whether it sees. `context` is how many tokens it can read; with more of a conversation it is
    not asked.
    """

    model: str = "gpt-4o-mini"
    temperature: float | None = None
    images: bool = True
    context: int = 128_000


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, frozen=True):
    index: int = 0
    function: _Function = _Function()


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    tool_calls: tuple[_Call, ...] | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = 0


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Fault(msgspec.Struct, frozen=True):
    message: str = ""


class _Chunk(msgspec.Struct, frozen=True):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: _Fault | str | None = None


@dataclass
class OpenAIChat:
    """Asks an endpoint for answers."""

    endpoint: Endpoint
    settings: OpenAIChatSettings

    @property
    def supports_images(self) -> bool:
        """Whether it can be shown images."""
        return self.settings.images

    @property
    def supported_options(self) -> frozenset[str]:
        """What a client may wish of it: the endpoint is told, and judges."""
        return HEEDS

    def context_budget(self, request: ChatRequest) -> int:
        """Return how many tokens are left for the conversation, in a cautious estimate."""
        tools = [msgspec.json.encode(tool).decode() for tool in request.tools]
        opening = sum(map(estimate_tokens, [request.instructions, SPOKEN_STYLE, *tools]))
        answer = min(request.max_tokens or 0, self.settings.context // 4)
        return max(0, self.settings.context - answer - opening)

    async def aclose(self) -> None:
        """Hang up all connections."""
        await self.endpoint.aclose()

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Answer in words and tool calls. Closing the iterator hangs up, and the endpoint stops."""
        lines, calls, usage, finish = EventLines(), _Calls(), _Usage(), None
        async with self.endpoint.stream("chat/completions", body(request, self.settings)) as chunks:
            async for data in chunks:
                for chunk in self._read(lines, data):
                    for choice in chunk.choices:
                        calls.add(choice.delta.tool_calls or ())
                        finish = choice.finish_reason or finish
                        if text := choice.delta.content:
                            yield text
                    usage = chunk.usage or usage
        if finish is None:
            raise self.endpoint.failure("hung up in the middle of its answer", retryable=True)
        for call in calls.whole():
            yield call
        yield _told(usage, finish)

    def _read(self, lines: EventLines, data: bytes) -> list[_Chunk]:
        try:
            said = [line for line in lines.feed(data) if line and line != b"[DONE]"]
            chunks = [msgspec.json.decode(line, type=_Chunk) for line in said]
        except (msgspec.MsgspecError, ValueError) as error:
            raise self.endpoint.failure(f"sent something that is no chat completion: {error}") from error
        for chunk in chunks:
            if chunk.error:
                raise self.endpoint.failure(
                    chunk.error if isinstance(chunk.error, str) else chunk.error.message
                )
        return chunks


class _Calls:
    """Tool calls arrive in pieces, told apart by their index."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._arguments: dict[int, str] = {}

    def add(self, pieces: Sequence[_Call]) -> None:
        for piece in pieces:
            name, arguments = piece.function.name or "", piece.function.arguments or ""
            self._names[piece.index] = self._names.get(piece.index, "") + name
            self._arguments[piece.index] = self._arguments.get(piece.index, "") + arguments

    def whole(self) -> list[ToolCall]:
        return [ToolCall(name, self._arguments[i] or "{}") for i, name in sorted(self._names.items())]


def _told(usage: _Usage, finish: str) -> ChatUsage:
    details = usage.prompt_tokens_details
    return ChatUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        finish=_FINISHES.get(finish, "stop"),
    )


_FINISHES: dict[str, Literal["length", "content_filter"]] = {
    "length": "length",
    "content_filter": "content_filter",
}


def body(request: ChatRequest, settings: OpenAIChatSettings) -> dict[str, object]:
    """Return the JSON that asks for an answer."""
    told = system_prompt(request.instructions, SPOKEN_STYLE if request.spoken else "")
    messages = [*([{"role": "system", "content": told}] if told else []), *_messages(request.items)]
    asked: dict[str, object] = {
        "model": settings.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        asked |= {"tools": [_tool(tool) for tool in request.tools], "tool_choice": _choice(request.tool_choice)}
        if not request.parallel_tool_calls:
            asked["parallel_tool_calls"] = False
    if request.max_tokens is not None:
        asked["max_tokens"] = request.max_tokens
    if settings.temperature is not None:
        asked["temperature"] = settings.temperature
    return asked | dict(request.options)


def _messages(items: Sequence[Item]) -> list[dict[str, object]]:
    outputs = {item.call_id: item.output for item in items if isinstance(item, FunctionCallOutput)}
    return [message for item in items for message in _message(item, outputs)]


def _message(item: Item, outputs: Mapping[str, str]) -> list[dict[str, object]]:
    """Say an item in the endpoint's way. A call stands with its answer: one without the other is refused."""
    match item:
        case Message(role=role, content=content) if said := _content(content):
            return [{"role": role, "content": said}]
        case FunctionCall(name=name, arguments=arguments, call_id=str(call_id)) if call_id in outputs:
            return [_called(call_id, name, arguments), _answer(call_id, outputs[call_id])]
        case McpCall(id=call_id, name=name, arguments=arguments):
            return [_called(call_id, name, arguments), _answer(call_id, mcp_result(item))]
    return []


def _content(content: Sequence[ContentPart]) -> str | list[dict[str, object]]:
    """Return what is said in a message, with the images where it shows any."""
    images = [_image(part) for part in content if isinstance(part, InputImage)]
    text = content_text(content)
    if not images:
        return text
    return [{"type": "text", "text": text}, *images] if text else images


def _image(image: InputImage) -> dict[str, object]:
    detail = {} if image.detail is UNSET else {"detail": image.detail}
    return {"type": "image_url", "image_url": {"url": image.image_url, **detail}}


def _called(call_id: str, name: str, arguments: str) -> dict[str, object]:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def _answer(call_id: str, output: str) -> dict[str, object]:
    return {"role": "tool", "tool_call_id": call_id, "content": output}


def _tool(tool: FunctionTool) -> dict[str, object]:
    given = {"description": tool.description, "parameters": tool.parameters}
    function = {"name": tool.name} | {name: value for name, value in given.items() if value is not UNSET}
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> object:
    if isinstance(choice, ToolChoiceFunction):
        return {"type": "function", "function": {"name": choice.name}}
    return choice if isinstance(choice, str) else "auto"


async def _open(settings: OpenAIChatSettings, weights: Weights) -> OpenAIChat:
    return OpenAIChat(Endpoint.open(settings, provider=NAME, role="chat"), settings)


PLUGIN = Plugin(
    role="chat",
    name=NAME,
    summary="Answers from any OpenAI-compatible endpoint: OpenAI, Azure, a server of your own.",
    settings=OpenAIChatSettings,
    open=_open,
    about=lambda settings: f"{settings.model} at {settings.base_url}",
)
