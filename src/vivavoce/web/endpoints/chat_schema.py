"""The request of `/v1/chat/completions`: strict validation, and conversion for the chat models.

Options that the model does not support are ignored if they hardly change the meaning of the answer
(`temperature`, `seed`); others are rejected by name.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from typing import Annotated, Literal, cast

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from vivavoce.limits import Limits
from vivavoce.protocol.codec import read_body
from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    Message,
    OutputText,
)
from vivavoce.protocol.session import FunctionTool, ToolChoiceFunction
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import ChatRequest

PREFERENCES = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")
"""options that are passed to the model if it supports them"""

Count = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Stop = Annotated[str, Meta(max_length=256)]


# messages


class ChatTextPart(Struct, tag_field="type", tag="text", frozen=True):
    text: str


class RefusalPart(Struct, tag_field="type", tag="refusal", frozen=True):
    refusal: str


class ImageUrl(Struct, frozen=True):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Struct, tag_field="type", tag="image_url", frozen=True):
    image_url: ImageUrl


class RecordingData(Struct, frozen=True):
    data: bytes
    format: str = ""


class RecordingPart(Struct, tag_field="type", tag="input_audio", frozen=True):
    """A recording; its `format` is found by itself."""

    input_audio: RecordingData


class Function(Struct, frozen=True):
    name: str
    arguments: str


class FunctionToolCall(Struct, frozen=True):
    id: str
    function: Function
    type: Literal["function"] = "function"
    index: int | UnsetType = UNSET


class ChatMessage(Struct, tag_field="role", tag=lambda name: name.removesuffix("Message").lower(), frozen=True):
    """A message: one of the classes below, by its role."""


class SystemMessage(ChatMessage, frozen=True):
    content: str | tuple[ChatTextPart, ...]
    name: str | UnsetType = UNSET


class DeveloperMessage(SystemMessage, frozen=True):
    """The newer name of a system message."""


class UserMessage(ChatMessage, frozen=True):
    content: str | tuple[ChatTextPart | ImagePart | RecordingPart, ...]
    name: str | UnsetType = UNSET


class AssistantMessage(ChatMessage, frozen=True):
    """An assistant's message. Clients send back what they received, so unused fields are accepted."""

    content: str | tuple[ChatTextPart | RefusalPart, ...] | None = None
    tool_calls: tuple[FunctionToolCall, ...] = ()
    name: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    annotations: object = UNSET
    audio: object = UNSET
    function_call: object = UNSET


class ToolMessage(ChatMessage, frozen=True):
    content: str | tuple[ChatTextPart, ...]
    tool_call_id: str


AnyMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


# options


class FunctionDefinition(Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1)]
    description: str | UnsetType = UNSET
    parameters: dict[str, object] | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class ChatTool(Struct, frozen=True):
    type: Literal["function"]
    function: FunctionDefinition


class FunctionName(Struct, frozen=True):
    name: str


class NamedToolChoice(Struct, tag_field="type", tag="function", frozen=True):
    function: FunctionName


class StreamOptions(Struct, frozen=True):
    include_usage: bool = False
    include_obfuscation: bool = False


class TextFormat(Struct, tag_field="type", tag="text", frozen=True):
    pass


class JsonObjectFormat(Struct, tag_field="type", tag="json_object", frozen=True):
    pass


class JsonSchema(Struct, frozen=True):
    name: str
    description: str | UnsetType = UNSET
    schema: dict[str, object] | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema", frozen=True):
    json_schema: JsonSchema


class ChatCompletionRequest(Struct, frozen=True):
    """The body of `POST /v1/chat/completions`. Fields of type `object` are passed to the model, or ignored."""

    messages: Annotated[tuple[AnyMessage, ...], Meta(min_length=1)]
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    tools: tuple[ChatTool, ...] = ()
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice = "auto"
    parallel_tool_calls: bool = True
    max_tokens: Count | UnsetType = UNSET
    max_completion_tokens: Count | UnsetType = UNSET
    stop: Stop | Annotated[tuple[Stop, ...], Meta(max_length=4)] = ()
    n: Literal[1] = 1
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat = TextFormat()
    logit_bias: dict[str, float] = {}
    modalities: tuple[Literal["text"], ...] = ("text",)
    logprobs: bool = False
    top_logprobs: object = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    presence_penalty: Penalty | UnsetType = UNSET
    frequency_penalty: Penalty | UnsetType = UNSET
    seed: object = UNSET
    user: object = UNSET
    safety_identifier: object = UNSET
    metadata: object = UNSET
    store: object = UNSET
    service_tier: object = UNSET
    reasoning_effort: object = UNSET
    verbosity: object = UNSET
    prediction: object = UNSET
    prompt_cache_key: object = UNSET
    prompt_cache_retention: object = UNSET
    prompt_cache_options: object = UNSET

    @property
    def stop_sequences(self) -> list[str]:
        """The stop sequences."""
        return [stop for stop in ((self.stop,) if isinstance(self.stop, str) else self.stop) if stop]


