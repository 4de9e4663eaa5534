"""Prints what was measured, for people."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from vivavoce_bench.measures import STAGES, Spread, Turn, slope
from vivavoce_bench.transport import BARE, Way
from vivavoce_bench.trials import BargeIn, HearingReport, Level

__all__ = ["show_barge_in", "show_detour", "show_hearing", "show_latency", "show_load", "show_ways"]

LATE_SECONDS = 0.1
"""so late may a frame be sent before the measurement says more about the machine than about the server"""


def show_latency(levels: Sequence[Level], console: Console, *, way: str = "") -> None:
    """Print how long callers wait, and where the time goes."""
    table = Table(
        *("at once", "turns", "p50 ms", "p90 ms", "p95 ms", "ratio", "spoken over", "closed early", "failed"),
        title=" ".join(filter(None, ("True end of speech to first audible sample", way))),
    )
    first = Spread(_latencies(levels[0].turns)).at(50)
    for level in levels:
        spread = Spread(_latencies(level.turns))
        middle = spread.at(50)
        table.add_row(
            str(level.conversations),
            str(len(level.turns)),
            *(_ms(spread.at(percent)) for percent in (50, 90, 95)),
            f"{middle / first:.2f}" if middle and first else "-",
            _share(turn.spoken_over for turn in level.turns),
            _share(turn.closed_early for turn in level.turns),
            _share(bool(turn.failed) for turn in level.turns),
        )
    console.print(table)
    table = Table("at once", *STAGES, title="When each stage came, after the end of speech (ms, p50 / p90)")
    for level in levels:
        table.add_row(str(level.conversations), *(_stage(level.turns, stage) for stage in STAGES))
    console.print(table)
    if late := [level for level in levels if level.lag > LATE_SECONDS]:
        counts = ", ".join(str(level.conversations) for level in late)
        console.print(
            f"Frames were sent up to {_ms(max(level.lag for level in late))} ms late with {counts} at once: ",
            end="",
        )
        console.print("this machine was too busy to measure that.")
    for problem in sorted({turn.failed for level in levels for turn in level.turns if turn.failed}):
        console.print(f"Some turns had no answer: {problem}")


def show_detour(near: Sequence[Level], far: Sequence[Level], console: Console) -> None:
    """Print how much later answers are heard on one way than on another."""
    for one, other in zip(near, far, strict=True):
        ways = [Spread(_latencies(level.turns)).at(50) for level in (one, other)]
        if ways[0] is not None and ways[1] is not None:
            later = _ms(ways[1] - ways[0])
            console.print(f"With {one.conversations} at once WebRTC is {later} ms later (p50).")


def show_load(levels: Sequence[Level], console: Console) -> None:
    """Print what the conversations cost the server."""
    table = Table(
        *("at once", "CPU s per session-minute", "server MB", "bench CPU s/s", "latest frame ms"),
        title="What it costs",
    )
    for level in levels:
        table.add_row(
            str(level.conversations),
            _number(level.cpu),
            _number(level.megabytes, 0),
            _number(level.client_cpu),
            _ms(level.lag),
        )
    console.print(table)
    points = [(float(one.conversations), one.megabytes) for one in levels if one.megabytes is not None]
    if (growth := slope(points)) is not None:
        console.print(f"Each further conversation takes {growth:.2f} MB.")


def show_barge_in(found: Sequence[BargeIn], console: Console) -> None:
    """Print whether and how soon answers gave way."""
    table = Table(
        *("over the answer", "times", "stopped it", "noticed p50", "p95", "quiet p50", "p95 ms"),
        title="Interrupting: after the true onset of speech",
    )
    for name, backchannel in (("a question", False), ("uh-huh", True)):
        outcomes = [one.outcome for one in found if one.backchannel is backchannel and one.outcome]
        noticed = Spread([one.noticed for one in outcomes if one.noticed is not None])
        quiet = Spread([one.quiet for one in outcomes if one.quiet is not None])
        stopped = _share(one.noticed is not None for one in outcomes)
        spreads = (_ms(spread.at(percent)) for spread in (noticed, quiet) for percent in (50, 95))
        table.add_row(name, str(len(outcomes)), stopped, *spreads)
    console.print(table)
    if missing := sum(one.outcome is None for one in found):
        console.print(f"{missing} times there was no answer to speak over.")


def show_hearing(report: HearingReport, console: Console) -> None:
    """Print word errors by kind of recording, and what was made of noise."""
    table = Table("kind", "clips", "words", "errors in conversation", "transcriber alone", title="Word errors")
    kinds = sorted({one.category for one in report.heard})
    for kind in [*kinds, "all"]:
        ours = [one for one in report.heard if kind in (one.category, "all")]
        words = sum(one.errors[1] for one in ours)
        whole = sum(one.errors[0] for one in ours)
        alone = sum(one.errors_alone[0] for one in ours) if all(one.alone is not None for one in ours) else None
        table.add_row(kind, str(len(ours)), str(words), _rate(whole, words), _rate(alone, words))
    console.print(table)
    console.print(
        f"Noise and silence: {len(report.answered)} of {len(report.silent)} were answered"
        f"{_named(report.answered)}, {len(report.invented)} had words put to them{_named(report.invented)}."
    )


def show_ways(ways: Sequence[Way], hearing: float, console: Console) -> None:
    """Print what carrying the sound costs, beside a bare server, and what hearing it costs."""
    table = Table(
        *("way", "at once", "CPU ms / s", "beside bare", "ratio", "latest frame ms"),
        title="What one second of one caller's sound costs the server",
    )
    bare = {way.conversations: way.cpu_ms for way in ways if way.name == BARE}
    for way in ways:
        spent, floor = way.cpu_ms, bare.get(way.conversations)
        compared = (f"{spent - floor:+.2f}", f"{spent / floor:.2f}") if spent and floor else ("-", "-")
        table.add_row(way.name, str(way.conversations), _number(spent), *compared, _ms(way.lag))
    console.print(table)
    console.print(f"Resampling and voice activity detection alone take {hearing:.2f} ms of CPU for it.")


def _latencies(turns: Sequence[Turn]) -> list[float]:
    return [turn.latency for turn in turns if turn.latency is not None and not turn.spoken_over]


def _stage(turns: Sequence[Turn], stage: str) -> str:
    spread = Spread([turn.stages[stage] for turn in turns if stage in turn.stages and not turn.spoken_over])
    return f"{_ms(spread.at(50))} / {_ms(spread.at(90))}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"


def _number(value: float | None, digits: int = 2) -> str:
    return "not known" if value is None else f"{value:.{digits}f}"


def _share(cases: Iterable[bool]) -> str:
    flags = list(cases)
    return f"{sum(flags)}/{len(flags)}"


def _rate(errors: int | None, words: int) -> str:
    return "-" if errors is None or not words else f"{100 * errors / words:.1f} %"


def _named(names: Sequence[str]) -> str:
    return f" ({'; '.join(names)})" if names else ""
