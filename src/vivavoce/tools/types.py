"""The types of tools: `Tool`, `Context`, `Outcome`, `Card`, `Assistant` and `ToolError`."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast, get_args

import msgspec

from vivavoce.errors import ConfigError, VivavoceError, alternatives
from vivavoce.protocol.responses import METADATA_CHARS
from vivavoce.protocol.session import FunctionTool
from vivavoce.session.call import Caller, Storing

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,47}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")

T = TypeVar("T")


class ToolError(VivavoceError):
    """Raised by a tool that cannot do what it is called for. The model reads the message.

    For any other exception, the model is told only that the tool has failed.
    """


def decode_arguments(arguments: str, kind: type[T]) -> T:
    """Decode a call's arguments as a dict of type `kind`. Raises `ToolError` if they are not a JSON object."""
    try:
        return msgspec.json.decode(arguments or "{}", type=kind)
    except msgspec.MsgspecError as error:
        raise ToolError(f"The arguments are not a JSON object: {error}.") from error


@dataclass(frozen=True)
class Card:
    """Something to show in the client, as Markdown or HTML. The HTML is sanitized before it is sent."""

    title: str = ""
    markdown: str = ""
    html: str = ""


@dataclass(frozen=True)
class Context:
    """What a tool receives in addition to its arguments.

    `call_id` is the call's id in the protocol, `caller` the id of the caller. `state` is a dict for the tools
    of one conversation. `await say(text)` has a text spoken verbatim, while the tool keeps running.
    """

    call_id: str
    caller: str
    state: dict[str, Any]
    say: Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call: `output` is read by the model, and `card` is shown.

    `say` is spoken verbatim instead of a response of the model; without an `output`, the model reads it as the
    output. `hand_over_to` is the assistant that answers from now on. Raises `ValueError` if `say` is too long.
    """

    output: str = ""
    card: Card | None = None
    hand_over_to: "Assistant | None" = None
    say: str = ""

    def __post_init__(self) -> None:
        if len(self.say) > METADATA_CHARS:
            raise ValueError(f"say has {len(self.say)} characters; at most {METADATA_CHARS} are spoken")


@dataclass(frozen=True)
class Tool:
    """A function that the model may call by its name, with arguments that match `parameters` (JSON Schema).

    `run` receives the arguments as JSON text; its `ToolError` is read by the model. `seconds` is the timeout
    (None: `limits.tool_seconds`), and `max_concurrency` the number of calls that may run at the same time, in
    all conversations together. `filler` is spoken when the call is slow. `confirm` is a question in which
    `{name}` stands for the value of an argument; the call is made only if the caller answers yes. `check` runs
    before the question, and raises `ToolError` if the call cannot be made anyway. `on_interruption` is what
    happens to the call when the caller starts to speak. `offered_to` is whether a caller's model is offered it;
    without it, all are.
    """

    name: str
    description: str
    parameters: dict[str, object]
    run: Callable[[str, Context], Awaitable[Outcome]]
    seconds: float | None = None
    max_concurrency: int | None = None
    filler: str = ""
    confirm: str = ""
    on_interruption: Literal["continue", "cancel"] = "continue"
    check: Callable[[str, Context], Awaitable[None]] | None = field(default=None, repr=False)
    offered_to: Callable[[Caller], bool] | None = field(default=None, repr=False)

    @property
    def definition(self) -> FunctionTool:
        """The tool's definition in a session."""
        return FunctionTool(name=self.name, description=self.description, parameters=self.parameters)


@dataclass(frozen=True)
class Assistant:
    """An assistant: its instructions, tools, voice and greeting.

    `language` is the spoken language (ISO 639-1). `hand_over` lists the assistants to which it may hand over
    the conversation: assistants, or names of assistants reachable from the first one. `store` is what may be
    written down of conversations in which it may take part. Raises `ConfigError`.
    """

    instructions: str
    name: str = "assistant"
    tools: Sequence[Tool] = ()
    voice: str | None = None
    greeting: str = ""
    language: str | None = None
    hand_over: "Sequence[Assistant | str]" = field(default=(), repr=False)
    store: Storing = "all"

    def __post_init__(self) -> None:
        who = f"The assistant {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{who} needs another name: 1 to 48 letters, digits, spaces, '-' and '_'.")
        if len(self.greeting) > METADATA_CHARS:
            raise ConfigError(
                f"{who} has a greeting of {len(self.greeting)} characters; at most {METADATA_CHARS}."
            )
        if self.language is not None and not _LANGUAGE.fullmatch(self.language):
            raise ConfigError(
                f"{who} speaks {self.language!r}; write its code in ISO 639-1, such as 'en' or 'hi'."
            )
        if self.store not in get_args(Storing):
            raise ConfigError(f"{who} stores {self.store!r}; {alternatives(self.store, get_args(Storing))}.")
        if isinstance(self.hand_over, str):
            raise ConfigError(f"{who} hands over to a list: write hand_over=[{self.hand_over!r}].")
        for tool in cast("Sequence[object]", self.tools):
            if not isinstance(tool, Tool):
                raise ConfigError(
                    f"{who} has a tool that is not one, {tool!r}; write @tool before the function."
                )
