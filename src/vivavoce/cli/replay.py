"""`viva replay`: a stored conversation is played in the terminal, or held again with today's models."""

import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.cli.assistants import load_assistant
from vivavoce.cli.common import (
    Chat,
    File,
    KeyVariable,
    Preset,
    Quiet,
    cancel_on_signal,
    configuration,
    key_from,
)
from vivavoce.cli.history import open_database
from vivavoce.cli.progress import print_status
from vivavoce.cli.talk import open_loudspeaker
from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from vivavoce.store.database import Database
    from vivavoce.store.queries import Record
    from vivavoce.store.replay import Caption
    from vivavoce.transports.terminal.devices import LoudspeakerDevice

BLOCK_SECONDS = 5
"""seconds of a recording that are read at once"""
AHEAD_SECONDS = 10
"""seconds that are read before they are played"""
_BYTES = OUTPUT_RATE * 2


def replay(
    conversations: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="A conversation, or the beginning of its id.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, max=1000, help="The last conversations, so many.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Hold them again with today's models and settings, and compare.")
    ] = False,
    turn: Annotated[int | None, typer.Option(min=0, help="Play this turn only; 0 is a greeting.")] = None,
    item: Annotated[str | None, typer.Option(help="Play this item only.")] = None,
    speed: Annotated[float, typer.Option(min=0.5, max=3, help="Play faster or slower, at the same pitch.")] = 1,
    output: Annotated[
        str | None, typer.Option(help="Loudspeaker: number, part of a name, or a .wav to write.")
    ] = None,
    assistant: Annotated[
        str | None, typer.Option(help="Who answers again: my_desk.py:assistant, or package.module:name.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="This server answers again; else models loaded here.")] = None,
    key_env: KeyVariable = None,
    tools: Annotated[
        Literal["stored", "live"], typer.Option(help="Tools return what they did then, or really run.")
    ] = "stored",
    as_json: Annotated[bool, typer.Option("--json", help="What was compared, as JSON.")] = False,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
    quiet: Quiet = False,
) -> None:
    """Play a stored conversation with captions, or hold conversations again with today's models and compare.

    While it plays, space pauses and q ends.
    """
    import anyio

    ids = conversations or []
    if again:
        if turn is not None or item or output or speed != 1:
            raise ConfigError("--turn, --item, --speed and --output are for playing; leave out --again.")
        from vivavoce.cli.again import Options, find, run_again

        loaded = configuration(file=config, preset=preset, chat=chat).config
        who, key = load_assistant(assistant, url=url), key_from(key_env)
        options = Options(loaded, who, url, key, tools == "live", as_json, quiet)
        raise typer.Exit(anyio.run(run_again, options, partial(find, config, ids, last, loaded.limits)))
    if assistant or url or key_env or tools == "live" or as_json or preset or chat:
        raise ConfigError("What answers matters only when a conversation is held again; add --again.")
    from rich.console import Console

    from vivavoce.store.replay import captions_of, part_of

    if len(ids) > 1 or (last or 1) > 1:
        raise ConfigError("One conversation is played at a time; with --again, several are held again.")
    record = anyio.run(_find_one, config, ids, last)
    begin, end = part_of(record, turn=turn, item=item)
    sound = RecordedSound(recording_of(record), begin, end, speed)
    try:
        loudspeaker = open_loudspeaker(output)
    except ConfigError as error:
        instead = f"viva history export {record['id']} --format wav --output it.wav"
        raise ConfigError(f"{error} To listen elsewhere: {instead}") from error
    captions = [one for one in captions_of(record) if begin <= one.at < (end or float("inf"))]
    anyio.run(_play, sound, loudspeaker, captions, Console(highlight=False))


async def _find_one(config: Path | None, ids: Sequence[str], last: int | None) -> "Record":
    async with open_database(config) as database:
        (record,) = await find_records(database, ids, last)
    return record


async def find_records(database: "Database", ids: Sequence[str], last: int | None) -> "list[Record]":
    """Return these conversations, or the last ones. Raises `ConfigError` without any."""
    from vivavoce.store.queries import find_conversation, list_conversations

    if bool(ids) == bool(last):
        raise ConfigError("Name a conversation (viva history list shows them), or write: --last 1")
    names = [one["id"] for one in await list_conversations(database, limit=last)] if last else ids
    if not names:
        raise ConfigError("No conversation was stored yet.")
    return [await find_conversation(database, name) for name in names]


def recording_of(record: "Record") -> str:
    """Return where the recording of a conversation is. Raises `ConfigError` if there is none."""
    if record["recordings"]:
        return str(record["recordings"][0]["url"])
    raise ConfigError(f"{record['id']} has no recording; to read it, write: viva history show {record['id']}")


def read_recording(url: str, begin: float, end: float) -> tuple[bytes, bytes]:
    """Return a part of a recording, in seconds: the caller and the assistant, as PCM at `OUTPUT_RATE`.

    It is shorter where the recording ends. Raises `ConfigError` if it cannot be read.
    """
    from vivavoce.store.playback import from_store
    from vivavoce.store.recordings import read

    try:
        sound = from_store(lambda: read(url, round(begin * OUTPUT_RATE), round(end * OUTPUT_RATE)))
    except FileNotFoundError as error:
        raise ConfigError(f"The recording {url} is gone.") from error
    except OSError as error:
        raise ConfigError(f"The recording {url} cannot be read: {error}") from error
    return sound[:, 0].tobytes(), sound[:, 1].tobytes()


class RecordedSound:
    """A part of a recording, from `begin` to `end` seconds, as a loudspeaker reads it: both voices mixed.

    `read` has to run meanwhile. `is_over` is true when all was played.
    """

    def __init__(self, url: str, begin: float, end: float | None, speed: float) -> None:
        from vivavoce.transports.playout import PlayoutBuffer

        self.paused = False
        self._url, self._begin, self._end, self._speed = url, begin, end, speed
        self._buffer, self._read, self._played, self._is_read = PlayoutBuffer(), 0, 0, False

    @property
    def position(self) -> float:
        """The second of the recording that is played now."""
        return self._begin + self._played / _BYTES * self._speed

    @property
    def is_over(self) -> bool:
        return self._is_read and not self._buffer.has_audio

    def read_padded(self, size: int) -> bytes:
        """Return what is played next, as the loudspeaker's thread asks for it; silence while paused."""
        sound = b"" if self.paused else self._buffer.read(size)
        self._played += len(sound)
        return sound.ljust(size, b"\0")

    async def read(self) -> None:
        """Read the recording, some seconds ahead. Raises `ConfigError` if it cannot be read."""
        import anyio.to_thread

        from vivavoce.audio.tempo import Tempo
        from vivavoce.transports.terminal.devices import ticks

        tempo = None if self._speed == 1 else Tempo(OUTPUT_RATE, self._speed)
        at = self._begin
        while self._end is None or at < self._end:
            until = at + BLOCK_SECONDS if self._end is None else min(at + BLOCK_SECONDS, self._end)
            user, assistant = await anyio.to_thread.run_sync(read_recording, self._url, at, until)
            sound = _mixed(user, assistant)
            self._append(tempo.push(sound) if tempo and sound else sound)
            if len(user) // 2 < round((until - at) * OUTPUT_RATE) - 1:
                break
            at = until
            async for _ in ticks():
                if self._read - self._played <= AHEAD_SECONDS * _BYTES:
                    break
        self._append(tempo.flush() if tempo else b"")
        if not self._read:
            raise ConfigError(f"The recording {self._url} ends before {self._begin:.1f} s.")
        self._is_read = True

    def _append(self, sound: bytes) -> None:
        self._read += len(sound)
        if sound:
            self._buffer.append("", sound)


def _mixed(one: bytes, other: bytes) -> bytes:
    import numpy as np

    both = np.frombuffer(one, "<i2").astype(np.int32) + np.frombuffer(other, "<i2")
    sound: NDArray[np.int16] = np.clip(both, -32768, 32767).astype("<i2")
    return sound.tobytes()


async def _play(
    sound: RecordedSound, loudspeaker: "LoudspeakerDevice", captions: "Sequence[Caption]", console: "Console"
) -> None:
    """Play all of it, with captions, until it is over, or somebody ends it."""
    import anyio

    async def show() -> None:
        await show_captions(captions, sound, loudspeaker, console)
        tasks.cancel_scope.cancel()

    async def obey() -> None:
        async for key in keys:
            if key in b" p":
                sound.paused = not sound.paused
            elif key in b"q\x1b":
                tasks.cancel_scope.cancel()

    with _keys() as keys:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_on_signal, tasks.cancel_scope)
            tasks.start_soon(sound.read)
            tasks.start_soon(loudspeaker.play, sound)
            tasks.start_soon(obey)
            tasks.start_soon(show)


