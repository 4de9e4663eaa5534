"""A stored conversation that is held again today: when the caller speaks, and what became different. Pure.

Times are seconds since each conversation began.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import ceil
from typing import Literal

import msgspec

from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from vivavoce.store.conversation_rows import ConversationRows, PricedModel, Put, Row
from vivavoce.store.queries import Record
from vivavoce.store.replay import StoredToolCall, Turn
from vivavoce.store.tables import KEYS
from vivavoce.text.comparison import word_diff, word_errors

PAUSE_SECONDS = 2.0
"""the longest pause after an answer: the caller's own was longer if they thought for longer"""
_ROUNDED = 0.002
"""seconds by which a time of a written turn may be too early: it is kept in milliseconds"""


# when the caller speaks


@dataclass(frozen=True)
class Step:
    """When the caller says a turn again: so many seconds after something.

    `answer`: after the end of the answer to the turn before. `interruption`: after its first sound, while it
    goes on. `turn`: after the end of the turn before, to which there was no answer.
    """

    turn: Turn
    after: Literal["answer", "interruption", "turn"]
    seconds: float


def plan(turns: Sequence[Turn]) -> list[Step]:
    """Return when each turn after turn 0 is said again, as the caller said it then."""
    return [_step(before, turn) for before, turn in pairwise(turns)]


def _step(before: Turn, turn: Turn) -> Step:
    if before.answered and turn.began < before.answered[1]:
        return Step(turn, "interruption", max(0.0, turn.began - before.answered[0]))
    if before.answered or before.answer:
        end = before.answered[1] if before.answered else before.first or before.ended
        return Step(turn, "answer", min(PAUSE_SECONDS, max(0.0, turn.began - end)))
    return Step(turn, "turn", min(PAUSE_SECONDS, max(0.0, turn.began - before.ended)))


# what was said then


class StoredOutputs:
    """The outputs of a conversation's tool calls, to be returned for the same calls again, in order."""

    def __init__(self, calls: Iterable[StoredToolCall]) -> None:
        self.unknown: list[StoredToolCall] = []
        """calls that were not made then"""
        self._outputs: dict[tuple[str, str], list[str]] = {}
        for call in calls:
            if call.output is not None:
                self._outputs.setdefault(_key(call.name, call.arguments), []).append(call.output)

    def output(self, name: str, arguments: str) -> str | None:
        """Return the output of a call; of one that was made more often, the next, and the last ever after."""
        outputs = self._outputs.get(_key(name, arguments))
        if outputs is None:
            self.unknown.append(StoredToolCall(name, arguments, None))
            return None
        return outputs.pop(0) if len(outputs) > 1 else outputs[0]


