"""`viva call`: a telephone caller, for tests and demos."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.ask import check_output, read_recording
from vivavoce.cli.common import KeyVariable, Quiet, cancel_on_signal, configuration, key_from, own_certificate
from vivavoce.cli.progress import print_status
from vivavoce.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    from vivavoce.client.telephone.caller import OutgoingCall, Recording, Script
    from vivavoce.client.telephone.timings import TurnTimings

LONGEST_SECONDS = 300.0
"""of a recording"""
INTERRUPTED = 130
"""exit code after Ctrl-C, as of a shell"""
LAG_SECONDS = 0.04
"""how late this machine may send a frame before the report says so"""
HEAD = ("said", "first sound", "answer", "holes", "quiet")


def call(
    url: Annotated[str, typer.Argument(help="The server: ws://, http:// or tcp://.")],
    play: Annotated[
        list[str] | None, typer.Option("--play", help="A recording of any format to be said; repeat it.")
    ] = None,
    pause: Annotated[float, typer.Option(min=0, help="Seconds of quiet before the caller speaks.")] = 2.0,
    keys: Annotated[str, typer.Option(help="Keys to press after the recordings, such as 12#.")] = "",
    interrupt: Annotated[
        str | None, typer.Option("--interrupt", help="A recording to be said during the last answer.")
    ] = None,
    after: Annotated[float, typer.Option(min=0, help="Seconds into the answer to interrupt.")] = 1.5,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for an answer.")] = 20.0,
    save: Annotated[Path | None, typer.Option("--save", help="Write what is heard here, as WAV.")] = None,
    stereo: Annotated[
        bool, typer.Option("--stereo", help="Save the caller, too: left; right is what is heard.")
    ] = False,
    peer: Annotated[
        str | None, typer.Option(help="Who calls, such as avr, audiosocket, asterisk or twilio.")
    ] = None,
    codec: Annotated[str | None, typer.Option(help="slin, slin16, slin24, ulaw or alaw.")] = None,
    from_number: Annotated[str, typer.Option("--from", help="The caller's number.")] = "+15550100",
    to_number: Annotated[str, typer.Option("--to", help="The number that is called.")] = "+15550199",
    key_env: KeyVariable = None,
    signed_url: Annotated[
        str | None, typer.Option(help="The public address that Twilio's signature is made for.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Call a telephone endpoint as its peer would, save what is heard, and time it."""
    import anyio

    from vivavoce.client.telephone.caller import make_call
    from vivavoce.client.telephone.peer import CallOptions
    from vivavoce.client.telephone.peers import codec_of, peer_at, without_secrets

    name, kind = peer_at(url, peer)
    options = CallOptions(
        codec=codec_of(name, codec),
        from_number=from_number,
        to_number=to_number,
        key=key_from(key_env),
        signed_url=signed_url,
        tls=_certificate(url),
    )
    if save is not None:
        check_output(save)
    script = _script(play or [], keys, interrupt, after, pause, wait, options.codec.rate)
    if not quiet:
        print_status(f"Calling {without_secrets(url)} as {name}, with {options.codec.name}.")
    made = anyio.run(make_call, kind.dial, url, options, script, cancel_on_signal)
    if save is not None:
        _save(save, made, stereo=stereo)
    turns, expected = _timings(made), len(script.recordings) + bool(keys) + bool(interrupt)
    print(_as_json(made, turns) if as_json else "\n".join(_report(made, turns)))
    if save is not None and not quiet:
        print_status(f"What was heard is in {save}.")
    if len(turns) < expected and not (made.hung_up or made.record.problems):
        sys.exit(INTERRUPTED)
    answered = [turn for turn in turns if turn.first_sound is not None]
    if len(answered) < expected or made.record.problems:
        raise typer.Exit(1)


def _certificate(url: str) -> "ssl.SSLContext | None":
    """Return what trusts our own server, if a WebSocket is opened there with TLS."""
    is_secure = url.startswith("wss://")
    return own_certificate(configuration().config, url.replace("wss", "https", 1)) if is_secure else None


