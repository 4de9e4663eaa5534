"""`viva ask`: asks one recorded question, and measures the spoken answer."""

import os
import sys
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.cli.assistants import AssistantPlace, load_assistant
from vivavoce.cli.common import (
    Chat,
    File,
    KeyVariable,
    Local,
    Preset,
    Quiet,
    configuration,
    connection_error,
    key_from,
    open_conversation,
    server_for,
)
from vivavoce.cli.progress import print_status
from vivavoce.errors import LANGUAGE_NOT_SUPPORTED, ConfigError, ProviderError

if TYPE_CHECKING:
    from vivavoce.protocol.events import Event
    from vivavoce.session.line import Line

STANDARD_INPUT = "-"
BYTES_PER_SECOND = OUTPUT_RATE * 2
STAGES = ("heard", "transcribed", "first word", "first sound", "done")
TRANSCRIBER = "gpt-4o-mini-transcribe"
"""for servers with several models; vivavoce accepts any name"""


def ask(
    recording: Annotated[str, typer.Argument(help="A recording of any format; - reads standard input.")],
    assistant: AssistantPlace = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the answer here, as WAV.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Ask this server; else ours if it runs here, else load the models.")
    ] = None,
    key_env: KeyVariable = None,
    config: File = None,
    preset: Preset = None,
    chat: Chat = None,
    local: Local = False,
    quiet: Quiet = False,
) -> None:
    """Ask a recorded question, and print its transcript, the answer, and how long it took."""
    import anyio

    loaded = configuration(file=config, preset=preset, chat=chat).config
    if output is not None:
        check_output(output)
    limits = loaded.limits
    audio = read_recording(recording, min(limits.input_buffer_seconds, limits.upload_seconds))
    who, key = load_assistant(assistant, url=url), key_from(key_env)

    local = local or any(option is not None for option in (assistant, preset, chat, config))

    async def converse() -> Answer:
        at, with_key = await server_for(loaded, url, key, local=local, quiet=quiet)
        async with open_conversation(
            loaded, "file", assistant=who, url=at, key=with_key, quiet=quiet, in_real_time=False
        ) as line:
            return await _ask(line, audio, _name(recording))

    answer = anyio.run(converse)
    print(_report(answer, audio))
    if output is not None:
        _write(output, answer.audio)
        if not quiet:
            print_status(f"The answer is in {output}.")


@dataclass
class Answer:
    """The answer to a question. `times` are seconds since the question was sent, by stage.

    `calls` are the tool calls in progress: until they have ended, the answer is not complete.
    """

    question: str | None = None
    words: str = ""
    audio: bytes = b""
    times: dict[str, float] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)

    def apply(self, event: "Event", at: float) -> None:
        """Process an event, `at` seconds after the question. Raises `ProviderError` if it reports a failure."""
        from vivavoce.protocol import events as e
        from vivavoce.protocol.items import FunctionCall, FunctionCallOutput
        from vivavoce.protocol.responses import Failed, Response

        match event:
            case e.TranscriptionCompleted(transcript=transcript):
                self.question = transcript
                self.times["transcribed"] = at
            case e.TranscriptionFailed(error=error) if error.code == LANGUAGE_NOT_SUPPORTED:
                self.question = f"({error.message})"  # the answer says so too
            case e.TranscriptionFailed(error=error):
                raise ProviderError("transcriber", error.message)
            case e.ResponseOutputAudioTranscriptDelta(delta=words) | e.ResponseOutputTextDelta(delta=words):
                self.words += words
                self.times.setdefault("first word", at)
            case e.ResponseOutputAudioDelta(delta=audio):
                self.audio += audio
                self.times.setdefault("first sound", at)
            case e.ResponseOutputItemDone(item=FunctionCall(call_id=call_id)):
                self.calls.add(call_id or "")
            case e.ConversationItemAdded(item=FunctionCallOutput(call_id=call_id)):
                self.calls.discard(call_id or "")
            case e.ResponseCreated() if self.words:
                self.words += " "
            case e.ResponseDone(response=Response(status_details=Failed(error=error))):
                raise ProviderError("server", str(error.message or error.type))
            case e.ResponseDone(response=response):
                if not (self.calls or any(isinstance(item, FunctionCall) for item in response.output)):
                    self.times["done"] = at
            case e.ErrorEvent(error=problem):
                raise ProviderError("server", problem.message)


