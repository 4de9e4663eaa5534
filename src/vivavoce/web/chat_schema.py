"""What is asked of `/v1/chat/completions`, read strictly, and as our chat models are asked.

What the model does not heed, and nobody would miss (`temperature`, `seed`), is read and ignored; what would
change the meaning of the answer is refused by its name.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, cast

from msgspec import UNSET, Struct, UnsetType, to_builtins

from vivavoce.limits import Limits
from vivavoce.protocol.bodies import read_body
from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    InputText,
    Item,
    Message,
    OutputText,
)
from vivavoce.protocol.session import FunctionTool, ToolChoice, ToolChoiceFunction
from vivavoce.protocol.validation import invalid
from vivavoce.providers.base import ChatRequest

__all__ = ["ChatCompletionRequest", "items_of", "read_question", "request_of"]

STOPS, STOP_CHARS = 4, 256
"""texts at which an answer may be ended, and their length"""
PREFERENCES = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")
"""options that are passed on where the model supports them"""
RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}


# what is said


class TextPart(Struct, tag_field="type", tag="text", frozen=True, kw_only=True):
    text: str


class RefusalPart(Struct, tag_field="type", tag="refusal", frozen=True, kw_only=True):
    refusal: str


class ImageUrl(Struct, frozen=True, kw_only=True):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Struct, tag_field="type", tag="image_url", frozen=True, kw_only=True):
    image_url: ImageUrl


class Function(Struct, frozen=True, kw_only=True):
    name: str
    arguments: str


class Called(Struct, frozen=True, kw_only=True):
    id: str
    function: Function
    type: Literal["function"] = "function"
    index: int | UnsetType = UNSET


class System(Struct, tag_field="role", tag="system", frozen=True, kw_only=True):
    content: str | tuple[TextPart, ...]
    name: str | UnsetType = UNSET


class Developer(Struct, tag_field="role", tag="developer", frozen=True, kw_only=True):
    content: str | tuple[TextPart, ...]
    name: str | UnsetType = UNSET


class User(Struct, tag_field="role", tag="user", frozen=True, kw_only=True):
    content: str | tuple[TextPart | ImagePart, ...]
    name: str | UnsetType = UNSET


class Assistant(Struct, tag_field="role", tag="assistant", frozen=True, kw_only=True):
    """Clients send back what they were given, with all that may stand there and does not."""

    content: str | tuple[TextPart | RefusalPart, ...] | None = None
    tool_calls: tuple[Called, ...] = ()
    name: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    annotations: object = UNSET
    audio: object = UNSET
    function_call: object = UNSET


class ToolAnswer(Struct, tag_field="role", tag="tool", frozen=True, kw_only=True):
    content: str | tuple[TextPart, ...]
    tool_call_id: str


Said = System | Developer | User | Assistant | ToolAnswer


# how it is to be answered


class Described(Struct, frozen=True, kw_only=True):
    name: str
    description: str | UnsetType = UNSET
    parameters: dict[str, object] | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class Tool(Struct, frozen=True, kw_only=True):
    type: Literal["function"]
    function: Described


class Named(Struct, frozen=True, kw_only=True):
    name: str


class Chosen(Struct, tag_field="type", tag="function", frozen=True, kw_only=True):
    function: Named


class StreamOptions(Struct, frozen=True, kw_only=True):
    include_usage: bool = False
    include_obfuscation: bool = False


class Text(Struct, tag_field="type", tag="text", frozen=True, kw_only=True):
    pass


class JsonObject(Struct, tag_field="type", tag="json_object", frozen=True, kw_only=True):
    pass


class Schema(Struct, frozen=True, kw_only=True):
    name: str
    description: str | UnsetType = UNSET
    schema: dict[str, object] | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class JsonSchema(Struct, tag_field="type", tag="json_schema", frozen=True, kw_only=True):
    json_schema: Schema


class ChatCompletionRequest(Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/chat/completions`. What is typed `object` is the model's to judge, or ignored."""

    messages: tuple[Said, ...]
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["none", "auto", "required"] | Chosen = "auto"
    parallel_tool_calls: bool = True
    max_tokens: int | UnsetType = UNSET
    max_completion_tokens: int | UnsetType = UNSET
    stop: str | tuple[str, ...] = ()
    n: Literal[1] = 1
    response_format: Text | JsonObject | JsonSchema = Text()
    logit_bias: dict[str, float] = {}
    modalities: tuple[Literal["text"], ...] = ("text",)
    logprobs: bool = False
    top_logprobs: object = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
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
    def stops(self) -> tuple[str, ...]:
        """At which texts the answer is to end."""
        stops = (self.stop,) if isinstance(self.stop, str) else self.stop
        return tuple(filter(None, stops))


def read_question(body: bytes, limits: Limits) -> ChatCompletionRequest:
    """Read a body. Raises `ProtocolError` with the `param` that is wrong."""
    question = read_body(body, ChatCompletionRequest, text_chars=limits.text_chars, values=limits.event_values)
    _check_messages(question.messages, limits.items)
    _check_tools(question, limits.tools)
    for name in ("max_tokens", "max_completion_tokens"):
        if (most := getattr(question, name)) is not UNSET and most < 1:
            raise invalid(name, f"expected at least 1, got {most}.")
    _check_stops(question.stops)
    for name, (least, most) in RANGES.items():
        if (value := getattr(question, name)) is not UNSET and not least <= value <= most:
            raise invalid(name, f"expected {least} to {most}, got {value:g}.")
    if question.logprobs:
        raise invalid("logprobs", "no model here tells how likely its words are.")
    return question


