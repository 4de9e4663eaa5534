"""`viva bench`: measure a running server with real recordings, in real time."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vivavoce.cli.common import Chat, File
from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from vivavoce_bench.clips import Clip
    from vivavoce_bench.server import MeasuredServer, Setup
    from vivavoce_bench.trials import Level, OnStatus, Wanted

What = Literal["all", "latency", "load", "barge-in", "hearing", "turns", "transport", "tools"]
SCRIPTED_SILENCE_MS = 200
INPUT_SECONDS = 30
TRANSPORT_SECONDS = 12
BRIEF = "Answer in one sentence."


@dataclass(frozen=True)
class _Plan:
    what: What
    setup: "Setup"
    wanted: "Wanted"
    folder: Path
    clips: "list[Clip]"
    levels: list[int]
    turns: int
    busy: int
    webrtc: bool


def bench(
    what: Annotated[
        What,
        typer.Argument(
            help="latency, load, barge-in, hearing, turns, transport or tools; all is a short round."
        ),
    ] = "all",
    preset: Annotated[str, typer.Option(help="offline, or scripted: providers of fixed delays.")] = "offline",
    chat: Chat = None,
    config: File = None,
    conversations: Annotated[
        str | None, typer.Option(help="How many at once, one level after another, such as 1,5,10,20,50.")
    ] = None,
    turns: Annotated[int | None, typer.Option(min=1, help="Questions in each conversation.")] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Folder of WAVs, if possible with a manifest.csv; else our own few."),
    ] = None,
    silence_ms: Annotated[
        int | None, typer.Option(help="Silence that ends a turn; 0 leaves turn detection as the server has it.")
    ] = None,
    busy: Annotated[int, typer.Option(min=0, help="Other processes to keep busy meanwhile.")] = 0,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Without a server: the engine alone, in this process.")
    ] = False,
    webrtc: Annotated[
        bool, typer.Option("--webrtc", help="Ask by WebRTC, too, and compare (latency).")
    ] = False,
    requests: Annotated[
        Path | None,
        typer.Option(help="What is asked of an assistant with tools, and what it should do (tools)."),
    ] = None,
    assistant: Annotated[str | None, typer.Option(help="Who answers: my_desk.py:assistant.")] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Ask also what is kept apart from tuning (tools).")
    ] = False,
    aloud: Annotated[bool, typer.Option("--aloud", help="Ask everything by voice (tools).")] = False,
    json: Annotated[Path | None, typer.Option(help="Write what was measured to this file, too.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="As few as makes sense.")] = False,
) -> None:
    """Measure how soon answers come, what they cost, and whether people can interrupt."""
    import anyio
    import msgspec

    from vivavoce_bench.clips import BUILT_IN, clips_in
    from vivavoce_bench.server import Setup
    from vivavoce_bench.trials import Wanted

    setup = Setup(preset, chat, config, in_process, assistant)
    if what == "tools":
        measure = partial(_tools, setup, requests, held_out=held_out, aloud=aloud)
    else:
        scripted = preset == "scripted"
        silence = SCRIPTED_SILENCE_MS if silence_ms is None and scripted else silence_ms
        wanted = Wanted(silence or None, BRIEF if scripted else None)
        levels = _levels(conversations, what, scripted=scripted, quick=quick)
        folder = recordings or BUILT_IN
        turns = turns or (2 if quick else 6)
        measure = partial(
            _bench, _Plan(what, setup, wanted, folder, clips_in(folder), levels, turns, busy, webrtc)
        )
    found = anyio.run(measure)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
        print(f"All of it is in {json}.")


def _levels(conversations: str | None, what: What, *, scripted: bool, quick: bool) -> list[int]:
    if conversations is None:
        if what == "transport":
            return [10] if quick else [20, 50]
        many = [1, 5] if quick else [1, 5, 10, 20, 50]
        few = [1, 5] if scripted else [1]
        return (many if scripted else [1, 2]) if what == "load" else few
    try:
        levels = [int(part) for part in conversations.split(",")]
    except ValueError:
        levels = []
    if not levels or min(levels) < 1:
        raise ConfigError(f"--conversations {conversations} must be numbers such as 1,5,10.")
    return levels


async def _bench(plan: _Plan) -> dict[str, object]:
    from rich.console import Console

    from vivavoce_bench.machine import busy_neighbours, describe

    console, machine = Console(), describe()
    busy = f"; {plan.busy} other busy processes" if plan.busy else ""
    heading = f"{machine}{busy}. Preset {plan.setup.preset}, {len(plan.clips)} recordings."
    console.print(heading, highlight=False)
    measures = {"turns": _turns, "transport": _transport}
    with busy_neighbours(plan.busy):
        found = await measures.get(plan.what, _calls)(plan, console)
    return {"machine": machine, "busy": plan.busy, "preset": plan.setup.preset, **found}


async def _calls(plan: _Plan, console: "Console") -> dict[str, object]:
    from vivavoce_bench import report, trials
    from vivavoce_bench.server import running

    found: dict[str, object] = {}
    with console.status("Starting the server and loading the models.") as status:
        async with running(plan.setup) as server:
            await trials.warm_up(server, trials.questions(plan.clips), plan.wanted)
            if plan.what in ("all", "latency", "load"):
                found["levels"] = await _ask(plan, server, console, status.update)
            if plan.what in ("all", "barge-in"):
                tried = await trials.barge_in(server, plan.clips, plan.turns, plan.wanted, status.update)
                report.show_barge_in(tried, console)
                found["barge-in"] = tried
            if plan.what == "hearing":
                heard = await trials.hearing(server, plan.clips, plan.wanted, status.update)
                report.show_hearing(heard, console)
                found["hearing"] = heard
    return found


async def _ask(plan: _Plan, server: "MeasuredServer", console: "Console", on_status: "OnStatus") -> object:
    from vivavoce_bench.report import show_difference, show_latency, show_load
    from vivavoce_bench.trials import level, questions

    async def measure(server: "MeasuredServer") -> list["Level"]:
        clips = questions(plan.clips)
        return [await level(server, count, clips, plan.turns, plan.wanted, on_status) for count in plan.levels]

    levels = await measure(server)
    show_latency(levels, console)
    if plan.what != "latency":
        show_load(levels, console)
    if not plan.webrtc:
        return levels
    from vivavoce_bench.webrtc import by_webrtc

    calls = await measure(by_webrtc(server))
    show_latency(calls, console, way="by WebRTC")
    show_difference(levels, calls, console)
    return {"websocket": levels, "webrtc": calls}


async def _turns(plan: _Plan, console: "Console") -> dict[str, object]:
    from vivavoce_bench.server import open_providers
    from vivavoce_bench.turns import run, show

    with console.status("Loading the models, then playing every recording."):
        vad, turn, transcriber = await open_providers(plan.setup, "vad", "turn", "transcriber")
        report = await run(plan.folder, vad=vad, turn=turn, transcriber=transcriber)
    show(report, console)
    return {"turns": report}


async def _transport(plan: _Plan, console: "Console") -> dict[str, object]:
    from vivavoce_bench.report import show_transport
    from vivavoce_bench.transport import measure, measure_input

    with console.status("Voice activity detection alone, without a server.") as status:
        input_ms = await measure_input(INPUT_SECONDS)
        costs = await measure(plan.levels, TRANSPORT_SECONDS, status.update)
    show_transport(costs, input_ms, console)
    return {"hearing_alone_ms": input_ms, "ways": costs}


async def _tools(setup: "Setup", file: Path | None, *, held_out: bool, aloud: bool) -> dict[str, object]:
    import msgspec
    from rich.console import Console

    from vivavoce.cli.assistants import load_assistant
    from vivavoce_bench.machine import describe
    from vivavoce_bench.server import open_providers
    from vivavoce_bench.tools import requests_in, run, show

    assistant = load_assistant(setup.assistant)
    if file is None or assistant is None:
        raise ConfigError("bench tools needs --requests FILE.toml and --assistant FILE.py:NAME.")
    requests = [
        msgspec.structs.replace(one, spoken=one.spoken or aloud)
        for one in requests_in(file)
        if held_out or not one.held_out
    ]
    console, machine = Console(), describe()
    console.print(f"{machine}. {len(requests)} requests to {assistant.name}.", highlight=False)
    with console.status("Loading the models.") as status:
        chat, synthesizer, transcriber = await open_providers(setup, "chat", "synthesizer", "transcriber")
        tried = await run(
            assistant,
            requests,
            chat=chat,
            synthesizer=synthesizer,
            transcriber=transcriber,
            on_status=status.update,
        )
    show(tried, console)
    return {"machine": machine, "tried": [{**msgspec.to_builtins(one), "right": one.right} for one in tried]}
