"""Measures whether the chat model calls the right tool with the right arguments, and how soon.

It is asked directly, one request after another, as an assistant with tools would ask it. Requests that come by
voice are spoken by the synthesizer, in a quiet room, and transcribed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import anyio
import msgspec

from vivavoce.assistants.team import Team, system_prompt
from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import resample
from vivavoce.errors import ConfigError
from vivavoce.protocol.items import InputText, Item, Message, OutputText
from vivavoce.providers.base import (
    ChatModel,
    ChatRequest,
    ChatUsage,
    Prefillable,
    Synthesizer,
    ToolCall,
    Transcriber,
)
from vivavoce.providers.qwen.tool_picker.arguments import ASKING
from vivavoce.text.comparison import normalize
from vivavoce.text.normalization import speakable
from vivavoce.tools.types import Assistant

ARTICLES = frozenset({"a", "an", "the", "my", "our", "your"})

Plain = str | int | float | bool


class Within(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of which all of `has` must be there, and none but those of `of`."""

    has: str
    of: str


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A caller's request (`says`), and the expected tool and arguments; without them, no call is expected yet.

    `earlier` are the turns before it, the caller's first. What is `held_out` is not for tuning; what is
    `spoken` comes by voice.
    """

    says: str
    tool: str | None = None
    arguments: Mapping[str, Plain | Within] | None = None
    earlier: Sequence[str] = ()
    held_out: bool = False
    spoken: bool = False

    def items(self, text: str) -> Sequence[Item]:
        """Return the conversation that ends in this text, as a chat model is given it."""
        turns = [*self.earlier, text]
        return [
            Message(role="assistant", content=(OutputText(text=turn),))
            if number % 2
            else Message(role="user", content=(InputText(text=turn),))
            for number, turn in enumerate(turns)
        ]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request: tuple[Request, ...]


def requests_in(file: Path) -> Sequence[Request]:
    """Read a TOML file of `[[request]]` tables. Raises `ConfigError`."""
    try:
        found = msgspec.toml.decode(file.read_bytes(), type=_File).request
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{file} cannot be read as requests: {error}.") from error
    if odd := next((request for request in found if len(request.earlier) % 2), None):
        raise ConfigError(f"{file}: `earlier` of {odd.says!r} must end with the assistant's turn.")
    return found


def is_right(request: Request, call: ToolCall | None, answer: str = "") -> bool:
    """Return whether this is what should have come: the call, a question for what it lacks, or just words."""
    if request.tool is None:
        return call is None and not answer.startswith(ASKING)
    if request.arguments is None:
        return call is None and "?" in answer
    if call is None or call.name != request.tool:
        return False
    given = msgspec.json.decode(call.arguments, type=dict[str, object])
    stated = {name: value for name, value in given.items() if value not in (None, "")}
    return stated.keys() <= request.arguments.keys() and all(
        matches(wanted, stated.get(name, "")) for name, wanted in request.arguments.items()
    )


def matches(wanted: Plain | Within, given: object) -> bool:
    """Return whether an argument is the one that was wanted."""
    if isinstance(wanted, Within):
        words = set(_words(str(given)))
        return set(_words(wanted.has)) <= words <= set(_words(wanted.of))
    if not isinstance(wanted, str):
        return wanted == given
    if wanted.isdecimal():
        return re.sub(r"[\s-]", "", str(given)) == wanted
    if "@" in wanted:
        return str(given).strip().lower() == wanted.lower()
    return _words(wanted) == _words(str(given))


def _words(text: str) -> list[str]:
    return [word for word in normalize(text) if word not in ARTICLES]


@dataclass(frozen=True)
class Tried:
    """The result of a request, with its transcript: a call or words, and the time and tokens.

    `seconds` passed until the call, or the first word.
    """

    request: Request
    transcript: str
    call: ToolCall | None
    words: str
    seconds: float
    usage: ChatUsage | None

    @property
    def right(self) -> bool:
        """Whether that is what should have come."""
        return is_right(self.request, self.call, self.words)

    @property
    def asks(self) -> bool:
        """Whether it asks for an argument that is missing."""
        return self.call is None and self.words.startswith(ASKING)


async def run(
    assistant: Assistant,
    requests: Sequence[Request],
    chat: ChatModel,
    synthesizer: Synthesizer,
    transcriber: Transcriber,
    *,
    on_status: Callable[[str], None],
) -> Sequence[Tried]:
    """Put every request to the model. Raises `ProviderError`."""
    tools = tuple(tool.definition for tool in Team(assistant).tools_of(assistant))
    base = ChatRequest(items=(), instructions=system_prompt(assistant), tools=tools)
    if isinstance(chat, Prefillable):
        await chat.prefill(base)
    found = []
    for number, request in enumerate(requests, start=1):
        on_status(f"Request {number} of {len(requests)}: {request.says}")
        transcript = request.says
        if request.spoken:
            transcript = await _speak_and_transcribe(request.says, synthesizer, transcriber)
        found.append(await _try(chat, base, request, transcript))
    return found


async def _speak_and_transcribe(text: str, synthesizer: Synthesizer, transcriber: Transcriber) -> str:
    """Return the transcript of a text that is spoken."""
    chunks = [chunk async for chunk in synthesizer.speak(speakable(text)) if isinstance(chunk, bytes)]
    quiet = bytes(OUTPUT_RATE // 2)
    audio = resample(quiet + b"".join(chunks) + quiet, OUTPUT_RATE, INPUT_RATE)
    return (await transcriber.transcribe(audio, language="en")).text


async def _try(chat: ChatModel, base: ChatRequest, request: Request, transcript: str) -> Tried:
    began, seconds = anyio.current_time(), None
    call, words, usage = None, "", None
    reply = chat.reply(ChatRequest(request.items(transcript), base.instructions, base.tools))
    async with aclosing(reply) as pieces:  # type: ignore[type-var]  # every provider's reply is a generator
        async for piece in pieces:
            seconds = seconds or anyio.current_time() - began
            match piece:
                case str():
                    words += piece
                case ToolCall():
                    call = call or piece
                case ChatUsage():
                    usage = piece
    return Tried(request, transcript, call, words, seconds or 0.0, usage)
