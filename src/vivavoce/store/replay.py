"""A stored conversation as it is heard again: its turns, and captions in time. Pure.

Each function takes a record of `queries.find_conversation`. Times are seconds since the conversation began, as
in its recording.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import NamedTuple

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.errors import ConfigError
from vivavoce.store.export import heard_and_unheard, speaker, start_of
from vivavoce.store.queries import Record

PADDING_SECONDS = 0.3
"""before the first word, where it is not known how much turn detection put before it"""
_LINE = 120
"""characters of a tool's output that are shown"""


@dataclass(frozen=True)
class StoredToolCall:
    """A call of a tool: its name and arguments, as JSON text, and its output if there was one."""

    name: str
    arguments: str
    output: str | None


@dataclass(frozen=True)
class Turn:
    """What the caller said at once, and all that followed until they spoke again.

    Turn 0 is what was said before, such as a greeting. A turn that `is_spoken` is in the recording from `began`
    to `ended`; a written one came then. `answered` is when its answer was heard, and `first` when the first of
    it came. `notes` are system messages that the client sent after it.
    """

    answer: str
    answered: tuple[float, float] | None
    is_cut_off: bool
    calls: tuple[StoredToolCall, ...]
    notes: tuple[str, ...]
    number: int = 0
    item_id: str = ""
    text: str = ""
    is_spoken: bool = False
    began: float = 0.0
    ended: float = 0.0
    first: float | None = None
    wait: float | None = None
    """seconds from the end of what the caller said to `first`"""


def turns_of(record: Record) -> list[Turn]:
    """Return the turns of a conversation, the first of which is turn 0."""
    items = [item for item in record["items"] if item["status"] != "deleted"]
    spans, stages = spans_of(record), _stages(record)
    said = [
        place
        for place, item in enumerate(items)
        if item["role"] == "user" and (item["text"] or item["id"] in spans)
    ]
    turns = [_before_all(items[: said[0] if said else len(items)], spans)]
    for number, (start, end) in enumerate(pairwise([*said, len(items)]), 1):
        item, turn = items[start], _before_all(items[start + 1 : end], spans)
        came = start_of(item, record)
        began, ended = spans.get(item["id"], (came, came))
        answer = stages.get(item["id"], {})
        first = answer.get("first_audio") or answer.get("first_text")
        turns.append(
            replace(
                turn,
                number=number,
                item_id=item["id"],
                text=(item["text"] or "").strip(),
                is_spoken=item["id"] in spans,
                began=began,
                ended=ended,
                first=first[1] if first else None,
                # sound that was sent faster than in real time ends in the recording after its answer has begun
                wait=first[1] - (ended if first[1] >= ended else first[0]) if first else None,
            )
        )
    return turns


def _before_all(items: Sequence[Record], spans: "Spans") -> Turn:
    """Return turn 0 of these items."""
    answers = [one for one in items if one["role"] == "assistant" and (one["text"] or "").strip()]
    heard = [spans[one["id"]] for one in answers if one["id"] in spans]
    outputs = {one["call_id"]: one["output"] for one in items if one["type"] == "function_call_output"}
    return Turn(
        answer=" ".join(one["text"].strip() for one in answers),
        answered=(min(start for start, _ in heard), max(end for _, end in heard)) if heard else None,
        is_cut_off=bool(answers) and answers[-1]["status"] == "incomplete",
        calls=tuple(
            StoredToolCall(
                one["name"] or "", one["arguments"] or "", one["output"] or outputs.get(one["call_id"])
            )
            for one in items
            if one["type"] in ("function_call", "mcp_call")
        ),
        notes=tuple(one["text"] for one in items if one["role"] == "system" and one["text"]),
    )


Spans = dict[str, tuple[float, float]]
"""by the id of a spoken item: where it is in the recording"""


