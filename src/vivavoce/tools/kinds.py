"""What a tool is, what it is told, and what may come of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vivavoce.errors import VivavoceError
from vivavoce.protocol.session import FunctionTool

__all__ = ["Assistant", "Card", "Context", "Outcome", "Tool", "ToolError"]


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
    the call made. An `interruption` leaves it at work, or cancels it.
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

    @property
    def definition(self) -> FunctionTool:
        """The tool as a session names it."""
        return FunctionTool(name=self.name, description=self.description, parameters=self.parameters)


@dataclass(frozen=True)
class Assistant:
    """Who answers: by which instructions, with which tools, in which voice, and with which words first.

    `hand_over` are those to whom it may pass the caller on. `language` is what is spoken (ISO 639-1).
    """

    instructions: str
    name: str = "assistant"
    tools: Sequence[Tool] = ()
    voice: str | None = None
    greeting: str = ""
    language: str | None = None
    hand_over: "Sequence[Assistant]" = field(default=(), repr=False)
