"""`viva ask`: one recorded question, one spoken answer, and the times between."""

import sys
import wave
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.cli.assistants import Who, assistant_at
from vivavoce.cli.calling import key_from, own_line, tell
from vivavoce.cli.options import Chat, File, Preset, configuration
from vivavoce.errors import ConfigError, ProviderError

if TYPE_CHECKING:
    from vivavoce.config.schema import Config
    from vivavoce.protocol.events import Event
    from vivavoce.protocol.responses import Response
    from vivavoce.session.line import Line
    from vivavoce.tools.types import Assistant

__all__ = ["ask", "read_sound"]

STANDARD_INPUT = "-"
BYTES_PER_SECOND = OUTPUT_RATE * 2
STAGES = ("heard", "transcribed", "first word", "first sound", "done")
TRANSCRIBER = "gpt-4o-mini-transcribe"
"""what servers that offer several are asked to understand with; ours has one, under any name"""


def ask(
    recording: Annotated[str, typer.Argument(help="A recording of any format; - reads standard input.")],
    assistant: Who = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the answer here, as WAV.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Ask this server instead of models of our own.")] = None,
    key_env: Annotated[str | None, typer.Option(help="Variable that holds the server's key.")] = None,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
) -> None:
    """Ask a recorded question, and print what was understood, what is answered, and how long it took."""
    import anyio

    loaded = configuration(file=config, preset=preset, chat=chat).config
    sound = read_sound(recording, min(loaded.limits.input_buffer_seconds, loaded.limits.upload_seconds))
    line = _line(loaded, assistant_at(assistant, url=url), url, key_from(key_env))
    answer = anyio.run(_ask, sound, _name(recording), line)
    if output is not None:
        _write(output, answer.sound)
        tell(f"The answer is in {output}.")


@dataclass
class Answer:
    """What came of a question. `times` are seconds since all of it was given, by what happened then.

    `calls` are those of tools that have not answered yet: until they have, there is more to come.
    """

    question: str | None = None
    words: str = ""
    sound: bytes = b""
    times: dict[str, float] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)


def read_sound(recording: str, longest: float) -> bytes:
    """Return a recording as 24 kHz PCM. Raises `ConfigError` if it is none, or longer than so many seconds."""
    from vivavoce.audio.decode import NotAudio, TooLong, decode

    name, data = _name(recording), _read(recording)
    if not data:
        raise ConfigError(f"{name} is empty.")
    try:
        sound = decode(data, rate=OUTPUT_RATE, max_seconds=longest)
    except NotAudio as error:
        raise ConfigError(f"{name} is no recording: {error}.") from error
    except TooLong as error:
        raise ConfigError(f"{name} is too long: at most {longest:g} seconds.") from error
    except ImportError as error:
        raise ConfigError("Reading recordings needs PyAV; write: pip install 'vivavoce[local]'") from error
    if not sound:
        raise ConfigError(f"{name} holds no sound.")
    return sound


def _name(recording: str) -> str:
    return "standard input" if recording == STANDARD_INPUT else recording


def _read(recording: str) -> bytes:
    if recording == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(recording).read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise ConfigError(f"{recording} cannot be read: {reason}.") from error


async def _ask(sound: bytes, name: str, connection: AbstractAsyncContextManager["Line"]) -> Answer:
    async with connection as line:
        answer = await _answer(line, sound, name)
    print(_told(answer, sound))
    return answer


def _line(
    config: "Config", assistant: "Assistant | None", url: str | None, key: str | None
) -> AbstractAsyncContextManager["Line"]:
    if url is not None:
        from vivavoce.connect import connect, endpoint_at

        return connect(endpoint_at(url, key=key))
    from dataclasses import replace

    unpaced = replace(config.limits, audio_ahead_seconds=inf)  # nobody listens yet, so there is no need to wait
    return own_line(config.model_copy(update={"limits": unpaced}), "file", assistant)


