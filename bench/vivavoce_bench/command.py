"""`viva bench`: measure the running engine with real recordings, in real time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vivavoce.cli.options import Chat, File
from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from vivavoce_bench.clips import Clip
    from vivavoce_bench.server import Called, Setup
    from vivavoce_bench.trials import Manner

    Tell = Callable[[str], None]

__all__ = ["bench"]

What = Literal["all", "latency", "load", "barge-in", "hearing", "turns", "transport", "tools"]
SCRIPTED_SILENCE_MS = 200
HEARING_SECONDS = 30
TRANSPORT_SECONDS = 12
BRIEF = "Answer in one sentence."


@dataclass(frozen=True)
class _Plan:
    what: What
    setup: "Setup"
    manner: "Manner"
    folder: Path
    clips: "list[Clip]"
    levels: list[int]
    turns: int
    busy: int
    webrtc: bool


@dataclass(frozen=True)
class _Questions:
    setup: "Setup"
    file: Path | None
    assistant: str | None
    held_out: bool
    aloud: bool


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
        Path | None, typer.Option(help="Folder of WAVs, if possible with a manifest.csv; else our own few.")
    ] = None,
    silence_ms: Annotated[
        int | None, typer.Option(help="Silence that ends a turn; 0 leaves it to the server's own judgement.")
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
    json: Annotated[Path | None, typer.Option(help="Write what was measured here, too.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="As few as makes sense.")] = False,
) -> None:
    """Measure how soon answers come, what they cost, and whether people can interrupt."""
    import anyio

    from vivavoce_bench.clips import BUILT_IN, clips_in
    from vivavoce_bench.server import Setup
    from vivavoce_bench.trials import Manner

    if what == "tools":
        setup = Setup(preset, chat, config)
        _keep(anyio.run(_tools, _Questions(setup, requests, assistant, held_out, aloud)), json)
        return
    scripted = preset == "scripted"
    silence = SCRIPTED_SILENCE_MS if silence_ms is None and scripted else silence_ms
    folder = recordings or BUILT_IN
    plan = _Plan(
        what,
        Setup(preset, chat, config, in_process, assistant),
        Manner(silence or None, BRIEF if scripted else None),
        folder,
        clips_in(folder),
        _levels(conversations, what, scripted=scripted, quick=quick),
        turns or (2 if quick else 6),
        busy,
        webrtc,
    )
    _keep(anyio.run(_bench, plan), json)


def _keep(found: dict[str, object], json: Path | None) -> None:
    if json is not None:
        import msgspec

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

    console = Console()
    machine = describe()
    busy = f"; {plan.busy} other busy processes" if plan.busy else ""
    console.print(
        f"{machine}{busy}. Preset {plan.setup.preset}, {len(plan.clips)} recordings.", highlight=False
    )
    found: dict[str, object] = {"machine": machine, "busy": plan.busy, "preset": plan.setup.preset}
    with busy_neighbours(plan.busy):
        if plan.what == "turns":
            return found | {"turns": await _turns(plan, console)}
        if plan.what == "transport":
            return found | await _transport(plan, console)
        return found | await _calls(plan, console)


async def _calls(plan: _Plan, console: "Console") -> dict[str, object]:
    from vivavoce_bench.server import called
    from vivavoce_bench.trials import questions, warm_up

    found: dict[str, object] = {}
    with console.status("Starting the server and loading the models.") as status:
        async with called(plan.setup) as server:
            await warm_up(server, questions(plan.clips), plan.manner)
            if plan.what in ("all", "latency", "load"):
                found["levels"] = await _ask(plan, server, console, status.update)
            if plan.what in ("all", "barge-in"):
                found["barge-in"] = await _interrupt(plan, server, console, status.update)
            if plan.what == "hearing":
                found["hearing"] = await _listen(plan, server, console, status.update)
    return found


async def _ask(plan: _Plan, server: "Called", console: "Console", tell: "Tell") -> object:
    from vivavoce_bench.report import show_detour, show_latency, show_load
    from vivavoce_bench.trials import level, questions

    clips = questions(plan.clips)
    levels = [await level(server, count, clips, plan.turns, plan.manner, tell) for count in plan.levels]
    show_latency(levels, console)
    if plan.what != "latency":
        show_load(levels, console)
    if not plan.webrtc:
        return levels
    called = _by_webrtc(server)
    calls = [await level(called, count, clips, plan.turns, plan.manner, tell) for count in plan.levels]
    show_latency(calls, console, way="by WebRTC")
    show_detour(levels, calls, console)
    return {"websocket": levels, "webrtc": calls}


def _by_webrtc(server: "Called") -> "Called":
    from dataclasses import replace
    from os import environ

    from vivavoce_bench.webrtc import dial_webrtc

    if server.url is None:
        raise ConfigError("--webrtc needs a server; leave out --in-process.")
    return replace(server, dial=dial_webrtc(server.url, environ.get("VIVAVOCE_KEYS")))


async def _interrupt(plan: _Plan, server: "Called", console: "Console", tell: "Tell") -> object:
    from vivavoce_bench.report import show_barge_in
    from vivavoce_bench.trials import barge_in

    found = await barge_in(server, plan.clips, plan.turns, plan.manner, tell)
    show_barge_in(found, console)
    return found


async def _listen(plan: _Plan, server: "Called", console: "Console", tell: "Tell") -> object:
    from vivavoce_bench.report import show_hearing
    from vivavoce_bench.trials import hearing

    report = await hearing(server, plan.clips, plan.manner, tell)
    show_hearing(report, console)
    return report


async def _turns(plan: _Plan, console: "Console") -> object:
    from vivavoce_bench.server import listeners
    from vivavoce_bench.turns import run, show

    with console.status("Loading the models, then playing every recording to the floor."):
        vad, turn, transcriber = await listeners(plan.setup)
        report = await run(plan.folder, vad=vad, turn=turn, transcriber=transcriber)
    show(report, console)
    return report


async def _transport(plan: _Plan, console: "Console") -> dict[str, object]:
    from vivavoce_bench.report import show_ways
    from vivavoce_bench.transport import hearing_alone, measure

    with console.status("Hearing alone, without a server.") as status:
        hearing = await hearing_alone(HEARING_SECONDS)
        ways = await measure(plan.levels, TRANSPORT_SECONDS, status.update)
    show_ways(ways, hearing, console)
    return {"hearing_alone_ms": hearing, "ways": ways}


async def _tools(asking: _Questions) -> dict[str, object]:
    import msgspec
    from rich.console import Console

    from vivavoce.cli.assistants import assistant_at
    from vivavoce_bench.machine import describe
    from vivavoce_bench.requests import requests_in
    from vivavoce_bench.server import talkers
    from vivavoce_bench.tools import run, show

    assistant = assistant_at(asking.assistant)
    if asking.file is None or assistant is None:
        raise ConfigError("bench tools needs --requests FILE.toml and --assistant FILE.py:NAME.")
    requests = [one for one in requests_in(asking.file) if asking.held_out or not one.held_out]
    requests = [msgspec.structs.replace(one, spoken=one.spoken or asking.aloud) for one in requests]
    console, machine = Console(), describe()
    console.print(f"{machine}. {len(requests)} requests to {assistant.name}.", highlight=False)
    with console.status("Loading the models.") as status:
        chat, synthesizer, transcriber = await talkers(asking.setup)
        tried = await run(
            assistant, requests, chat=chat, synthesizer=synthesizer, transcriber=transcriber, tell=status.update
        )
    show(tried, console)
    return {"machine": machine, "tried": [{**msgspec.to_builtins(one), "right": one.right} for one in tried]}
