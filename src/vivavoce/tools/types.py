"""What a tool is, what it is told, and what may come of it."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from vivavoce.errors import ConfigError, VivavoceError
from vivavoce.protocol.responses import METADATA_CHARS
from vivavoce.protocol.session import FunctionTool

__all__ = ["Assistant", "Card", "Context", "Outcome", "Tool", "ToolError"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,47}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")


class ToolError(VivavoceError):
    """What a tool raises when it cannot do what it is asked for: its sentence is told to the model as it is.

    Of anything else that a tool raises the model learns only that the tool has failed.
    """


@dataclass(frozen=True)
class Card:
    """Something to show while the voice speaks, as Markdown or as HTML; whatever could do harm is taken out."""

    title: str = ""
    markdown: str = ""
    html: str = ""


@dataclass(frozen=True)
class Context:
    """What a tool is told beside its arguments.

    `state` is one conversation's own: its tools may keep there what they need to know of each other. `say`
    speaks words as they are, while the tool works on.
    """

    call_id: str
    caller: str
    state: dict[str, Any]
    say: Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Outcome:
    """What came of a call: `output` is for the model, the card for the eyes; or somebody else takes over."""

    output: str
    card: Card | None = None
    handed_to: "Assistant | None" = None


@dataclass(frozen=True)
class Tool:
    """A function that the model may call, by its name, with arguments that fit `parameters` (JSON Schema).

    `run` is given the arguments as JSON text. It raises `ToolError` to say why it fails, or whatever it likes.
    `seconds` is how long it may take (None is `limits.tool_seconds`), and `at_once` how many calls of it, of
    all conversations together, may be at work. `filler` is said when it is slow. `confirm` is a question, in
    which `{names}` of arguments stand for their values: only when the caller's own next words say yes to it is
    the call made. Before they are asked, `check` raises `ToolError` if there is nothing to ask about. An
    `interruption` leaves the tool at work, or cancels it.
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
        """The tool as a session names it."""
        return FunctionTool(name=self.name, description=self.description, parameters=self.parameters)


@dataclass(frozen=True)
class Assistant:
    """Who answers: by which instructions, with which tools, in which voice, and with which words first.

    `language` is what is spoken (ISO 639-1). `hand_over` are those to whom it may pass the caller on:
    assistants, or names of some that the first one can reach. Raises `ConfigError` for what cannot be.
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
                raise ConfigError(f"{who} has a tool that is none, {tool!r}; write @tool before the function.")
