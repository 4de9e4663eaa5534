"""A chat model behind an OpenAI-compatible `/chat/completions`, streamed, with native tool calls."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Annotated

import anyio
import msgspec
from msgspec import UNSET, Meta

from vivavoce.errors import ProviderError
from vivavoce.protocol.events import new_id
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
from vivavoce.providers.dialogue import (
    SPOKEN_STYLE,
    content_text,
    estimate_tokens,
    mcp_result,
    system_prompt,
)
from vivavoce.providers.openai.client import ApiClient, ApiSettings, api_plugin
from vivavoce.providers.openai.completion import StreamedCompletion
from vivavoce.providers.openai.errors import EndpointError, is_temporary
from vivavoce.providers.openai.refusals import WRONG_NUMBER, Objects, adapt, find_refused

log = logging.getLogger(__name__)

OPTIONS = frozenset(
    "frequency_penalty logit_bias presence_penalty response_format seed temperature top_p".split()
)


class OpenAIChatSettings(ApiSettings, frozen=True, kw_only=True):
    """The model and its endpoint. `temperature` is the endpoint's default unless set.

    `images` says whether the model accepts images. `context` is its context in tokens: of a longer conversation
    only the end is sent, with notes on the rest. `summarize` says whether the model writes these itself;
    otherwise they quote the user.
    """

    model: str = "gpt-4o-mini"
    temperature: Annotated[float, Meta(ge=0)] | None = None
    images: bool = True
    context: Annotated[int, Meta(gt=0)] = 128_000
    summarize: bool = True


_USAGE_SECONDS, _END_SECONDS = 1.0, 0.1
"""seconds to wait for what follows the reason for the end, and for what follows `[DONE]`"""
_KEPT_EXTRAS = 1000
"""calls whose extra content is kept, the newest of all conversations"""
_EXTRA_CHARS = 64 * 1024


@dataclass
class OpenAIChat:
    """Streams replies from an endpoint, and remembers which parameters it does not accept."""

    client: ApiClient
    settings: OpenAIChatSettings
    _refused: dict[str, None] = field(default_factory=dict)
    _implicit_thoughts: bool = False
    _extras: dict[str, object] = field(default_factory=dict)

    @property
    def supports_images(self) -> bool:
        """Whether the model accepts images."""
        return self.settings.images

    @property
    def summarizes(self) -> bool:
        """Whether the model sums up what is older than its context."""
        return self.settings.summarize

    @property
    def supported_options(self) -> frozenset[str]:
        """The options of chat completions that are passed on to the endpoint."""
        return OPTIONS

    def context_budget(self, request: ChatRequest) -> int:
        """Return how many tokens are left for the conversation, as a low estimate."""
        tools = [msgspec.json.encode(tool).decode() for tool in request.tools]
        opening = sum(map(estimate_tokens, [request.instructions, SPOKEN_STYLE, *tools]))
        return max(0, self.settings.context - _output_tokens(request, self.settings) - opening)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Yield words and tool calls. Closing the iterator closes the connection: the endpoint stops.

        What fails before the first word is sent again: at once without a parameter that the endpoint refuses,
        and after a while if the reason will pass.
        """
        retries, begun = self.client.retries(), False
        refused, learnt = dict(self._refused), dict[str, EndpointError]()
        while True:
            body = chat_body(request, self.settings, self._extras)
            adapt(body, refused)
            try:
                async with aclosing(self._reply_once(request, body)) as pieces:
                    async for piece in pieces:
                        if not begun:
                            begun = True
                            self._remember(learnt)
                        yield piece
                return
            except EndpointError as error:
                if begun:
                    raise
                if name := find_refused(error, body):
                    refused[name] = None
                    learnt |= {} if name == WRONG_NUMBER else {name: error}
                else:
                    await retries.wait(error)

    def _remember(self, learnt: Mapping[str, EndpointError]) -> None:
        """Remember what a request had to do without, in order to succeed."""
        for name, error in learnt.items():
            self._refused[name] = None
            log.warning("%s; %s is asked otherwise now", error, self.settings.base_url)

    async def _reply_once(
        self, request: ChatRequest, body: Mapping[str, object]
    ) -> AsyncGenerator[str | ToolCall | ChatUsage, None]:
        names = [tool.name for tool in request.tools]
        completion = StreamedCompletion(
            self._failed,
            names,
            implicit_thoughts=self._implicit_thoughts,
            on_progress=request.on_progress,
        )
        async with self.client.stream("chat/completions", body) as response:
            while not completion.failure and (data := await _next(response.data, completion)):
                for text in completion.push(data):
                    yield text
        for text in completion.flush():
            yield text
        self._implicit_thoughts = completion.implicit_thoughts
        if completion.failure:
            raise completion.failure
        if not completion.has_ended:
            raise self.client.failure("hung up in the middle of its answer", retryable=True)
        for call, extra in completion.calls():
            yield self._kept(call, extra)
        yield completion.usage

    def _failed(self, message: str, error: object) -> EndpointError:
        return self.client.failure(message, retryable=is_temporary(0, error), error=error)

    def _kept(self, call: ToolCall, extra: object) -> ToolCall:
        """Return a call with an id, under which what must be sent back with it is kept."""
        if not extra or len(str(extra)) > _EXTRA_CHARS:
            return call
        call = replace(call, id=new_id("call"))
        self._extras[call.id] = extra
        for old in list(self._extras)[:-_KEPT_EXTRAS]:
            del self._extras[old]
        return call


async def _next(data: AsyncIterator[bytes], completion: StreamedCompletion) -> bytes:
    """Return the next bytes, or nothing at the end. What follows a complete answer may be late, or fail.

    It is read to its end all the same, because only then the connection can be used again.
    """
    if not completion.has_ended:
        return await anext(data, b"")
    with anyio.move_on_after(_END_SECONDS if completion.done else _USAGE_SECONDS), suppress(ProviderError):
        return await anext(data, b"")
    return b""


# the request


def chat_body(
    request: ChatRequest, settings: OpenAIChatSettings, extras: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return the JSON of a chat completion request. `extras` is what is sent back with a call, by its id."""
    system = system_prompt(request.instructions, SPOKEN_STYLE if request.spoken else "")
    outputs = {item.call_id: item.output for item in request.items if isinstance(item, FunctionCallOutput)}
    messages = [message for item in request.items for message in _messages(item, outputs, extras or {})]
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
        body["max_tokens"] = _output_tokens(request, settings)
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    return body | dict(request.options)


def _output_tokens(request: ChatRequest, settings: OpenAIChatSettings) -> int:
    """Return how many tokens an answer may have: at most a quarter of the context."""
    return min(request.max_tokens or 0, settings.context // 4)


def _messages(item: Item, outputs: Mapping[str, str], extras: Mapping[str, object]) -> Objects:
    """Return an item as messages. A call is only sent with its output, since endpoints reject one alone."""
    match item:
        case Message(role=role, content=content) if text := _content(content):
            return [{"role": role, "content": text}]
        case FunctionCall(name=name, arguments=arguments, call_id=str(call_id)) if call_id in outputs:
            return _call_messages(call_id, name, arguments, outputs[call_id], extras.get(call_id))
        case McpCall(id=call_id, name=name, arguments=arguments):
            return _call_messages(call_id, name, arguments, mcp_result(item), extras.get(call_id))
    return []


def _call_messages(call_id: str, name: str, arguments: str, output: str, extra: object = None) -> Objects:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    more = {"extra_content": extra} if extra else {}
    return [
        {"role": "assistant", "tool_calls": [call | more]},
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