def request_of(question: ChatCompletionRequest, limits: Limits, supported: Collection[str] = ()) -> ChatRequest:
    """Return a question as our chat models are asked: in writing, not to be read aloud.

    `supported` names the options that the model supports. Raises `ProtocolError` for one it needs.
    """
    told = _opening(question.messages)
    most = question.max_completion_tokens or question.max_tokens or limits.output_tokens
    return ChatRequest(
        items=[item for said in question.messages[len(told) :] for item in items_of(said)],
        instructions="\n\n".join(text for said in told for text in _texts(said.content)),
        tools=[
            FunctionTool(name=f.name, description=f.description, parameters=f.parameters)
            for f in (tool.function for tool in question.tools)
        ],
        tool_choice=_choice(question),
        max_tokens=min(most, limits.output_tokens),
        spoken=False,
        parallel_tool_calls=question.parallel_tool_calls,
        options=_options(question, supported),
    )


def _options(question: ChatCompletionRequest, supported: Collection[str]) -> dict[str, object]:
    wanted: dict[str, object] = {name: getattr(question, name) for name in PREFERENCES}
    form, bias = question.response_format, question.logit_bias
    needed = {"response_format": UNSET if isinstance(form, Text) else form, "logit_bias": bias or UNSET}
    for name, value in needed.items():
        if value is not UNSET and name not in supported:
            raise invalid(name, "the chat model here does not support it.")
    wanted |= needed | {"stop": list(question.stops) or UNSET}
    given = {name: value for name, value in wanted.items() if value is not UNSET and name in supported}
    return cast("dict[str, object]", to_builtins(given))


def _check_stops(stops: Sequence[str]) -> None:
    if len(stops) > STOPS:
        raise invalid("stop", f"{len(stops)} texts; there may be {STOPS}.")
    if any(len(stop) > STOP_CHARS for stop in stops):
        raise invalid("stop", f"a text at which to stop holds {STOP_CHARS} characters.")


def _opening(messages: Sequence[Said]) -> list[System | Developer]:
    """Return what the model is told before the conversation begins."""
    told: list[System | Developer] = []
    for said in messages:
        if not isinstance(said, System | Developer):
            break
        told.append(said)
    return told


def _choice(question: ChatCompletionRequest) -> ToolChoice:
    choice = question.tool_choice
    return ToolChoiceFunction(name=choice.function.name) if isinstance(choice, Chosen) else choice


def _check_messages(messages: Sequence[Said], most: int) -> None:
    if not messages:
        raise invalid("messages", "there is nothing to answer.")
    if len(messages) > most:
        raise invalid("messages", f"{len(messages)} messages; there may be {most} (limits.items).")
    called = set[str]()
    for index, said in enumerate(messages):
        if isinstance(said, Assistant):
            called |= {call.id for call in said.tool_calls}
        elif isinstance(said, ToolAnswer) and said.tool_call_id not in called:
            raise invalid(f"messages[{index}].tool_call_id", f"'{said.tool_call_id}' was not called before.")


def _check_tools(question: ChatCompletionRequest, most: int) -> None:
    names = [tool.function.name for tool in question.tools]
    if len(names) > most:
        raise invalid("tools", f"{len(names)} tools; there may be {most} (limits.tools).")
    for index, name in enumerate(names):
        if not name or name in names[:index]:
            wrong = f"there are two tools called '{name}'." if name else "a tool needs a name."
            raise invalid(f"tools[{index}].function.name", wrong)
    choice = question.tool_choice
    if isinstance(choice, Chosen) and choice.function.name not in names:
        raise invalid("tool_choice.function.name", f"there is no tool called '{choice.function.name}'.")
    if choice == "required" and not names:
        raise invalid("tool_choice", "'required' needs tools to choose from.")


def items_of(said: Said) -> Iterator[Item]:
    """Yield what a message is to our chat models."""
    match said:
        case System(content=content) | Developer(content=content):
            yield Message(role="system", content=tuple(InputText(text=text) for text in _texts(content)))
        case User(content=content):
            parts = (TextPart(text=content),) if isinstance(content, str) else content
            yield Message(role="user", content=tuple(_part(part) for part in parts))
        case Assistant(content=content, tool_calls=calls):
            if texts := _texts(content or ()):
                yield Message(role="assistant", content=tuple(OutputText(text=text) for text in texts))
            for call in calls:
                function = call.function
                yield FunctionCall(name=function.name, arguments=function.arguments, call_id=call.id)
        case ToolAnswer(content=content, tool_call_id=call_id):
            yield FunctionCallOutput(call_id=call_id, output="\n".join(_texts(content)))


def _part(part: TextPart | ImagePart) -> ContentPart:
    if isinstance(part, TextPart):
        return InputText(text=part.text)
    return InputImage(image_url=part.image_url.url, detail=part.image_url.detail)


def _texts(content: str | Sequence[TextPart | RefusalPart]) -> Sequence[str]:
    if isinstance(content, str):
        return [content]
    return [part.text if isinstance(part, TextPart) else part.refusal for part in content]
