"""Prints the results of measurements."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from vivavoce_bench.history import Measured
from vivavoce_bench.long import BEFORE, LongReport, ratios
from vivavoce_bench.measures import STAGES, MeasuredTurn, percentile, slope
from vivavoce_bench.tools import Tried
from vivavoce_bench.transport import BARE, TransportCost
from vivavoce_bench.trials import BargeIn, HearingReport, Level
from vivavoce_bench.turns import Closed, Over, TurnReport

LATE_SECONDS = 0.1
"""a frame that is sent later than this says more about the machine than about the server"""
NO_TOOL = "no tool"


def show_latency(levels: Sequence[Level], console: Console, *, way: str = "") -> None:
    """Print the response latency, and its components."""
    first = percentile(_latencies_ms(levels[0].turns), 50)
    rows, stages = [], []
    for level in levels:
        turns, latencies = level.turns, _latencies_ms(level.turns)
        middle = percentile(latencies, 50)
        ratio = _ratio(middle, first)
        early, failed = [turn.closed_early for turn in turns], [bool(turn.failed) for turn in turns]
        shares = map(_share, ([turn.spoken_over for turn in turns], early, failed))
        rows.append((level.conversations, len(turns), *_percentiles(latencies, 50, 90, 95), ratio, *shares))
        stages.append((level.conversations, *(_stage(turns, stage) for stage in STAGES)))
    columns = "at once", "turns", "p50 ms", "p90 ms", "p95 ms", "ratio", "spoken over", "closed early", "failed"
    _table(console, f"True end of speech to first audible sample {way}".rstrip(), columns, rows)
    title = "When each stage came, after the end of speech (ms, p50 / p90)"
    _table(console, title, ("at once", *STAGES), stages)
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
        middle, later = (percentile(_latencies_ms(level.turns), 50) for level in (one, other))
        if middle is not None and later is not None:
            console.print(f"With {one.conversations} at once WebRTC is {later - middle:.0f} ms later (p50).")


def show_load(levels: Sequence[Level], console: Console) -> None:
    """Print what the conversations cost the server."""
    columns = "at once", "CPU s per session-minute", "server MB", "bench CPU s/s", "latest frame ms"
    rows = [
        (one.conversations, _number(one.cpu), _number(one.megabytes, 0), _number(one.client_cpu), _ms(one.lag))
        for one in levels
    ]
    _table(console, "What it costs", columns, rows)
    points = [(float(one.conversations), one.megabytes) for one in levels if one.megabytes is not None]
    if (growth := slope(points)) is not None:
        console.print(f"Each further conversation takes {growth:.2f} MB.")


def show_store(found: Sequence[Mapping[str, Level]], console: Console) -> None:
    """Print what storing conversations adds, beside the first way of storing, which is none."""
    rows = []
    for count in dict.fromkeys(level.conversations for one in found for level in one.values()):
        times = [one for one in found if all(level.conversations == count for level in one.values())]
        first = next(iter(times[0]))
        for name in times[0]:
            pairs = [(one[name].cpu, one[first].cpu) for one in times]
            ratios = sorted(cpu / floor for cpu, floor in pairs if cpu and floor)
            spread = f"{percentile(ratios, 50):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if ratios else "-"
            cpu = percentile([cpu for cpu, _ in pairs if cpu is not None], 50)
            waits = _latencies_ms([turn for one in times for turn in one[name].turns])
            floors = _latencies_ms([turn for one in times for turn in one[first].turns])
            shares = (_ratio(percentile(waits, p), percentile(floors, p)) for p in (50, 95))
            rows.append((name, count, *_percentiles(waits, 50, 95), *shares, _number(cpu), spread))
    columns = (
        "stored",
        "at once",
        "p50 ms",
        "p95 ms",
        "p50 ratio",
        "p95 ratio",
        "CPU s per session-minute",
        "ratio",
    )
    _table(console, "What it costs to store conversations", columns, rows)


def show_barge_in(found: Sequence[BargeIn], console: Console) -> None:
    """Print whether and how soon answers were interrupted."""
    rows = []
    for name, backchannel in (("a question", False), ("uh-huh", True)):
        outcomes = [one.outcome for one in found if one.backchannel is backchannel and one.outcome]
        noticed = [one.noticed * 1000 for one in outcomes if one.noticed is not None]
        quiet = [one.quiet * 1000 for one in outcomes if one.quiet is not None]
        figures = *_percentiles(noticed, 50, 95), *_percentiles(quiet, 50, 95)
        rows.append((name, len(outcomes), f"{len(noticed)}/{len(outcomes)}", *figures))
    columns = "over the answer", "times", "stopped it", "noticed p50", "p95", "quiet p50", "p95 ms"
    _table(console, "Interrupting: after the true onset of speech", columns, rows)
    if missing := sum(one.outcome is None for one in found):
        console.print(f"{missing} times there was no answer to speak over.")


def show_hearing(report: HearingReport, console: Console) -> None:
    """Print word errors by kind of recording, and what noise led to."""
    rows = []
    for kind in [*sorted({one.category for one in report.transcribed}), "all"]:
        some = [one for one in report.transcribed if kind in (one.category, "all")]
        words = sum(one.errors()[1] for one in some)
        whole = sum(one.errors()[0] for one in some)
        complete = all(one.alone is not None for one in some)
        alone = sum(one.errors(alone=True)[0] for one in some) if complete else None
        rows.append((kind, len(some), words, _rate(whole, words), _rate(alone, words)))
    columns = "kind", "clips", "words", "errors in conversation", "transcriber alone"
    _table(console, "Word errors", columns, rows)
    console.print(
        f"Noise and silence: {len(report.answered)} of {len(report.silent)} were answered"
        f"{_named(report.answered)}, {len(report.invented)} had words put to them{_named(report.invented)}."
    )


def show_turns(report: TurnReport, console: Console) -> None:
    """Print how soon each rule closed turns, and what interrupted an answer."""
    rules = []
    for rule, turns in report.turns.items():
        never = sum(turn.wait_ms is None for turn in turns)
        rules.append((rule, _early(turns), _early(_of(turns, "pause")), never, *_waits(turns)))
    waits = "wait p50 ms", "p95 ms"
    _table(console, "Turns closed", ("rule", "too early", "pause clips", "never", *waits), rules)
    medium = report.turns["medium"]
    kinds = {kind: _of(medium, kind) for kind in sorted({turn.category for turn in medium})}
    rows = [(kind, len(turns), _early(turns), *_waits(turns)) for kind, turns in kinds.items()]
    _table(console, "By kind (medium)", ("category", "clips", "too early", *waits), rows)
    overs: dict[str, list[Over]] = {"utterance": [], "backchannel": [], "noise": []}
    for over in report.over:
        overs.get(over.category, overs["utterance"]).append(over)
    columns = "over the answer", "clips", "held it", "stopped it", "p50 ms", "after hold", "p95 ms"
    _table(console, "", columns, [(kind, *_overs(some)) for kind, some in overs.items()])


def show_transport(costs: Sequence[TransportCost], input_ms: float, console: Console) -> None:
    """Print what transport costs, beside a bare server, and what voice activity detection costs."""
    bare = {cost.conversations: cost.cpu_ms for cost in costs if cost.name == BARE}
    rows = []
    for cost in costs:
        spent, floor = cost.cpu_ms, bare.get(cost.conversations)
        compared = (f"{spent - floor:+.2f}", f"{spent / floor:.2f}") if spent and floor else ("-", "-")
        rows.append((cost.name, cost.conversations, _number(spent), *compared, _ms(cost.lag)))
    columns = "server", "at once", "CPU ms / s", "beside bare", "ratio", "latest frame ms"
    _table(console, "What one second of one caller's audio costs the server", columns, rows)
    console.print(f"Resampling and voice activity detection alone take {input_ms:.2f} ms of CPU for it.")


def show_long(found: LongReport, console: Console) -> None:
    """Print the wait of each turn, how much they differ, and what a client waits that returns."""
    turns = found.turns
    rows = []
    for at in range(0, len(turns), BEFORE):
        waits = [turn.seconds for turn in turns[at : at + BEFORE]]
        tokens = max(turn.tokens for turn in turns[at : at + BEFORE])
        rows.append((at + 1, " ".join(map(_ms, waits)), _ms(max(waits)), tokens))
    columns = "from turn", "ms to the first word, turn by turn", "longest", "most tokens read"
    _table(console, "A conversation that lasts", columns, rows)
    for what, values in (
        ("wait", [turn.seconds for turn in turns]),
        ("tokens read while the caller waits", [float(turn.tokens) for turn in turns]),
    ):
        if compared := ratios(values):
            many = sum(one > 1.5 for one in compared)
            console.print(
                f"The longest {what} is {max(compared):.2f} times the median of the {BEFORE} turns before it; "
                f"{many} of {len(compared)} are more than 1.5 times that."
            )
    console.print(f"{sum(bool(turn.failed) for turn in turns)} of {len(turns)} turns failed.")
    usual = percentile([turn.seconds for turn in turns[-BEFORE:]], 50) or 0
    returned = []
    for name, turn in found.returns.items():
        ratio = f"{turn.seconds / usual:.2f}" if usual else "-"
        returned.append((name, _ms(turn.seconds), ratio, turn.tokens, turn.failed or "-"))
    titles = "earlier turns told again", "ms to the first word", "of a usual turn", "tokens read", "failed"
    _table(console, "A client that returns", titles, returned)
    for problem in sorted({turn.failed for turn in turns if turn.failed}):
        console.print(f"Some turns had no answer: {problem}")


def show_history(measured: Sequence[Measured], console: Console) -> None:
    """Print how long listing, searching and opening took, for each number of conversations."""
    rows = []
    for one in measured:
        times = [
            f"{1000 * seconds:.1f}"
            for values in (one.cold, one.warm)
            for seconds in (percentile(values, 50) or 0, max(values))
        ]
        rows.append((f"{one.conversations:,}", one.operation, one.found, *times))
    columns = "stored", "operation", "found", "cold p50 ms", "max", "warm p50 ms", "max"
    _table(console, "Stored conversations", columns, rows)


def show_tools(tried: Sequence[Tried], console: Console) -> None:
    """Print how many were right, tool by tool, how long it took, and what went wrong."""
    rows = []
    for name in [*dict.fromkeys(one.request.tool or NO_TOOL for one in tried), "all"]:
        some = [one for one in tried if name in (one.request.tool or NO_TOOL, "all")]
        halves = [[one.right for one in some if one.request.held_out is held_out] for held_out in (False, True)]
        false = [not one.right for one in some if one.request.tool is None]
        rows.append((name, *map(_share, halves), _share(false)))
    columns = "about", "right", "held out", "false calls"
    _table(console, "The right tool with the right arguments", columns, rows)
    for way, spoken in (("typed", False), ("by voice", True)):
        share = _share([one.right for one in tried if one.request.spoken is spoken])
        console.print(f"Of those {way}, {share} were right.")
    kinds = {
        "a call": [one for one in tried if one.call],
        "a question for what it lacks": [one for one in tried if one.asks],
        "the first word": [one for one in tried if not one.call and not one.asks],
    }
    times = []
    for name, some in kinds.items():
        usages = [one.usage for one in some if one.usage]
        read = _percentiles([usage.input_tokens - usage.cached_tokens for usage in usages], 50)
        written = _percentiles([usage.output_tokens for usage in usages], 50)
        seconds = _percentiles([one.seconds * 1000 for one in some], 50, 95)
        times.append((name, len(some), *seconds, *read, *written))
    _table(console, "Until it was there", ("", "times", "p50 ms", "p95 ms", "tokens read", "written"), times)
    for one in tried:
        if not one.right:
            heard = f" (heard: {one.transcript})" if one.transcript != one.request.says else ""
            answer = f"{one.call.name} {one.call.arguments}" if one.call else one.words
            console.print(f"Wrong: {one.request.says}{heard} -> {answer}", highlight=False, markup=False)


# cells


def _table(console: Console, title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    table = Table(*columns, title=title or None)
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


def _percentiles(values: Sequence[float], *percents: float) -> list[str]:
    found = [percentile(values, percent) for percent in percents]
    return ["-" if each is None else f"{each:.0f}" for each in found]


def _latencies_ms(turns: Sequence[MeasuredTurn]) -> list[float]:
    return [turn.latency * 1000 for turn in turns if turn.latency is not None and not turn.spoken_over]


def _stage(turns: Sequence[MeasuredTurn], stage: str) -> str:
    times = [turn.stages[stage] * 1000 for turn in turns if stage in turn.stages and not turn.spoken_over]
    return " / ".join(_percentiles(times, 50, 90))


def _of(turns: Sequence[Closed], category: str) -> Sequence[Closed]:
    return [turn for turn in turns if turn.category == category]


def _early(turns: Sequence[Closed]) -> str:
    early = [turn.wait_ms is not None and turn.wait_ms < 0 for turn in turns]
    return f"{_rate(sum(early), len(early))} ({_share(early)})" if early else "-"


def _waits(turns: Sequence[Closed]) -> list[str]:
    waits = [turn.wait_ms for turn in turns if turn.wait_ms is not None and turn.wait_ms >= 0]
    return _percentiles(waits, 50, 95)


def _overs(overs: Sequence[Over]) -> Sequence[object]:
    stopped = [over.stopped_ms for over in overs if over.stopped_ms is not None]
    held = sum(over.held_ms is not None for over in overs)
    slow = [over.stopped_ms - over.held_ms for over in overs if over.stopped_ms and over.held_ms]
    return len(overs), held, len(stopped), *_percentiles(stopped, 50), *_percentiles(slow, 50, 95)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _number(value: float | None, digits: int = 2) -> str:
    return "not known" if value is None else f"{value:.{digits}f}"


def _ratio(value: float | None, floor: float | None) -> str:
    return f"{value / floor:.2f}" if value and floor else "-"


def _share(cases: Sequence[bool]) -> str:
    return f"{sum(cases)}/{len(cases)}" if cases else "-"


def _rate(errors: int | None, words: int) -> str:
    return "-" if errors is None or not words else f"{100 * errors / words:.1f} %"


def _named(names: Sequence[str]) -> str:
    return f" ({'; '.join(names)})" if names else ""
