"""`viva talk`: a conversation in the terminal, with us or with any server of the Realtime protocol."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.ask import read_sound
from vivavoce.cli.assistants import Who, assistant_at
from vivavoce.cli.calling import key_from, own_line, tell
from vivavoce.cli.options import Chat, File, Preset, configuration

if TYPE_CHECKING:
    from anyio import CancelScope

    from vivavoce.config.schema import Config
    from vivavoce.session.line import Line
    from vivavoce.session.switchboard import Caller
    from vivavoce.tools.types import Assistant
    from vivavoce.transports.terminal.devices import Loudspeaker, Microphone
    from vivavoce.transports.terminal.transport import Terminal

__all__ = ["talk"]

STATUS_SECONDS = 1


def talk(
    assistant: Who = None,
    url: Annotated[
        str | None, typer.Option(help="Talk with this server; else with ours if it runs, else in this process.")
    ] = None,
    key_env: Annotated[str | None, typer.Option(help="Variable that holds the server's key.")] = None,
    input: Annotated[
        str | None, typer.Option(help="Microphone: number, part of a name, or a recording.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Loudspeaker: number, part of a name, or a .wav to write.")
    ] = None,
    headphones: Annotated[
        bool, typer.Option("--headphones", help="The microphone does not hear the voice: you may interrupt it.")
    ] = False,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="Show microphones and loudspeakers.")
    ] = False,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
) -> None:
    """Talk by microphone and loudspeaker, with captions; what you type is said too. Ctrl-C ends."""
    import anyio

    if list_devices:
        from vivavoce.transports.terminal.devices import describe_devices

        print(describe_devices())
        return
    loaded = configuration(file=config, preset=preset, chat=chat).config
    key, who = key_from(key_env), assistant_at(assistant, url=url)
    in_files = _is_file(input) or _is_file(output)
    terminal = _terminal(_microphone(input, loaded), _loudspeaker(output), headphones=headphones or in_files)
    if not (headphones or in_files):
        tell("The microphone is closed while the voice sounds; with headphones write --headphones.")
    or_ours = all(wish is None for wish in (assistant, preset, chat, config))
    anyio.run(_talk, terminal, loaded, who, url, key, or_ours)


async def _talk(
    terminal: "Terminal",
    config: "Config",
    assistant: "Assistant | None",
    url: str | None,
    key: str | None,
    or_ours: bool,
) -> None:
    import anyio

    from vivavoce.connect import RemoteLine
    from vivavoce.transports.base import Transport
    from vivavoce.transports.terminal.transport import Terminal, TerminalTransport

    @asynccontextmanager
    async def connect(_: "Caller") -> "AsyncIterator[Line]":
        server = url or (await _local_server(config) if or_ours else None)
        async with _line(config, assistant, server, key) as line:
            tell("Speak, or type. Enter interrupts, Ctrl-C ends.")
            yield line
            if isinstance(line, RemoteLine) and line.lost:
                raise line.lost

    transport: Transport[Terminal] = TerminalTransport(connect, config.limits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_wait_for_signal, tasks.cancel_scope)
        await transport.accept(terminal)
        tasks.cancel_scope.cancel()
    tell("Goodbye.")


def _line(
    config: "Config", assistant: "Assistant | None", url: str | None, key: str | None
) -> AbstractAsyncContextManager["Line"]:
    if url is None:
        return own_line(config, "terminal", assistant)
    from vivavoce.connect import connect, endpoint_at

    there = endpoint_at(url, key=key)
    tell(f"Connecting to {there.name}.")
    return connect(there)


async def _local_server(config: "Config") -> str | None:
    """Return the address of our own server, if it runs and is ready."""
    import httpx

    host = f"[{config.server.host}]" if ":" in config.server.host else config.server.host
    url = f"http://{host}:{config.server.port}"
    try:
        async with httpx.AsyncClient(timeout=STATUS_SECONDS, trust_env=False) as client:
            status = (await client.get(f"{url}/v1/status")).json()
    except (httpx.HTTPError, ValueError):
        return None
    if not isinstance(status, dict) or not status.get("ready"):
        return None
    tell(str(status.get("description", "")))
    return url


async def _wait_for_signal(talk: "CancelScope") -> None:
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            talk.cancel()
            return


# where sound comes from and goes to


def _terminal(microphone: "Microphone", loudspeaker: "Loudspeaker", *, headphones: bool) -> "Terminal":
    from vivavoce.transports.terminal.transport import Captions, Terminal

    return Terminal(microphone, loudspeaker, _typed(), Captions(sys.stdout), headphones=headphones)


def _is_file(name: str | None) -> bool:
    return name is not None and (Path(name).suffix != "" or Path(name).is_file())


def _microphone(name: str | None, config: "Config") -> "Microphone":
    if name is not None and _is_file(name):
        from vivavoce.transports.terminal.devices import FileMicrophone

        return FileMicrophone(read_sound(name, config.limits.upload_seconds))
    from vivavoce.transports.terminal.devices import CardMicrophone

    return CardMicrophone(_device(name))


def _loudspeaker(name: str | None) -> "Loudspeaker":
    if name is not None and _is_file(name):
        from vivavoce.transports.terminal.devices import FileLoudspeaker

        return FileLoudspeaker(Path(name))
    from vivavoce.transports.terminal.devices import CardLoudspeaker

    return CardLoudspeaker(_device(name))


def _device(name: str | None) -> int | str | None:
    return int(name) if name is not None and name.isdecimal() else name


async def _typed() -> AsyncIterator[str]:
    """Yield what is typed, line by line, if anybody can type."""
    import anyio

    keyboard, text = sys.stdin.fileno(), b""
    while True:
        try:
            await anyio.wait_readable(keyboard)
        except OSError:  # a file or nothing: there is nobody to wait for
            return
        typed = os.read(keyboard, 4096)
        if not typed:
            return
        *lines, text = (text + typed).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