async def show_captions(
    captions: "Sequence[Caption]", sound: RecordedSound, loudspeaker: "LoudspeakerDevice", console: "Console"
) -> None:
    """Print captions when they are due, word by word; return when the sound is over as well."""
    import anyio

    from vivavoce.transports.terminal.devices import ticks

    async def until(at: float) -> None:
        async for _ in ticks():
            if sound.is_over or sound.position - loudspeaker.latency_ms / 1000 >= at:
                return

    for caption in captions:
        await until(caption.at)
        number = "" if caption.turn is None else f"{caption.turn}"
        time = f"{int(caption.at // 60)}:{caption.at % 60:04.1f}"
        console.print(f"{number:>3} {time:>7}  {caption.speaker}:", end="")
        for at, word in caption.words:
            await until(at)
            console.print(f" {word}", end="", markup=False, soft_wrap=True)
        if caption.unheard:
            struck = caption.unheard if console.is_terminal else f"~~{caption.unheard}~~"
            console.print(f" {struck}", end="", style="strike", markup=False, soft_wrap=True)
        console.print()
    await until(float("inf"))
    await anyio.sleep(loudspeaker.latency_ms / 1000)


@contextmanager
def _keys() -> "Iterator[AsyncIterator[bytes]]":
    """Yield the keys that are pressed, where there is a keyboard: without waiting for Enter, unseen."""
    try:
        import termios
        import tty

        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except (ImportError, OSError, ValueError, termios.error):  # no keyboard, or Windows, which has others
        yield _pressed(None)
        return
    tty.setcbreak(keyboard)
    print_status("Space pauses, q ends.")
    try:
        yield _pressed(keyboard)
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


async def _pressed(keyboard: int | None) -> AsyncIterator[bytes]:
    import anyio

    with suppress(OSError):
        while keyboard is not None:
            await anyio.wait_readable(keyboard)
            typed = os.read(keyboard, 1)
            if not typed:
                return
            yield typed