def _key(name: str, arguments: str) -> tuple[str, str]:
    """Return what is the same for the same call, however its JSON is written."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except msgspec.MsgspecError:
        return name, arguments
    return name, msgspec.json.encode(value, order="sorted").decode()


class RecordInMemory:
    """Makes a record of a conversation from its events, as the recorder does, without a database."""

    def __init__(self, models: Mapping[str, PricedModel]) -> None:
        self._rows: dict[str, dict[tuple[object, ...], Row]] = {}
        put: Put = lambda table, row, new=False: self._put(table, row)  # noqa: E731 (that is its contract)
        self._on_event = ConversationRows(
            Caller("replay"), put, journal_id="", engine="", models=models, events=False, redact=None
        )

    def on_event(self, observed: ObservedEvent) -> None:
        """Process an event, of the client or the server."""
        self._on_event(observed)

    def end(self) -> Record:
        """Return the record of a conversation that is over."""
        self._on_event.on_end("caller")
        parts = {name: list(self._rows.get(name, {}).values()) for name in ("items", "usage", "timings")}
        found = next(iter(self._rows.get("conversations", {}).values()), {})
        started = datetime.fromisoformat(str(found.get("started") or "1970-01-01T00:00:00+00:00"))
        for item in parts["items"]:
            item["created"] = datetime.fromisoformat(str(item["created"]))
        parts["items"].sort(key=lambda item: float(str(item["position"])))
        return {**found, "started": started, **parts, "recordings": [], "gaps": []}

    def _put(self, table: str, row: Row) -> bool:
        rows = self._rows.setdefault(table, {})
        rows.setdefault(tuple(row[name] for name in KEYS[table]), {}).update(row)
        return True


# what became different


@dataclass(frozen=True)
class TurnComparison:
    """A turn then, and today. `errors` of the transcript's `words` are others; None without a transcript.

    `wait` is from the end of what the caller said to the first sound of the answer, in seconds.
    """

    number: int
    is_spoken: bool
    said_then: str
    said_today: str
    errors: int | None
    words: int | None
    answer_then: str
    answer_today: str
    wait_then: float | None
    wait_today: float | None
    calls_then: Sequence[StoredToolCall]
    calls_today: Sequence[StoredToolCall]

    @property
    def is_answer_changed(self) -> bool:
        return any(part.kind != "same" for part in word_diff(self.answer_then, self.answer_today))

    @property
    def is_missing(self) -> bool:
        """Whether there was an answer then, and is none today."""
        return bool(self.answer_then) and not self.answer_today


@dataclass(frozen=True)
class Said:
    """When a turn was said again, and whether it was written."""

    began: float
    ended: float
    is_written: bool


def compare(then: Sequence[Turn], today: Sequence[Turn], said: Mapping[int, Said]) -> list[TurnComparison]:
    """Compare the turns that were said again: `said`, by the number of the turn then.

    What today's turn detection divides into several turns, or adds because of a noise, belongs to the turn then
    in whose time it ended.
    """
    mine: dict[int, list[Turn]] = {number: [] for number in said}
    for turn in today:
        begun = [number for number, one in said.items() if one.began <= turn.ended + _ROUNDED]
        if turn.number and begun:
            mine[begun[-1]].append(turn)
    return [_compare(turn, mine[turn.number], said[turn.number]) for turn in then if turn.number in said]


def _compare(then: Turn, today: Sequence[Turn], said: Said) -> TurnComparison:
    said_today = " ".join(turn.text for turn in today if turn.text)
    is_heard = bool(then.text) and not said.is_written
    errors, words = word_errors(then.text, said_today) if is_heard else (None, None)
    firsts = [turn.first for turn in today if turn.first is not None]
    return TurnComparison(
        number=then.number,
        is_spoken=not said.is_written,
        said_then=then.text,
        said_today=said_today,
        errors=errors,
        words=words,
        answer_then=then.answer,
        answer_today=" ".join(turn.answer for turn in today if turn.answer),
        wait_then=None if then.is_spoken and said.is_written else then.wait,  # it waited for turn detection
        wait_today=min(firsts) - said.ended if firsts else None,
        calls_then=then.calls,
        calls_today=[call for turn in today for call in turn.calls],
    )


@dataclass(frozen=True)
class Comparison:
    """A conversation then, and today. `cost` is None if it is not known; `problems` are errors of today."""

    conversation_id: str
    notes: Sequence[str]
    turns: Sequence[TurnComparison]
    cost_then: float | None
    cost_today: float | None
    unknown_calls: Sequence[StoredToolCall]
    problems: Sequence[str]


@dataclass(frozen=True)
class Summary:
    """Sums over conversations. `waits` are percentiles in seconds, 50 and 90, by the nearest rank."""

    conversations: int
    turns: int
    answers_then: int
    answers_today: int
    missing_answers: int
    changed_answers: int
    transcripts: int
    changed_transcripts: int
    errors: int
    words: int
    waits_then: tuple[float | None, float | None]
    waits_today: tuple[float | None, float | None]
    cost_then: float | None
    cost_today: float | None
    problems: int

    @property
    def word_error_rate(self) -> float | None:
        """The share of words in the transcripts that are others today."""
        return self.errors / self.words if self.words else None


def summarize(comparisons: Sequence[Comparison]) -> Summary:
    """Sum up. Waits are those of turns that were answered both times."""
    turns = [turn for comparison in comparisons for turn in comparison.turns]
    transcribed = [(turn.errors, turn.words) for turn in turns if turn.errors is not None]
    both = [
        (turn.wait_then, turn.wait_today)
        for turn in turns
        if turn.wait_then is not None and turn.wait_today is not None
    ]
    waits = [[then for then, _ in both], [today for _, today in both]]
    p50_90 = [(percentile(values, 50), percentile(values, 90)) for values in waits]
    return Summary(
        conversations=len(comparisons),
        turns=len(turns),
        answers_then=sum(bool(turn.answer_then) for turn in turns),
        answers_today=sum(bool(turn.answer_today) for turn in turns),
        missing_answers=sum(turn.is_missing for turn in turns),
        changed_answers=sum(turn.is_answer_changed for turn in turns),
        transcripts=len(transcribed),
        changed_transcripts=sum(errors > 0 for errors, _ in transcribed),
        errors=sum(errors for errors, _ in transcribed),
        words=sum(words or 0 for _, words in transcribed),
        waits_then=p50_90[0],
        waits_today=p50_90[1],
        cost_then=_sum([one.cost_then for one in comparisons]),
        cost_today=_sum([one.cost_today for one in comparisons]),
        problems=sum(len(one.problems) for one in comparisons),
    )


def cost_of(record: Record) -> float | None:
    """Return what a conversation cost; None if a part of it is not known."""
    return _sum([row["cost"] for row in record["usage"]])


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that is not exceeded by that share of the values; None without values."""
    return sorted(values)[ceil(percent / 100 * len(values)) - 1] if values else None
