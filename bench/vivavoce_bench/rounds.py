"""The rounds of measurements that `viva bench` can run, and what they print."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console

from vivavoce.cli.assistants import load_assistant
from vivavoce.errors import ConfigError
from vivavoce_bench import history, long, report, tools, transport, trials, turns
from vivavoce_bench.clips import BUILT_IN, Clip, clips_in
from vivavoce_bench.machine import busy_neighbours, describe
from vivavoce_bench.server import MeasuredServer, Setup, open_providers, running

SCRIPTED_SILENCE_MS = 200
INPUT_SECONDS = 30
TRANSPORT_SECONDS = 12
HISTORY_TURNS = 20
STORES: Mapping[str, Mapping[str, str]] = {
    "nothing": {"ENABLED": "false"},
    "words": {"RECORDINGS": "false"},
    "words and sound": {},
}
"""what is stored, and the settings for it"""
STORE_TIMES = 3
"""times that each of them is measured"""

Json = dict[str, object]


@dataclass(frozen=True)
class Options:
    """The options of `viva bench`; None is the default."""

    what: str
    setup: Setup
    conversations: str | None
    turns: int | None
    recordings: Path | None
    silence_ms: int | None
    busy: int
    webrtc: bool
    requests: Path | None
    held_out: bool
    aloud: bool
    url: str | None
    quick: bool

    @property
    def scripted(self) -> bool:
        return self.setup.preset == "scripted"

    @cached_property
    def clips(self) -> list[Clip]:
        """The recordings. Raises `ConfigError`."""
        return clips_in(self.recordings or BUILT_IN)

    @property
    def wanted(self) -> trials.Wanted:
        """The session of callers."""
        default = SCRIPTED_SILENCE_MS if self.scripted else None
        silence_ms = default if self.silence_ms is None else self.silence_ms
        return trials.Wanted(silence_ms or None, "Answer in one sentence." if self.scripted else None)

    @property
    def times(self) -> int:
        """The questions in each conversation."""
        return self.turns or (2 if self.quick else 6)

    @cached_property
    def levels(self) -> list[int]:
        """The numbers of concurrent conversations, one level after another. Raises `ConfigError`."""
        if self.conversations is None:
            many = [1, 5] if self.quick else [1, 5, 10, 20, 50]
            match self.what:
                case "transport":
                    return [10] if self.quick else [20, 50]
                case "history":
                    return [100] if self.quick else [1000, 10_000]
                case "load":
                    return many if self.scripted else [1, 2]
                case "store":
                    return [20] if self.scripted else [1]
                case _:
                    return [1, 5] if self.scripted else [1]
        try:
            levels = [int(part) for part in self.conversations.split(",")]
        except ValueError:
            levels = []
        if not levels or min(levels) < 1:
            raise ConfigError(f"--conversations {self.conversations} must be numbers such as 1,5,10.")
        return levels


async def run(options: Options) -> Json:
    """Run the round of these options; return what was measured. Raises `ConfigError` and `ProviderError`."""
    console, machine = Console(), describe()
    busy = f"; {options.busy} other busy processes" if options.busy else ""
    console.print(f"{machine}{busy}. Preset {options.setup.preset}.", highlight=False)
    measure = {
        "turns": _turns,
        "transport": _transport,
        "tools": _tools,
        "long": _long,
        "history": _history,
        "store": _store,
    }.get(options.what, _calls)
    with busy_neighbours(options.busy):
        found = await measure(options, console)
    return {"machine": machine, "busy": options.busy, "preset": options.setup.preset, **found}


async def _calls(options: Options, console: Console) -> Json:
    what, clips, wanted, levels = options.what, options.clips, options.wanted, options.levels
    console.print(f"{len(clips)} recordings.", highlight=False)
    found: Json = {}
    with console.status("Starting the server and loading the models.") as status:

        async def ask(server: MeasuredServer) -> list[trials.Level]:
            asked = trials.questions(clips)
            return [await trials.level(server, n, asked, options.times, wanted, status.update) for n in levels]

        async with running(options.setup) as server:
            await trials.warm_up(server, trials.questions(clips), wanted)
            if what in ("all", "latency", "load"):
                found["levels"] = measured = await ask(server)
                report.show_latency(measured, console)
                if what != "latency":
                    report.show_load(measured, console)
                if options.webrtc:
                    from vivavoce_bench.webrtc import by_webrtc  # needs an extra

                    calls = await ask(by_webrtc(server))
                    report.show_latency(calls, console, way="by WebRTC")
                    report.show_difference(measured, calls, console)
                    found["levels"] = {"websocket": measured, "webrtc": calls}
            if what in ("all", "barge-in"):
                tried = await trials.barge_in(server, clips, options.times, wanted, status.update)
                found["barge-in"] = tried
                report.show_barge_in(tried, console)
            if what == "hearing":
                heard = await trials.hearing(server, clips, wanted, status.update)
                found["hearing"] = heard
                report.show_hearing(heard, console)
    return found


async def _turns(options: Options, console: Console) -> Json:
    clips = options.clips
    console.print(f"{len(clips)} recordings.", highlight=False)
    with console.status("Loading the models, then playing every recording."):
        found = await turns.run(clips, *await open_providers(options.setup, "vad", "turn", "transcriber"))
    report.show_turns(found, console)
    return {"turns": found}


async def _transport(options: Options, console: Console) -> Json:
    with console.status("Voice activity detection alone, without a server.") as status:
        input_ms = await transport.measure_input(INPUT_SECONDS)
        costs = await transport.measure(options.levels, TRANSPORT_SECONDS, status.update)
    report.show_transport(costs, input_ms, console)
    return {"hearing_alone_ms": input_ms, "ways": costs}


async def _long(options: Options, console: Console) -> Json:
    with console.status("Starting the server and loading the models.") as status:
        async with running(options.setup) as server:
            found = await long.run(server.dial, options.turns or (60 if options.quick else 300), status.update)
    report.show_long(found, console)
    return {"long": found}


async def _history(options: Options, console: Console) -> Json:
    with TemporaryDirectory() as folder, console.status("Making a database.") as status:
        url = options.url or f"sqlite:///{folder}/conversations.db"
        found = await history.run(url, options.levels, options.turns or HISTORY_TURNS, status.update)
    report.show_history(found, console)
    return {"history": found}


async def _store(options: Options, console: Console) -> Json:
    """Measure the load with each way of storing, in turn, so that a busy machine disturbs all alike."""
    if options.setup.in_process:
        raise ConfigError("bench store needs servers; leave out --in-process.")
    asked, found = trials.questions(options.clips), list[dict[str, trials.Level]]()
    async with AsyncExitStack() as stack:
        status = stack.enter_context(console.status("Starting servers and loading the models."))
        servers = {}
        for name, settings in STORES.items():
            variables = {f"VIVAVOCE_STORE__{setting}": value for setting, value in settings.items()}
            variables["VIVAVOCE_SERVER__DATA"] = stack.enter_context(TemporaryDirectory())
            servers[name] = await stack.enter_async_context(running(options.setup, variables))
            await trials.warm_up(servers[name], asked, options.wanted)
        for count in options.levels:
            for _ in range(1 if options.quick else STORE_TIMES):
                measured = {
                    name: await trials.level(server, count, asked, options.times, options.wanted, status.update)
                    for name, server in servers.items()
                }
                found.append(measured)
    report.show_store(found, console)
    return {"store": found}


async def _tools(options: Options, console: Console) -> Json:
    assistant = load_assistant(options.setup.assistant)
    if options.requests is None or assistant is None:
        raise ConfigError("bench tools needs --requests FILE.toml and --assistant FILE.py:NAME.")
    requests = [
        msgspec.structs.replace(one, spoken=one.spoken or options.aloud)
        for one in tools.requests_in(options.requests)
        if options.held_out or not one.held_out
    ]
    console.print(f"{len(requests)} requests to {assistant.name}.", highlight=False)
    with console.status("Loading the models.") as status:
        providers = await open_providers(options.setup, "chat", "synthesizer", "transcriber")
        tried = await tools.run(assistant, requests, *providers, on_status=status.update)
    report.show_tools(tried, console)
    return {"tried": [{**msgspec.to_builtins(one), "right": one.right} for one in tried]}
