"""Prints the results of measurements."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from vivavoce_bench.measures import STAGES, MeasuredTurn, percentile, slope
from vivavoce_bench.transport import BARE, TransportCost
from vivavoce_bench.trials import BargeIn, HearingReport, Level

LATE_SECONDS = 0.1
"""a frame that is sent later than this says more about the machine than about the server"""


def show_latency(levels: Sequence[Level], console: Console, *, way: str = "") -> None:
    """Print the response latency, and its components."""
    table = Table(
        *("at once", "turns", "p50 ms", "p90 ms", "p95 ms", "ratio", "spoken over", "closed early", "failed"),
        title=" ".join(filter(None, ("True end of speech to first audible sample", way))),
    )
    first = percentile(_latencies(levels[0].turns), 50)
    for level in levels:
        latencies = _latencies(level.turns)
        middle = percentile(latencies, 50)
        table.add_row(
            str(level.conversations),
            str(len(level.turns)),
            *(_ms(percentile(latencies, percent)) for percent in (50, 90, 95)),
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
        latest = _ms(max(level.lag for level in late))
        console.print(f"Frames were sent up to {latest} ms late with {counts} at once: ", end="")
        console.print("this machine was too busy to measure that.")
    for problem in sorted({turn.failed for level in levels for turn in level.turns if turn.failed}):
        console.print(f"Some turns had no answer: {problem}")


def show_difference(websocket: Sequence[Level], webrtc: Sequence[Level], console: Console) -> None:
    """Print the additional latency of WebRTC."""
    for one, other in zip(websocket, webrtc, strict=True):
        middle, later = (percentile(_latencies(level.turns), 50) for level in (one, other))
        if middle is not None and later is not None:
            difference = _ms(later - middle)
            console.print(f"With {one.conversations} at once WebRTC is {difference} ms later (p50).")


def show_load(levels: Sequence[Level], console: Console) -> None:
    """Print what the conversations cost the server."""
    table = Table(
        *("at once", "CPU s per session-minute", "server MB", "bench CPU s/s", "latest frame ms"),
        title="What it costs",
    )
    for level in levels:
        figures = _number(level.cpu), _number(level.megabytes, 0), _number(level.client_cpu), _ms(level.lag)
        table.add_row(str(level.conversations), *figures)
    console.print(table)
    points = [(float(one.conversations), one.megabytes) for one in levels if one.megabytes is not None]
    if (growth := slope(points)) is not None:
        console.print(f"Each further conversation takes {growth:.2f} MB.")


def show_barge_in(found: Sequence[BargeIn], console: Console) -> None:
    """Print whether and how soon answers were interrupted."""
    table = Table(
        *("over the answer", "times", "stopped it", "noticed p50", "p95", "quiet p50", "p95 ms"),
        title="Interrupting: after the true onset of speech",
    )
    for name, backchannel in (("a question", False), ("uh-huh", True)):
        outcomes = [one.outcome for one in found if one.backchannel is backchannel and one.outcome]
        noticed = [one.noticed for one in outcomes if one.noticed is not None]
        quiet = [one.quiet for one in outcomes if one.quiet is not None]
        figures = (_ms(percentile(values, percent)) for values in (noticed, quiet) for percent in (50, 95))
        table.add_row(name, str(len(outcomes)), f"{len(noticed)}/{len(outcomes)}", *figures)
    console.print(table)
    if missing := sum(one.outcome is None for one in found):
        console.print(f"{missing} times there was no answer to speak over.")


def show_hearing(report: HearingReport, console: Console) -> None:
    """Print word errors by kind of recording, and what noise led to."""
    table = Table("kind", "clips", "words", "errors in conversation", "transcriber alone", title="Word errors")
    for kind in [*sorted({one.category for one in report.transcribed}), "all"]:
        some = [one for one in report.transcribed if kind in (one.category, "all")]
        words = sum(one.errors[1] for one in some)
        whole = sum(one.errors[0] for one in some)
        alone = sum(one.errors_alone[0] for one in some) if all(one.alone is not None for one in some) else None
        table.add_row(kind, str(len(some)), str(words), _rate(whole, words), _rate(alone, words))
    console.print(table)
    console.print(
        f"Noise and silence: {len(report.answered)} of {len(report.silent)} were answered"
        f"{_named(report.answered)}, {len(report.invented)} had words put to them{_named(report.invented)}."
    )


def show_transport(costs: Sequence[TransportCost], input_ms: float, console: Console) -> None:
    """Print what transport costs, beside a bare server, and what voice activity detection costs."""
    table = Table(
        *("server", "at once", "CPU ms / s", "beside bare", "ratio", "latest frame ms"),
        title="What one second of one caller's audio costs the server",
    )
    bare = {cost.conversations: cost.cpu_ms for cost in costs if cost.name == BARE}
    for cost in costs:
        spent, floor = cost.cpu_ms, bare.get(cost.conversations)
        compared = (f"{spent - floor:+.2f}", f"{spent / floor:.2f}") if spent and floor else ("-", "-")
        table.add_row(cost.name, str(cost.conversations), _number(spent), *compared, _ms(cost.lag))
    console.print(table)
    console.print(f"Resampling and voice activity detection alone take {input_ms:.2f} ms of CPU for it.")


def _latencies(turns: Sequence[MeasuredTurn]) -> list[float]:
    return [turn.latency for turn in turns if turn.latency is not None and not turn.spoken_over]


def _stage(turns: Sequence[MeasuredTurn], stage: str) -> str:
    times = [turn.stages[stage] for turn in turns if stage in turn.stages and not turn.spoken_over]
    return f"{_ms(percentile(times, 50))} / {_ms(percentile(times, 90))}"


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
