"""What we ask of the world: one question each, no base classes.

Sound for hearing is 16-bit little-endian mono PCM at `INPUT_RATE`, sound for speaking the same at
`OUTPUT_RATE`. Every provider may be shared by many conversations at once, does its heavy work off the event
loop, raises `ProviderError` when it cannot answer, and stops working when its caller is cancelled.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from vivavoce.protocol.items import Item
from vivavoce.protocol.session import FunctionTool, NoiseReduction, ToolChoice

__all__ = [
    "FRAME_BYTES",
    "FRAME_MS",
    "INPUT_RATE",
    "OUTPUT_RATE",
    "ChatModel",
    "ChatRequest",
    "ChatUsage",
    "ContextLimited",
    "Denoiser",
    "DenoisingModel",
    "Prefillable",
    "SupportsImages",
    "SupportsOptions",
    "SupportsPartials",
    "Synthesizer",
    "ToolCall",
    "Transcriber",
    "Transcript",
    "TurnDetector",
    "VoiceActivityDetector",
    "VoiceActivityModel",
    "WordTiming",
]

INPUT_RATE = 16_000
OUTPUT_RATE = 24_000
FRAME_MS = 32
FRAME_BYTES = INPUT_RATE * FRAME_MS // 1000 * 2


class VoiceActivityDetector(Protocol):
    """Hears one caller; remembers what it needs between frames."""

    def probability(self, frame: bytes) -> float:
        """Say how likely (0 to 1) this frame of `FRAME_BYTES` is speech. Takes well under a millisecond."""
        ...


class VoiceActivityModel(Protocol):
    """One loaded model, from which every conversation gets its own detector."""

    def detector(self) -> VoiceActivityDetector: ...


class Denoiser(Protocol):
    """Hears one caller; remembers what it needs between frames."""

    def clean(self, sound: bytes) -> bytes:
        """Return as much sound as is given, with less noise in it and a little late. Takes little time."""
        ...


class DenoisingModel(Protocol):
    """One loaded model, from which every conversation that wants it gets its own denoiser."""

    def denoiser(self, reduction: NoiseReduction) -> Denoiser: ...


class TurnDetector(Protocol):
    async def is_over(self, audio: bytes) -> float:
        """Say how likely (0 to 1) the caller has finished. `audio` is the turn so far, up to a pause."""
        ...


@dataclass(frozen=True)
class Transcript:
    """What was said; empty if nothing was. `language` is an ISO 639-1 code where the transcriber knows it."""

    text: str
    language: str | None = None


class Transcriber(Protocol):
    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript: ...


@runtime_checkable
class SupportsPartials(Protocol):
    """A transcriber that may be asked in mid-speech, again and again: it is not paid for each."""

    @property
    def live(self) -> bool: ...


@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model: everything said so far, and how to answer it.

    `spoken` asks for words to be said aloud: short sentences, no markup. `wishes` is what else a client has of
    the model, by the names and in the values of OpenAI's chat completions: nothing that it does not heed.
    """

    items: Sequence[Item]
    instructions: str = ""
    tools: Sequence[FunctionTool] = ()
    tool_choice: ToolChoice = "auto"
    max_tokens: int | None = None
    spoken: bool = True
    parallel_tool_calls: bool = True
    wishes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool; `arguments` is a JSON object as text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class ChatUsage:
    """Last of a reply: what it cost in the model's tokens, and what ended it.

    `length` is `max_tokens`; `content_filter` is a filter of the model's, which let no more pass.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    finish: Literal["stop", "length", "content_filter"] = "stop"


class ChatModel(Protocol):
    def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Answer: text as it comes, whole tool calls, at last the usage. Closing it stops the model."""
        ...


@runtime_checkable
class Prefillable(Protocol):
    """A chat model that answers sooner if it has read beforehand what every request will begin with."""

    async def prepare(self, request: ChatRequest) -> None:
        """Read the instructions and tools of a conversation, and what was said in it. Cancelling it stops that.

        With items it is asked while the caller speaks, where the session has tools.
        """
        ...


@runtime_checkable
class SupportsImages(Protocol):
    """A chat model that says whether it can be shown images. Others cannot."""

    @property
    def sees(self) -> bool: ...


@runtime_checkable
class SupportsOptions(Protocol):
    """A chat model that heeds `ChatRequest.wishes`: those of these names. Others heed none.

    It raises `ProtocolError` for one whose value it cannot follow.
    """

    @property
    def heeds(self) -> frozenset[str]: ...


@runtime_checkable
class ContextLimited(Protocol):
    """A chat model that can read only so much at once. Others are asked with the whole conversation."""

    def room(self, request: ChatRequest) -> int:
        """Return how many tokens its items may have, beside everything else that is asked, and the answer."""
        ...


@dataclass(frozen=True)
class WordTiming:
    """Word timing: the sound yielded from here on belongs to the text after its first `chars` characters."""

    chars: int


class Synthesizer(Protocol):
    def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        """Say `text` in chunks of at most some 100 ms, with no silence before the first word or after the last.

        A synthesizer that knows when it says which word yields a `Mark` before the sound of each.
        """
        ...
