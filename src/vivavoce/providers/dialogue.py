"""What a chat model reads of a conversation: who said what, in turns, and no more of it than fits."""

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

__all__ = ["Said", "dialogue", "fit", "last_words", "outcome", "tokens", "words"]

_OUTPUT_CHARS = 4000


class Said(NamedTuple):
    """One turn: somebody's words."""

    role: Literal["system", "user", "assistant"]
    text: str


def words(content: Sequence[ContentPart]) -> str:
    """Return the text of a message: what was written, or what was heard where it was spoken."""
    return " ".join(text.strip() for part in content if (text := _words(part)).strip())


def _words(part: ContentPart) -> str:
    match part:
        case InputText(text=text) | OutputText(text=text):
            return text
        case InputAudio(transcript=str(text)) | OutputAudio(transcript=str(text)):
            return text
    return ""


def dialogue(items: Sequence[Item]) -> list[Said]:
    """Return what was said in turns, for a model that knows nothing of tools.

    What a tool answered becomes a remark of the user's, beside the question that it answers. Neighbours of one
    role are one turn, because small models lose their way when two users speak in a row.
    """
    turns: list[Said] = []
    for said in _remarks(items):
        if turns and turns[-1].role == said.role:
            turns[-1] = Said(said.role, f"{turns[-1].text}\n{said.text}")
        else:
            turns.append(said)
    return turns


def _remarks(items: Sequence[Item]) -> Iterator[Said]:
    called: dict[object, str] = {}
    for item in items:
        match item:
            case Message(role=role, content=content) if text := words(content):
                yield Said(role, text)
            case FunctionCall(name=name, call_id=call_id):
                called[call_id] = name
            case FunctionCallOutput(call_id=call_id, output=output):
                yield _result(called.get(call_id, "the tool"), output)
            case McpCall(name=name):
                yield _result(name, outcome(item))


def outcome(call: McpCall) -> str:
    """Return what came of an MCP server's tool, for a model: what it said, or why it said nothing."""
    if isinstance(call.output, str):
        return call.output
    return f"It has failed: {call.error.message}" if call.error else "There is no answer yet."


def _result(tool: str, output: str) -> Said:
    return Said("user", f"(From {tool}: {_plainly(output)}. Tell the caller.)")


def _plainly(output: str) -> str:
    try:
        said = _flat(msgspec.json.decode(output))
    except msgspec.DecodeError:
        said = output
    return " ".join(said.split())[:_OUTPUT_CHARS].rstrip(".") or "done"


def _flat(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{name}: {_flat(inner)}" for name, inner in value.items())
        case list():
            return "; ".join(map(_flat, value))
        case True | False | None:
            return {True: "yes", False: "no", None: "unknown"}[value]
    return str(value)


def last_words(turns: Sequence[Said]) -> str:
    """Return what the user said last, if anything."""
    return next((said.text for said in reversed(turns) if said.role == "user"), "")


def tokens(text: str) -> int:
    """Guess, rather too high, how many tokens a model makes of a text: three bytes each, and a turn's frame."""
    return len(text.encode()) // 3 + 6


def fit(turns: Sequence[Said], budget: int) -> Sequence[Said]:
    """Leave out the oldest turns where there are more than `budget` tokens; the last two always stay.

    Half a budget goes at once, counted from the beginning: the next turns then begin at the same place, and
    what the model has already read of them is still good. What is left begins with a user's turn.
    """
    costs = [tokens(said.text) for said in turns]
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