def read_recording(recording: str, max_seconds: float, rate: int = OUTPUT_RATE) -> bytes:
    """Return a recording as PCM at `rate` Hz. Raises `ConfigError` if it is invalid or too long."""
    from vivavoce.audio.decode import NotAudio, TooLong, decode

    name, data = _name(recording), _read(recording)
    if not data:
        raise ConfigError(f"{name} is empty.")
    try:
        audio = decode(data, rate=rate, max_seconds=max_seconds)
    except NotAudio as error:
        raise ConfigError(f"{name} is no recording: {error}.") from error
    except TooLong as error:
        raise ConfigError(f"{name} is too long: at most {max_seconds:g} seconds.") from error
    except ImportError as error:
        raise ConfigError("Reading recordings needs PyAV; write: pip install 'vivavoce[local]'") from error
    if not audio:
        raise ConfigError(f"{name} has no sound.")
    return audio


def _name(recording: str) -> str:
    return "standard input" if recording == STANDARD_INPUT else recording


def _read(recording: str) -> bytes:
    if recording == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(recording).read_bytes()
    except OSError as error:
        known = {FileNotFoundError: "there is no such file", IsADirectoryError: "it is a folder"}
        reason = known.get(type(error), error.strerror)
        raise ConfigError(f"{recording} cannot be read: {reason}.") from error


async def _ask(line: "Line", audio: bytes, name: str) -> Answer:
    """Send the question, and return the answer. Raises `ConfigError` if the recording contains no speech."""
    import anyio

    from vivavoce.session.line import HungUp

    answer = Answer()
    try:
        await _send(line, audio)
        sent = anyio.current_time()
        async for event in line:
            answer.apply(event, anyio.current_time() - sent)
            if answer.question is not None and not answer.question.strip():
                raise ConfigError(f"There is no speech in {name}.")
            if "done" in answer.times:
                return answer
    except HungUp as error:
        raise _left(line) from error
    raise _left(line)


def _left(line: "Line") -> ProviderError:
    return connection_error(line) or ProviderError("server", "hung up before it had answered")


async def _send(line: "Line", audio: bytes) -> None:
    """Send all audio at once, commit it, and request a response."""
    from vivavoce.protocol import events as e
    from vivavoce.protocol.session import InputSettings, Session, SessionAudio, TranscriptionSettings

    settings = InputSettings(turn_detection=None, transcription=TranscriptionSettings(model=TRANSCRIBER))
    await line.send(e.SessionUpdate(session=Session(audio=SessionAudio(input=settings))))
    for at in range(0, len(audio), BYTES_PER_SECOND):
        await line.send(e.InputAudioBufferAppend(audio=audio[at : at + BYTES_PER_SECOND]))
    await line.send(e.InputAudioBufferCommit())
    await line.send(e.ResponseCreate())


def _report(answer: Answer, question: bytes) -> str:
    question_text = (answer.question or "(no transcript)").strip()
    lines = [f"You:     {question_text}", f"Answer:  {answer.words.strip()}", ""]
    times = {"heard": 0.0, **answer.times}
    notes = {"heard": _length(question), "done": _length(answer.audio)}
    lines += [
        f"  {stage:<12} {times[stage]:5.2f} s  {notes.get(stage, '')}" for stage in STAGES if stage in times
    ]
    return "\n".join(line.rstrip() for line in lines)


def _length(audio: bytes) -> str:
    return f"{len(audio) / BYTES_PER_SECOND:.1f} s of audio"


def check_output(path: Path) -> None:
    """Raise `ConfigError` if a file cannot be written there, before anything is asked."""
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {folder}; write: mkdir -p {folder}")
    if path.is_dir():
        raise ConfigError(f"{path} cannot be written: it is a folder; name a file in it.")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(f"{path} cannot be written: you have no permission; name another place.")


def _write(path: Path, audio: bytes) -> None:
    try:
        with path.open("wb") as file, wave.open(file) as recording:
            recording.setparams((1, 2, OUTPUT_RATE, 0, "NONE", ""))
            recording.writeframes(audio)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
