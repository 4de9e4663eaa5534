"""`viva bench`: measure a running server with real recordings, in real time."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vivavoce.cli.common import Chat, File

What = Literal[
    "all", "latency", "load", "barge-in", "hearing", "turns", "transport", "tools", "long", "history", "store"
]


def bench(
    what: Annotated[
        What,
        typer.Argument(
            help="latency, load, barge-in, hearing, turns, transport, tools, long, history, store; all: short."
        ),
    ] = "all",
    preset: Annotated[str, typer.Option(help="offline, or scripted: providers of fixed delays.")] = "offline",
    chat: Chat = None,
    config: File = None,
    conversations: Annotated[
        str | None,
        typer.Option(help="How many at once (history: stored), one level after another, such as 1,5,10."),
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
    url: Annotated[
        str | None, typer.Option(help="An empty database to fill; else a file that is deleted (history).")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write what was measured to this file, too.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="As few as makes sense.")] = False,
) -> None:
    """Measure how soon answers come, what they cost, and whether people can interrupt."""
    import anyio
    import msgspec

    from vivavoce_bench.rounds import Options, run
    from vivavoce_bench.server import Setup

    setup = Setup(preset, chat, config, in_process, assistant)
    options = Options(
        what,
        setup,
        conversations,
        turns,
        recordings,
        silence_ms,
        busy,
        webrtc,
        requests,
        held_out,
        aloud,
        url,
        quick,
    )
    found = anyio.run(run, options)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
        print(f"All of it is in {json}.")