def _script(
    play: Sequence[str],
    keys: str,
    interrupt: str | None,
    after: float,
    pause: float,
    wait: float,
    rate: int,
) -> "Script":
    from vivavoce.client.telephone.caller import Script
    from vivavoce.client.telephone.peer import keys_in

    try:
        pressed = "".join(keys_in(keys))
    except ValueError as error:
        raise ConfigError(
            f"{str(error)!r} is no key of a telephone; there are 0 to 9, * and #, and A to D."
        ) from None
    if interrupt is not None and not (play or keys):
        raise ConfigError("There is no answer to interrupt; add --play question.wav")
    return Script(
        recordings=[_recording(one, rate) for one in play],
        keys=pressed,
        interruption=_recording(interrupt, rate) if interrupt else None,
        after=after,
        pause=pause,
        answer_seconds=wait,
    )


def _recording(path: str, rate: int) -> "Recording":
    from vivavoce.audio.audible import speech_in
    from vivavoce.client.telephone.caller import Recording

    audio = read_recording(path, LONGEST_SECONDS, rate)
    if speech_in(audio, rate) == (0.0, 0.0):
        raise ConfigError(f"Nobody can be heard in {path}.")
    return Recording(Path(path).name, audio)


def _timings(made: "OutgoingCall") -> "list[TurnTimings]":
    from vivavoce.client.telephone.timings import turns

    return turns(made.said, made.record.queue)


def _report(made: "OutgoingCall", timings: "Sequence[TurnTimings]") -> Iterator[str]:
    """Yield the lines of a report: what was said, the timings, and what was wrong."""
    for role, text in made.record.transcripts:
        yield f"{'You:' if role == 'user' else 'Answer:':<8} {text}"
    if made.record.transcripts:
        yield ""
    rows = [HEAD, *map(_row, timings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
    queue = made.record.queue
    yield ""
    yield f"The call lasted {made.seconds:.1f} s{', and the server ended it' if made.hung_up else ''}."
    yield f"Audio came up to {queue.lead:.2f} s ahead of what was played."
    if queue.lost:
        yield f"{queue.lost:.2f} s of audio were lost, as more came than this peer queues."
    if made.lag > LAG_SECONDS:
        yield f"This machine was up to {made.lag:.2f} s late, so the timings are worse than they were."
    for problem, count in made.record.problems.items():
        yield f"Problem: {problem}" + (f" ({count} times)" if count > 1 else "")


def _row(turn: "TurnTimings") -> tuple[str, ...]:
    def seconds(value: float | None, otherwise: str) -> str:
        return otherwise if value is None else f"{value:.2f} s"

    holes = f"{len(turn.holes)}, {sum(hole.seconds for hole in turn.holes):.2f} s" if turn.holes else "none"
    quiet = seconds(turn.quiet, "never") if turn.said.interrupts else ""
    return turn.said.what, seconds(turn.first_sound, "no answer"), f"{turn.answer:.1f} s", holes, quiet


def _as_json(made: "OutgoingCall", timings: "Sequence[TurnTimings]") -> str:
    import msgspec

    found = {
        "seconds": made.seconds,
        "turns": timings,
        "lead": made.record.queue.lead,
        "lost": made.record.queue.lost,
        "lag": made.lag,
        "transcripts": [one._asdict() for one in made.record.transcripts],
        "problems": made.record.problems,
        "hung_up": made.hung_up,
    }

    def rounded(value: object) -> object:
        if isinstance(value, dict):
            return {key: rounded(one) for key, one in value.items()}
        if isinstance(value, list):
            return [rounded(one) for one in value]
        return round(value, 3) if isinstance(value, float) else value

    return msgspec.json.format(msgspec.json.encode(rounded(msgspec.to_builtins(found))).decode())


def _save(path: Path, made: "OutgoingCall", *, stereo: bool) -> None:
    """Write a WAV: what was heard, or with `stereo` the caller left and what was heard right."""
    import numpy as np

    from vivavoce.audio.encode import wav_header

    sound, channels = made.heard, 1
    if stereo:
        spoken = bytes(made.spoken[: len(sound)]).ljust(len(sound), b"\0")
        both = [np.frombuffer(one, "<i2") for one in (spoken, sound)]
        sound, channels = np.stack(both, axis=1).tobytes(), 2
    try:
        path.write_bytes(wav_header(made.codec.rate, channels, len(sound)) + sound)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
