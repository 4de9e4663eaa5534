"""A conversation as a chat model reads it: turns of text, no more of them than fit, and how to speak."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from vivavoce.protocol.items import (
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
)

_RESULT_CHARS = 4000

SPOKEN_STYLE = (
    "Your words are read aloud. Answer in one or two short spoken sentences, unless you are asked for more. "
    "Never use markdown, lists, headings, emoji, code or symbols. Write numbers, dates and units the way a "
    "person says them. If something is unclear, ask one short question. The listener can interrupt you."
)
"""How any model is told to speak."""


class DialogueTurn(NamedTuple):
    """The words of one side, until the other has the word."""

    role: Literal["system", "user", "assistant"]
    text: str


def system_prompt(instructions: str, style: str) -> str:
    """Return the system prompt: our style first, which is the same for all, then the session's instructions."""
    return "\n\n".join(part for part in (style, instructions.strip()) if part)


def content_text(content: Sequence[ContentPart]) -> str:
    """Return the text of a message: what was written, or the transcript where it was spoken."""
    return " ".join(text.strip() for part in content if (text := _part_text(part)).strip())


def _part_text(part: ContentPart) -> str:
    match part:
        case InputText(text=text) | OutputText(text=text):
            return text
        case InputAudio(transcript=str(text)) | OutputAudio(transcript=str(text)):
            return text
    return ""


def turns_of(items: Sequence[Item]) -> list[DialogueTurn]:
    """Return a conversation in turns, for a model that knows nothing of tools.

    A tool's result becomes a remark of the user's, beside the question that it answers. Neighbours of one role
    become one turn, because small models lose their way when two users speak in a row.
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
    """Return the result of an MCP server's tool, for a model, or why there is none."""
    if isinstance(call.output, str):
        return call.output
    return f"It has failed: {call.error.message}" if call.error else "There is no answer yet."


def _result_turn(tool: str, output: str) -> DialogueTurn:
    result = " ".join(describe_json(output).split())[:_RESULT_CHARS].rstrip(".") or "done"
    return DialogueTurn("user", f"(From {tool}: {result}. Tell the caller.)")


def describe_json(output: str) -> str:
    """Return a tool's output in words: JSON as `name: value, ...` in its own order, other text as it is."""
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
    """Return the user's last turn, or nothing."""
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), "")


def estimate_tokens(text: str) -> int:
    """Return, rather too high, how many tokens a text has: a third of its bytes, and a turn's frame."""
    return len(text.encode()) // 3 + 6


def fit_turns(turns: Sequence[DialogueTurn], budget: int) -> Sequence[DialogueTurn]:
    """Leave out the oldest turns where there are more than `budget` tokens; the last two always stay.

    Half a budget goes at once, counted from the beginning: the next turns then begin at the same place, and
    what the model has already read of them stays valid. What is left begins with a user's turn.
    """
    costs = [estimate_tokens(turn.text) for turn in turns]
    surplus = sum(costs) - budget
    if surplus <= 0:
        return turns
    step = max(1, budget // 2)
    leave_out = -(-surplus // step) * step
    last = max(0, len(turns) - 2)
    start = 0
    while start < last and (leave_out > 0 or turns[start].role != "user"):
        leave_out -= costs[start]
        start += 1
    return turns[start:]