def read_chat_request(body: bytes, limits: Limits) -> ChatCompletionRequest:
    """Read a body. Raises `ProtocolError` with the invalid `param`."""
    request = read_body(body, ChatCompletionRequest, limits)
    _check_messages(request.messages, limits.items)
    _check_tools(request, limits.tools)
    if request.logprobs:
        raise invalid("logprobs", "no model here returns log probabilities.")
    return request


def _check_messages(messages: Sequence[AnyMessage], max_messages: int) -> None:
    if len(messages) > max_messages:
        problem = f"{len(messages)} messages; at most {max_messages} are allowed (limits.items)."
        raise invalid("messages", problem)
    call_ids = set[str]()
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage):
            call_ids |= {call.id for call in message.tool_calls}
        elif isinstance(message, ToolMessage) and message.tool_call_id not in call_ids:
            problem = f"no tool call before it has the id '{message.tool_call_id}'."
            raise invalid(f"messages[{index}].tool_call_id", problem)


def _check_tools(request: ChatCompletionRequest, max_tools: int) -> None:
    names = [tool.function.name for tool in request.tools]
    if len(names) > max_tools:
        raise invalid("tools", f"{len(names)} tools; at most {max_tools} are allowed (limits.tools).")
    for index, name in enumerate(names):
        if name in names[:index]:
            raise invalid(f"tools[{index}].function.name", f"there are two tools called '{name}'.")
    choice = request.tool_choice
    if isinstance(choice, NamedToolChoice) and choice.function.name not in names:
        raise invalid("tool_choice.function.name", f"there is no tool called '{choice.function.name}'.")
    if choice == "required" and not names:
        raise invalid("tool_choice", "'required' needs tools to choose from.")


def to_chat_request(
    request: ChatCompletionRequest, limits: Limits, supported: Collection[str] = ()
) -> ChatRequest:
    """Return a request for the chat models, with text that is read, not spoken.

    `supported` names the model's options. Raises `ProtocolError` for a required option that is not supported.
    """
    leading = takewhile(lambda message: isinstance(message, SystemMessage), request.messages)
    system = cast("list[SystemMessage]", list(leading))
    max_tokens = request.max_completion_tokens or request.max_tokens or limits.output_tokens
    functions = [tool.function for tool in request.tools]
    choice = request.tool_choice
    return ChatRequest(
        items=[item for message in request.messages[len(system) :] for item in to_items(message)],
        instructions="\n\n".join(text for message in system for text in _texts(message.content)),
        tools=[
            FunctionTool(name=f.name, description=f.description, parameters=f.parameters) for f in functions
        ],
        tool_choice=ToolChoiceFunction(name=choice.function.name)
        if isinstance(choice, NamedToolChoice)
        else choice,
        max_tokens=min(max_tokens, limits.output_tokens),
        spoken=False,
        parallel_tool_calls=request.parallel_tool_calls,
        options=_options(request, supported),
    )


def _options(request: ChatCompletionRequest, supported: Collection[str]) -> dict[str, object]:
    form, bias = request.response_format, request.logit_bias
    needed = {"response_format": UNSET if isinstance(form, TextFormat) else form, "logit_bias": bias or UNSET}
    for name, value in needed.items():
        if value is not UNSET and name not in supported:
            raise invalid(name, "the chat model here does not support it.")
    options: dict[str, object] = {name: getattr(request, name) for name in PREFERENCES}
    options |= needed | {"stop": request.stop_sequences or UNSET}
    passed = {name: value for name, value in options.items() if value is not UNSET and name in supported}
    return cast("dict[str, object]", to_builtins(passed))


def to_items(message: AnyMessage) -> Iterator[Item]:
    """Yield the conversation items for a message."""
    match message:
        case SystemMessage(content=content):
            yield Message(role="system", content=tuple(InputText(text=text) for text in _texts(content)))
        case UserMessage(content=content):
            parts = (ChatTextPart(content),) if isinstance(content, str) else content
            yield Message(
                role="user",
                content=tuple(_content_part(part) for part in parts),
            )
        case AssistantMessage(content=content, tool_calls=calls):
            if texts := _texts(content or ()):
                yield Message(role="assistant", content=tuple(OutputText(text=text) for text in texts))
            for call in calls:
                function = call.function
                yield FunctionCall(name=function.name, arguments=function.arguments, call_id=call.id)
        case ToolMessage(content=content, tool_call_id=call_id):
            yield FunctionCallOutput(call_id=call_id, output="\n".join(_texts(content)))


def _content_part(part: ChatTextPart | ImagePart | RecordingPart) -> ContentPart:
    match part:
        case ChatTextPart(text=text):
            return InputText(text=text)
        case ImagePart(image_url=image):
            return InputImage(image_url=image.url, detail=image.detail)
        case RecordingPart(input_audio=recording):
            return InputAudio(audio=recording.data)


def _texts(content: str | Sequence[ChatTextPart | RefusalPart]) -> Sequence[str]:
    if isinstance(content, str):
        return [content]
    return [part.text if isinstance(part, ChatTextPart) else part.refusal for part in content]
