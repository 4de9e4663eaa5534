"""Prints what became different in conversations that were held again, for people or for programs."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vivavoce.store.comparison import Comparison, Summary, TurnComparison
from vivavoce.store.export import to_json
from vivavoce.store.replay import StoredToolCall
from vivavoce.text.comparison import word_diff

_STYLES = {"same": "", "removed": "red strike", "added": "green"}
_MARKS = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
"""where there are no colours: as `wdiff` writes it"""


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a table with the words of each turn, then and today, and the seconds to the first sound."""
    table = Table("turn", "", "then → today", "first sound", title=comparison.conversation_id, expand=True)
    for turn in comparison.turns:
        rows = [*_rows(turn, console)]
        for number, (who, what) in enumerate(rows):
            is_last = number == len(rows) - 1
            name, wait = ("" if number else f"{turn.number}"), (_change(turn.wait_then, turn.wait_today, "s"))
            table.add_row(name, who, what, wait if is_last else "", end_section=is_last)
    console.print(table)
    for note in comparison.notes:
        console.print(note, markup=False)
    for call in comparison.unknown_calls:
        console.print(f"Not done, as it was not called so then: {_call(call)}", markup=False)
    for problem in comparison.problems:
        console.print(f"Problem: {problem}", markup=False)


def _rows(turn: TurnComparison, console: Console) -> Iterator[tuple[str, Text | str]]:
    yield "Caller", _diff(turn.said_then, turn.said_today, console) if turn.is_spoken else turn.said_then
    then, today = ("\n".join(map(_call, calls)) for calls in (turn.calls_then, turn.calls_today))
    if then or today:
        yield "Tool", _diff(then, today, console)
    yield "Assistant", _diff(turn.answer_then, turn.answer_today or "(no answer)" * turn.is_missing, console)


def _diff(before: str, after: str, console: Console) -> Text:
    text = Text()
    for part in word_diff(before, after):
        if console.is_terminal:
            text.append(part.text, _STYLES[part.kind])
        else:
            left, right = _MARKS[part.kind]
            text.append(f"{left}{part.text.rstrip()}{right}{part.text[len(part.text.rstrip()) :]}")
    return text


def _call(call: StoredToolCall) -> str:
    return f"{call.name}({call.arguments})"


def print_summary(summary: Summary, console: Console) -> None:
    """Print the sums over all turns."""
    one = summary
    lines = {
        "turns": f"{one.turns}, in {one.conversations} conversation{'s' * (one.conversations > 1)}",
        "transcripts": f"{one.changed_transcripts} of {one.transcripts} differ, {_percent(one)} of the words",
        "answers": f"{one.changed_answers} of {one.turns} differ; {one.answers_then} → {one.answers_today}",
        "first sound": f"p50 {_change(one.waits_then[0], one.waits_today[0], 's')}, "
        f"p90 {_change(one.waits_then[1], one.waits_today[1], 's')}",
        "cost": _change(one.cost_then, one.cost_today, "USD", digits=4) or "not known",
    }
    for name, value in lines.items():
        console.print(f"{name:<12} {value}", markup=False)


def _percent(summary: Summary) -> str:
    rate = summary.word_error_rate
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _change(then: float | None, today: float | None, unit: str, digits: int = 2) -> str:
    if then is None and today is None:
        return ""
    numbers = ["-" if value is None else f"{value:.{digits}f}" for value in (then, today)]
    return f"{numbers[0]} → {numbers[1]} {unit}"


def as_json(comparisons: Sequence[Comparison], summary: Summary) -> str:
    """Return all of it, for programs."""
    found: Mapping[str, object] = {
        "summary": {**msgspec.to_builtins(summary), "word_error_rate": summary.word_error_rate},
        "conversations": comparisons,
    }
    return to_json(found)
