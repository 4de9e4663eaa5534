"""What a tool is, what it is given, and what it may return."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

import msgspec

from vivavoce.errors import ConfigError, VivavoceError
from vivavoce.protocol.responses import METADATA_CHARS
from vivavoce.protocol.session import FunctionTool

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,47}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")

T = TypeVar("T")


class ToolError(VivavoceError):
    """Raised by a tool that cannot do what it is asked for. The model reads its sentence as it is.

    Of any other exception the model learns only that the tool has failed.
    """


def decode_arguments(arguments: str, kind: type[T]) -> T:
    """Return a call's arguments as a dict of this type. Raises `ToolError` if they are not a JSON object."""
    try:
        return msgspec.json.decode(arguments or "{}", type=kind)
    except msgspec.MsgspecError as error:
        raise ToolError(f"The arguments are not a JSON object: {error}.") from error


@dataclass(frozen=True)
class Card:
    """Something to show while the voice speaks, as Markdown or as HTML; whatever could do harm is taken out."""

    title: str = ""
    markdown: str = ""
    html: str = ""


@dataclass(frozen=True)
class Context:
    """What a tool is given beside its arguments.

    `state` belongs to one conversation: its tools may keep there what they need to know of each other. `say`
    speaks words as they are, while the tool runs on.
    """

    call_id: str
    caller: str
    state: dict[str, Any]
    say: Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call: `output` is read by the model, and `card` is shown.

    With `say` these words are spoken as they are, and the model adds nothing to them; it reads them, too, where
    there is no `output`. With `hand_over_to` another assistant answers from now on. Raises `ValueError` for
    more words than can be spoken at once.
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
    """A function that the model may call, by its name, with arguments that fit `parameters` (JSON Schema).

    `run` is given the arguments as JSON text. It raises `ToolError` to tell the model why it fails. `seconds`
    is its timeout (None is `limits.tool_seconds`), and `at_once` how many calls of it may run at the same time,
    in all conversations together. `filler` is spoken when it is slow. `confirm` is a question, in which
    `{names}` of arguments stand for their values: only when the caller's next words are a yes is the call made.
    Before the question is asked, `check` raises `ToolError` if the call could not be made anyway.
    `interruption` is what becomes of the call when the caller speaks.
    """

    name: str
    description: str
    parameters: dict[str, object]
    run: Callable[[str, Context], Awaitable[Outcome]]
    seconds: float | None = None
    at_once: int | None = None
    filler: str = ""
    confirm: str = ""
    interruption: Literal["goes on", "cancels"] = "goes on"
    check: Callable[[str, Context], Awaitable[None]] | None = field(default=None, repr=False)

    @property
    def definition(self) -> FunctionTool:
        """The tool as it stands in a session."""
        return FunctionTool(name=self.name, description=self.description, parameters=self.parameters)


@dataclass(frozen=True)
class Assistant:
    """Who answers: with which instructions, tools, voice and greeting.

    `language` is the language that is spoken (ISO 639-1). `hand_over` are those to whom it may hand the caller
    over: assistants, or names of some that the first assistant can reach. Raises `ConfigError`.
    """

    instructions: str
    name: str = "assistant"
    tools: Sequence[Tool] = ()
    voice: str | None = None
    greeting: str = ""
    language: str | None = None
    hand_over: "Sequence[Assistant | str]" = field(default=(), repr=False)

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
        if isinstance(self.hand_over, str):
            raise ConfigError(f"{who} hands over to a list: write hand_over=[{self.hand_over!r}].")
        for tool in cast("Sequence[object]", self.tools):
            if not isinstance(tool, Tool):
                raise ConfigError(
                    f"{who} has a tool that is not one, {tool!r}; write @tool before the function."
                )