def spans_of(record: Record) -> Spans:
    """Return where spoken items are in the recording.

    Where the server was killed before it could say so, by the times of the turns.
    """
    recordings = record["recordings"]
    spoken = [one for recording in recordings for one in recording["spoken"] or ()]
    spans = {one["item_id"]: (one["start"] / OUTPUT_RATE, one["end"] / OUTPUT_RATE) for one in spoken}
    stages = _stages(record)
    for item in record["items"]:
        name = item["id"]
        if name in spans:
            continue
        if (speech := stages.get(name, {}).get("speech")) is not None:
            spans[name] = max(0.0, speech[0] - PADDING_SECONDS), speech[1]
        elif item["role"] == "assistant" and item["began"] is not None:
            spans[name] = item["began"], max(item["began"], item["ended"] or 0)
    return spans


def _stages(record: Record) -> dict[str, dict[str, tuple[float, float]]]:
    """Return when the stages of each turn began and ended, by the id of the turn and the name of the stage."""
    stages: dict[str, dict[str, tuple[float, float]]] = {}
    for row in record["timings"]:
        stages.setdefault(row["turn_id"], {})[row["stage"]] = row["began"], row["ended"]
    return stages


def part_of(record: Record, *, turn: int | None = None, item: str | None = None) -> tuple[float, float | None]:
    """Return from when to when a turn or an item is heard; without both, all of it: an end of None is the end.

    An item is named by its id, or the beginning of one that fits only once. Raises `ConfigError` if there is no
    such turn or item, or it was not spoken.
    """
    if item is not None:
        known = [one["id"] for one in record["items"]]
        found = [one for one in known if one.startswith(item)]
        if item not in known and len(found) != 1:
            write = f"write: viva history export {record['id']}"
            raise ConfigError(f"{record['id']} has no item {item!r}, or several begin so; {write}")
        span = spans_of(record).get(item if item in known else found[0])
        if span is None:
            raise ConfigError(f"{item!r} was not spoken; write: viva history show {record['id']}")
        return span
    if turn is None:
        return 0.0, None
    turns = turns_of(record)
    if not 0 <= turn < len(turns):
        raise ConfigError(f"{record['id']} has no turn {turn}; the last one is {len(turns) - 1}.")
    wanted = turns[turn]
    return wanted.began, wanted.answered[1] if wanted.answered else wanted.ended + PADDING_SECONDS


# captions


@dataclass(frozen=True)
class Caption:
    """A line of captions: who says it, and each word with its time. `turn` is a number where one begins.

    `unheard` is what an interruption cut off.
    """

    at: float
    turn: int | None
    speaker: str
    words: tuple[tuple[float, str], ...]
    unheard: str = ""


def captions_of(record: Record) -> list[Caption]:
    """Return all that was said, written and called, by the time at which it was heard.

    The words of an item are spread over its time. When somebody else begins, what is left of it comes at once.
    """
    numbers = {turn.item_id: turn.number for turn in turns_of(record)}
    lines = sorted(_lines(record, spans_of(record)), key=lambda line: line.began)
    captions = []
    for line, following in pairwise([*lines, _Line(inf, inf, "", "")]):
        words = tuple(_timed(line.text, line.began, min(line.ended, following.began)))
        captions.append(Caption(line.began, numbers.get(line.item_id), line.speaker, words, line.unheard))
    return captions


class _Line(NamedTuple):
    began: float
    ended: float
    speaker: str
    text: str
    unheard: str = ""
    item_id: str = "-"


def _lines(record: Record, spans: Spans) -> Iterator[_Line]:
    for item in record["items"]:
        came = start_of(item, record)
        began, ended = spans.get(item["id"], (came, came))
        match item["type"]:
            case "message" if item["text"] or item["id"] in spans:
                heard, unheard = heard_and_unheard(item)
                is_short = item["status"] == "incomplete" and not unheard
                text = f"{heard} …" if is_short else heard or (unheard and "…") or "(no transcript)"
                yield _Line(began, ended, speaker(item), text, unheard, item["id"])
            case "function_call" | "mcp_call":
                output = f" → {item['output']}" if item["output"] else ""
                yield _Line(came, came, "Tool", _short(f"{item['name']}({item['arguments']}){output}"))
            case "function_call_output":
                yield _Line(came, came, "Tool", _short(f"→ {item['output']}"))


def _timed(text: str, begin: float, end: float) -> Iterator[tuple[float, str]]:
    passed = 0
    for word in text.split():
        yield begin + (end - begin) * passed / len(text), word
        passed += len(word) + 1


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"
