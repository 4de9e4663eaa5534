"""Conversion of a conversation into turns of text for chat models, and the style prompt for speech."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    Item,
    McpCall,
    Message,
    part_text,
)

_RESULT_CHARS = 4000
KEPT = 7 / 8
"""The part of a full context that is kept. Less would make the model forget more at once than it has to; more
would change the beginning of the prompt, and so the model's cache, with nearly every turn."""

SPOKEN_STYLE = (
    "Your words are read aloud. Answer in one or two short spoken sentences, unless you are asked for more. "
    "Never use markdown, lists, headings, emoji, code or symbols. Write numbers, dates and units the way a "
    "person says them. If something is unclear, ask one short question. The listener can interrupt you."
)
"""the style part of the system prompt for spoken replies"""


class DialogueTurn(NamedTuple):
    """A turn: the consecutive text of one role."""

    role: Literal["system", "user", "assistant"]
    text: str


def system_prompt(instructions: str, style: str) -> str:
    """Return the system prompt: first the style, whose cache all conversations share, then the instructions."""
    return "\n\n".join(part for part in (style, instructions.strip()) if part)


def content_text(content: Sequence[ContentPart]) -> str:
    """Return the text of a message: what was written, or the transcript where it was spoken."""
    return " ".join(text.strip() for part in content if (text := part_text(part)).strip())


def turns_of(items: Sequence[Item]) -> list[DialogueTurn]:
    """Return a conversation as turns of text, for a model without support for tools.

    A tool's result becomes part of the user's turn. Adjacent messages of one role are merged into one turn,
    because small models fail with two user messages in a row.
    """
    turns: list[DialogueTurn] = []
    for turn in _remarks(items):
        if turns and turns[-1].role == turn.role:
            turns[-1] = DialogueTurn(turn.role, f"{turns[-1].text}\n{turn.text}")
        else:
            turns.append(turn)
    return turns


def _remarks(items: Sequence[Item]) -> Iterator[DialogueTurn]:
    called: dict[object, str] = {}
    for item in items:
        match item:
            case Message(role=role, content=content) if text := content_text(content):
                yield DialogueTurn(role, text)
            case FunctionCall(name=name, call_id=call_id):
                called[call_id] = name
            case FunctionCallOutput(call_id=call_id, output=output):
                yield _result_turn(called.get(call_id, "the tool"), output)
            case McpCall(name=name):
                yield _result_turn(name, mcp_result(item))


def mcp_result(call: McpCall) -> str:
    """Return the result of an MCP call as text for a model, or the reason why there is none."""
    if isinstance(call.output, str):
        return call.output
    return f"It has failed: {call.error.message}" if call.error else "There is no answer yet."


def _result_turn(tool: str, output: str) -> DialogueTurn:
    result = " ".join(describe_json(output).split())[:_RESULT_CHARS].rstrip(".") or "done"
    return DialogueTurn("user", f"(From {tool}: {result}. Tell the caller.)")


def describe_json(output: str) -> str:
    """Return a tool's output as plain text: JSON becomes `name: value, ...`, other text is unchanged."""
    try:
        return _described(msgspec.json.decode(output))
    except msgspec.DecodeError:
        return output


def _described(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{spaced_name(str(name))}: {_described(part)}" for name, part in value.items())
        case list():
            return "; ".join(map(_described, value))
        case True | False | None:
            return {True: "yes", False: "no", None: "unknown"}[value]
    return str(value)


def spaced_name(name: str) -> str:
    """Return a name such as `get_weather` or `getWeather` in separate words."""
    return re.sub(r"[_-]+|(?<=[a-z])(?=[A-Z])", " ", name)


def last_user_text(turns: Sequence[DialogueTurn]) -> str:
    """Return the text of the user's last turn, or an empty string."""
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), "")


def estimate_tokens(text: str) -> int:
    """Return a high estimate of a turn's tokens: a third of its bytes, all its digits, and the markup."""
    return (len(text.encode()) + 2 * sum(map(text.count, "0123456789"))) // 3 + 6


def first_kept(costs: Sequence[int], budget: int, kept: float) -> int:
    """Return the index of the first of these costs to keep, so that the rest is within `budget`.

    It moves in steps of all but `kept` (0 to 1) of the budget, so that it stays the same for some turns.
    """
    surplus = sum(costs) - budget
    if surplus <= 0:
        return 0
    step = max(1, round(budget * (1 - kept)))
    leave_out = -(-surplus // step) * step
    for begin, one in enumerate(costs):
        if leave_out <= 0:
            return begin
        leave_out -= one
    return len(costs)


def fit_turns(turns: Sequence[DialogueTurn], budget: int, kept: float = KEPT) -> Sequence[DialogueTurn]:
    """Drop the oldest turns if there are more than `budget` tokens; the last two are always kept.

    The first turn that is kept is a user's. `kept` is the part of the budget that then remains in use.
    """
    start = first_kept([estimate_tokens(turn.text) for turn in turns], budget, kept)
    last = max(0, len(turns) - 2)
    while 0 < start < last and turns[start].role != "user":
        start += 1
    return turns[min(start, last) :]