async def _answer(line: "Line", sound: bytes, name: str) -> Answer:
    """Put the question and hear the answer. Raises `ConfigError` if nobody speaks in the recording."""
    import anyio

    from vivavoce.session.line import HungUp

    answer = Answer()
    try:
        await _put(line, sound)
        asked = anyio.current_time()
        async for event in line:
            _note(answer, event, anyio.current_time() - asked)
            if answer.question is not None and not answer.question.strip():
                raise ConfigError(f"I heard no speech in {name}.")
            if "done" in answer.times:
                return answer
    except HungUp as error:
        raise _gone(line) from error
    raise _gone(line)


def _gone(line: "Line") -> ProviderError:
    """Return why nobody is on the line any more."""
    from vivavoce.connect import RemoteLine

    lost = line.lost if isinstance(line, RemoteLine) else None
    return lost or ProviderError("server", "left before it had answered")


async def _put(line: "Line", sound: bytes) -> None:
    """Say everything at once, and that it is everything."""
    from vivavoce.protocol import events as e
    from vivavoce.protocol.session import InputSettings, Session, SessionAudio, TranscriptionSettings

    hearing = InputSettings(turn_detection=None, transcription=TranscriptionSettings(model=TRANSCRIBER))
    await line.send(e.SessionUpdate(session=Session(audio=SessionAudio(input=hearing))))
    for at in range(0, len(sound), BYTES_PER_SECOND):
        await line.send(e.InputAudioBufferAppend(audio=sound[at : at + BYTES_PER_SECOND]))
    await line.send(e.InputAudioBufferCommit())
    await line.send(e.ResponseCreate())


def _note(answer: Answer, event: "Event", at: float) -> None:
    """Take in an event, `at` seconds after the question."""
    from vivavoce.protocol import events as e
    from vivavoce.protocol.items import FunctionCall, FunctionCallOutput

    match event:
        case e.TranscriptionCompleted(transcript=transcript):
            answer.question = transcript
            answer.times["transcribed"] = at
        case e.TranscriptionFailed(error=error):
            raise ProviderError("transcriber", error.message)
        case e.ResponseOutputAudioTranscriptDelta(delta=words) | e.ResponseOutputTextDelta(delta=words):
            answer.words += words
            answer.times.setdefault("first word", at)
        case e.ResponseOutputAudioDelta(delta=sound):
            answer.sound += sound
            answer.times.setdefault("first sound", at)
        case e.ResponseOutputItemDone(item=FunctionCall(call_id=call_id)):
            answer.calls.add(call_id or "")
        case e.ConversationItemAdded(item=FunctionCallOutput(call_id=call_id)):
            answer.calls.discard(call_id or "")
        case e.ResponseCreated() if answer.words:
            answer.words += " "
        case e.ResponseDone(response=response):
            _insist(response)
            if not (answer.calls or any(isinstance(item, FunctionCall) for item in response.output)):
                answer.times["done"] = at
        case e.ErrorEvent(error=problem):
            raise ProviderError("server", problem.message)
        case _:
            pass


def _insist(response: "Response") -> None:
    """An answer that failed is no answer."""
    from vivavoce.protocol.responses import Failed

    match response.status_details:
        case Failed(error=error):
            raise ProviderError("server", str(error.message or error.type))
        case _:
            pass


def _told(answer: Answer, question: bytes) -> str:
    """Lay out what was said, and a small table of when."""
    lines = [f"You:     {(answer.question or '(not told)').strip()}", f"Answer:  {answer.words.strip()}", ""]
    times = {"heard": 0.0, **answer.times}
    notes = dict.fromkeys(STAGES, "")
    notes |= {"heard": _length(question), "done": _length(answer.sound)}
    lines += [f"  {stage:<12} {times[stage]:5.2f} s  {notes[stage]}" for stage in STAGES if stage in times]
    return "\n".join(line.rstrip() for line in lines)


def _length(sound: bytes) -> str:
    return f"{len(sound) / BYTES_PER_SECOND:.1f} s of sound"


def _write(path: Path, sound: bytes) -> None:
    try:
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, OUTPUT_RATE, 0, "NONE", ""))
            file.writeframes(sound)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
