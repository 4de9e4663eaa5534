"""`viva talk`: a conversation in the terminal, with local models or any server of the Realtime protocol."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.ask import check_output, read_recording
from vivavoce.cli.assistants import AssistantPlace, load_assistant
from vivavoce.cli.common import (
    Chat,
    File,
    KeyVariable,
    Local,
    Preset,
    Quiet,
    cancel_on_signal,
    configuration,
    connection_error,
    find_earlier,
    key_from,
    open_conversation,
    server_for,
)
from vivavoce.cli.progress import print_status

if TYPE_CHECKING:
    from vivavoce.config.schema import Config
    from vivavoce.session.call import Caller
    from vivavoce.session.line import Line
    from vivavoce.tools.types import Assistant
    from vivavoce.transports.terminal.devices import LoudspeakerDevice, MicrophoneDevice
    from vivavoce.transports.terminal.transport import Terminal


def talk(
    assistant: AssistantPlace = None,
    url: Annotated[
        str | None, typer.Option(help="Talk with this server; else with ours if it runs, else in this process.")
    ] = None,
    key_env: KeyVariable = None,
    input: Annotated[
        str | None, typer.Option(help="Microphone: number, part of a name, or a recording.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Loudspeaker: number, part of a name, or a .wav to write.")
    ] = None,
    continue_: Annotated[
        str | None,
        typer.Option("--continue", metavar="ID", help="Continue an earlier conversation, or the last one."),
    ] = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Nothing of this conversation is stored.")
    ] = False,
    headphones: Annotated[
        bool, typer.Option("--headphones", help="The microphone does not hear the voice: you may interrupt it.")
    ] = False,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="Show microphones and loudspeakers.")
    ] = False,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
    local: Local = False,
    quiet: Quiet = False,
) -> None:
    """Talk by microphone and loudspeaker, with captions; what you type is sent too. Ctrl-C ends."""
    import anyio

    if list_devices:
        from vivavoce.transports.terminal.devices import describe_devices

        print(describe_devices())
        return
    from vivavoce.transports.terminal.transport import Captions, Terminal

    loaded = configuration(file=config, preset=preset, chat=chat).config
    key, who = key_from(key_env), load_assistant(assistant, url=url)
    may_interrupt = headphones or _is_file(input) or _is_file(output)
    terminal = Terminal(
        _microphone(input, loaded),
        open_loudspeaker(output),
        _typed_lines(),
        Captions(sys.stdout),
        headphones=may_interrupt,
    )
    if not may_interrupt:
        print_status("The microphone is closed while the voice speaks; with headphones write --headphones.")
    local = local or any(option is not None for option in (assistant, preset, chat, config))
    anyio.run(_talk, terminal, loaded, who, url, key, local, quiet, continue_, no_store)


async def _talk(
    terminal: "Terminal",
    config: "Config",
    assistant: "Assistant | None",
    url: str | None,
    key: str | None,
    local: bool,
    quiet: bool,
    continues: str | None,
    no_store: bool,
) -> None:
    import anyio

    from vivavoce.session.call import LAST
    from vivavoce.transports.base import Transport
    from vivavoce.transports.terminal.transport import Terminal, TerminalTransport

    @asynccontextmanager
    async def connect(_: "Caller") -> "AsyncIterator[Line]":
        at, with_key = await server_for(config, url, key, local=local, quiet=quiet)
        # in this process the recorder finds the last one itself, as its words may not be stored yet
        is_found_there = url is not None or (at is None and continues == LAST)
        earlier = await find_earlier(config, continues) if continues and not is_found_there else continues
        async with open_conversation(
            config,
            "terminal",
            assistant=assistant,
            url=at,
            key=with_key,
            quiet=quiet,
            continues=earlier,
            store="nothing" if no_store else "all",
        ) as line:
            print_status("Speak, or type. Enter interrupts, Ctrl-C ends.")
            yield line
            if error := connection_error(line):
                raise error

    transport: Transport[Terminal] = TerminalTransport(connect, config.limits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_on_signal, tasks.cancel_scope)
        await transport.accept(terminal)
        tasks.cancel_scope.cancel()
    print_status("Goodbye.")


def _is_file(name: str | None) -> bool:
    return name is not None and (Path(name).suffix != "" or Path(name).is_file())


def _microphone(name: str | None, config: "Config") -> "MicrophoneDevice":
    from vivavoce.transports.terminal.devices import CardMicrophone, FileMicrophone

    if name is not None and _is_file(name):
        return FileMicrophone(read_recording(name, config.limits.upload_seconds))
    return CardMicrophone(_device(name))


def open_loudspeaker(name: str | None) -> "LoudspeakerDevice":
    """Return a loudspeaker by its number or a part of its name, or a WAV file. Raises `ConfigError`."""
    from vivavoce.transports.terminal.devices import CardLoudspeaker, FileLoudspeaker

    if name is not None and _is_file(name):
        check_output(Path(name))
        return FileLoudspeaker(Path(name))
    return CardLoudspeaker(_device(name))


def _device(name: str | None) -> int | str | None:
    return int(name) if name is not None and name.isdecimal() else name


async def _typed_lines() -> AsyncIterator[str]:
    """Yield typed lines, if standard input supports waiting."""
    import anyio

    keyboard, text = sys.stdin.fileno(), b""
    while True:
        try:
            await anyio.wait_readable(keyboard)
        except OSError:  # a file or the null device, which the event loop cannot wait for
            return
        typed = os.read(keyboard, 4096)
        if not typed:
            return
        *lines, text = (text + typed).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
