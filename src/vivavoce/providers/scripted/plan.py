"""What an obedient speaker answers: a function of what was said, with no model behind it.

It knows a handful of plain instructions (the page on scripted providers lists them) and takes the first that
fits: in the caller's last words, then in the session's instructions and system messages.

`said` reads the conversation, `calls` chooses tools, `words` says what is to be said, from `memory` where that
helps, and at the `length` that was asked for.
"""

import re
from dataclasses import dataclass
from typing import Literal

from vivavoce.providers.base import ChatRequest, ToolCall
from vivavoce.providers.scripted.history import Said, said_in, sentences_of
from vivavoce.providers.scripted.replies import answer_to
from vivavoce.providers.scripted.tool_calls import calls_for
from vivavoce.text.en.numbers import number_from

__all__ = ["Plan", "plan"]

Ending = Literal["stop", "fail", "silence"]


@dataclass(frozen=True)
class Plan:
    """What will be answered, in words or tool calls, and how it ends."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    ending: Ending = "stop"


def plan(request: ChatRequest) -> Plan:
    """Decide the answer to `request`. The same request always gets the same answer."""
    said = said_in(request)
    ending, after = _trouble(said)
    if ending != "stop" and after is None:
        return Plan(ending=ending)
    if not said.outputs and (calls := calls_for(said, request)):
        return Plan(calls=calls)
    text = answer_to(said)
    if after is not None:
        text = " ".join(text.split()[:after])
    return Plan(text=text, ending=ending)


_TROUBLE = re.compile(
    r"(?:please )?(?P<what>fail|stay silent|say nothing)(?: after (?P<words>[\w-]+) words?)?[.!]?",
    re.IGNORECASE,
)


def _trouble(said: Said) -> tuple[Ending, int | None]:
    """Return how the answer shall end and after how many words; only a whole sentence asks for trouble."""
    for sentence in sentences_of(said.asked) + sentences_of(said.rules):
        if match := _TROUBLE.fullmatch(sentence):
            words = number_from(match["words"]) if match["words"] else None
            after = None if words is None else int(words)
            match match["what"].lower():
                case "fail":
                    return "fail", after
                case "stay silent":
                    return "silence", after
                case _:
                    return "stop", 0
    return "stop", None
