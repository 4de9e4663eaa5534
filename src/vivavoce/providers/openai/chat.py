"""A chat model behind an OpenAI-compatible `/chat/completions`, streamed, with native tool calls."""

import hashlib
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, cast

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
from vivavoce.providers.openai.completion import Completion
from vivavoce.providers.openai.errors import EndpointError, is_temporary, refused_parameter

log = logging.getLogger(__name__)

OPTIONS = frozenset(
    "frequency_penalty logit_bias presence_penalty response_format seed temperature top_p".split()
)


class OpenAIChatSettings(ApiSettings, frozen=True, kw_only=True):
    """The model and its endpoint. `temperature` is the endpoint's default unless set.

    `images` says whether the model accepts images. `context` is its context in tokens: of a longer conversation
    only the end is sent.
    """

    model: str = "gpt-4o-mini"
    temperature: Annotated[float, Meta(ge=0)] | None = None
    images: bool = True
    context: Annotated[int, Meta(gt=0)] = 128_000


_OUTPUT_TOKENS = ("max_tokens", "max_completion_tokens")
_OPTIONAL = (
    *"stream_options temperature parallel_tool_calls tool_choice top_p seed".split(),
    *"frequency_penalty presence_penalty logit_bias".split(),
)
"""What may be left out of a request: the answer is then less as it was wanted, but it is an answer."""
_WRONG_NUMBER = re.compile(r"too |at (most|least)|m(ax|in)imum|exceed|(less|greater) than", re.IGNORECASE)
_SYSTEM_ROLE = re.compile(
    r"\bsystem\b.{0,40}\brole\b|\brole\b.{0,40}\bsystem\b|role.{0,60}'system'", re.IGNORECASE
)
_CALL_ID = re.compile(r"tool.?call.?id", re.IGNORECASE)
_NO_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""What Gemini accepts in place of the signature of a call that it has not made"""
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
            for name in refused:
                _leave_out(body, name)
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
                name = _refused_parameter(error, body)
                if not name:
                    await retries.wait(error)
                elif name in _OUTPUT_TOKENS and _WRONG_NUMBER.search(error.detail):
                    refused |= dict.fromkeys(_OUTPUT_TOKENS)  # the number may be right another time
                else:
                    refused[name], learnt[name] = None, error

    def _remember(self, learnt: Mapping[str, EndpointError]) -> None:
        """Remember what a request had to do without, in order to succeed."""
        for name, error in learnt.items():
            self._refused[name] = None
            log.warning("%s; %s is asked otherwise now", error, self.settings.base_url)

    async def _reply_once(
        self, request: ChatRequest, body: Mapping[str, object]
    ) -> AsyncGenerator[str | ToolCall | ChatUsage, None]:
        names = [tool.name for tool in request.tools]
        completion = Completion(self._failed, names, implicit_thoughts=self._implicit_thoughts)
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


async def _next(data: AsyncIterator[bytes], completion: Completion) -> bytes:
    """Return the next bytes, or nothing at the end. What follows a complete answer may be late, or fail.

    It is read to its end all the same, because only then the connection can be used again.
    """
    if not completion.has_ended:
        return await anext(data, b"")
    with anyio.move_on_after(_END_SECONDS if completion.done else _USAGE_SECONDS), suppress(ProviderError):
        return await anext(data, b"")
    return b""


# what an endpoint refuses


def _refused_parameter(error: EndpointError, body: Mapping[str, object]) -> str:
    """Return the part of a request that an endpoint does not accept, if the request can do without it."""
    if error.param == "stream" and "stream" in body:
        return "stream"
    if "strict" in error.param and "response_format" in body:
        return "strict" if _is_strict(body) else ""
    messages, calls = _said(body)
    if _SYSTEM_ROLE.search(error.detail) and any(one["role"] == "system" for one in messages):
        return "system"
    if "thought_signature" in error.detail and any("extra_content" not in call for call in calls):
        return "unsigned calls"
    if _CALL_ID.search(error.detail) and any(not _is_short(str(call["id"])) for call in calls):
        return "long call ids"
    return refused_parameter(error, [name for name in (*_OUTPUT_TOKENS, *_OPTIONAL) if name in body])


Objects = list[dict[str, object]]


def _said(body: Mapping[str, object]) -> tuple[Objects, Objects]:
    """Return the messages of a request, and the tool calls in them."""
    messages = cast("Objects", body["messages"])
    return messages, [call for one in messages for call in cast("Objects", one.get("tool_calls", []))]


def _is_short(call_id: str) -> bool:
    return bool(re.fullmatch("[a-zA-Z0-9]{9}", call_id))


def _short(call_id: object) -> str:
    return hashlib.sha256(str(call_id).encode()).hexdigest()[:9]


def _is_strict(body: Mapping[str, object]) -> bool:
    form = body.get("response_format")
    return isinstance(form, Mapping) and "strict" in form.get("json_schema", {})


def _leave_out(body: dict[str, object], name: str) -> None:
    """Remove from a request what the endpoint does not accept, or put it in the way that it does."""
    messages, calls = _said(body)
    match name:
        case "max_tokens" if name in body:
            body["max_completion_tokens"] = body.pop(name)
        case "stream":
            body.pop("stream", None)
            body.pop("stream_options", None)
        case "strict" if _is_strict(body):
            form = cast("dict[str, dict[str, object]]", body["response_format"])
            schema = {key: value for key, value in form["json_schema"].items() if key != "strict"}
            body["response_format"] = {**form, "json_schema": schema}
        case "system":
            for message in messages:
                message["role"] = "user" if message["role"] == "system" else message["role"]
        case "unsigned calls":
            for call in calls:
                call.setdefault("extra_content", _NO_SIGNATURE)
        case "long call ids":
            for call in calls:
                call["id"] = _short(call["id"])
            for message in messages:
                if "tool_call_id" in message:
                    message["tool_call_id"] = _short(message["tool_call_id"])
        case _:
            body.pop(name, None)


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
            return _call_messages(call_id, name, arguments, mcp_result(item))
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
