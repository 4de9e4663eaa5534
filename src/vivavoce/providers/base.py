"""The contracts of providers: one question each, no base classes.

Input audio is 16-bit little-endian mono PCM at `INPUT_RATE`, output audio the same at `OUTPUT_RATE`. Every
provider may be shared by many conversations at once, does its heavy work off the event loop, raises
`ProviderError` when it cannot answer, and stops working when the task that asked it is cancelled.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.protocol.items import Item
from vivavoce.protocol.session import FunctionTool, NoiseReduction, ToolChoice

FRAME_MS = 32
FRAME_BYTES = INPUT_RATE * FRAME_MS // 1000 * 2


class VoiceActivityDetector(Protocol):
    """Belongs to one conversation; keeps what it needs between frames."""

    def probability(self, frame: bytes) -> float:
        """Return how likely (0 to 1) this frame of `FRAME_BYTES` is speech. Takes well under a millisecond."""
        ...


class VoiceActivityModel(Protocol):
    """A loaded model, from which every conversation gets a detector of its own."""

    def detector(self) -> VoiceActivityDetector: ...


class Denoiser(Protocol):
    """Belongs to one conversation; keeps what it needs between frames."""

    def denoise(self, audio: bytes) -> bytes:
        """Return as much audio as is passed, with less noise in it and a little late. Takes little time."""
        ...


class DenoisingModel(Protocol):
    """A loaded model, from which every conversation that asks for it gets a denoiser of its own."""

    def denoiser(self, reduction: NoiseReduction) -> Denoiser: ...


class TurnDetector(Protocol):
    async def predict_end_of_turn(self, audio: bytes) -> float:
        """Return how likely (0 to 1) the caller has finished. `audio` is the turn so far, up to a pause."""
        ...


@dataclass(frozen=True)
class Transcript:
    """The words of some audio, empty if there are none; `language` is an ISO 639-1 code where it is known."""

    text: str
    language: str | None = None


class Transcriber(Protocol):
    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript: ...


@runtime_checkable
class SupportsPartials(Protocol):
    """A transcriber that may be asked for partial transcripts during speech: it does not charge for each."""

    @property
    def supports_partials(self) -> bool: ...


@dataclass(frozen=True)
class ChatRequest:
    """A conversation so far, and how it is to be answered.

    `spoken` asks for text that is read aloud: short sentences, no markup. `options` are further parameters of
    OpenAI's chat completions, by their names there: only those that the model supports.
    """

    items: Sequence[Item]
    instructions: str = ""
    tools: Sequence[FunctionTool] = ()
    tool_choice: ToolChoice = "auto"
    max_tokens: int | None = None
    spoken: bool = True
    parallel_tool_calls: bool = True
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolCall:
    """The model calls a tool; `arguments` is a JSON object as text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class ChatUsage:
    """The end of a reply: its cost in the model's tokens, and why it ended.

    `length` means that `max_tokens` was reached, `content_filter` that the model's own filter ended it.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    finish: Literal["stop", "length", "content_filter"] = "stop"

    def __add__(self, other: "ChatUsage") -> "ChatUsage":
        """Return the cost of both; it ended as the other did."""
        return ChatUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            other.finish,
        )


class ChatModel(Protocol):
    def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Answer: text as it comes, whole tool calls, at last the usage. Closing it stops the model."""
        ...


@runtime_checkable
class Prefillable(Protocol):
    """A chat model that answers sooner if it has read the beginning of a request before the request comes."""

    async def prefill(self, request: ChatRequest) -> None:
        """Read a conversation's instructions, tools and items into the model's cache. Can be cancelled.

        Called with items while the caller speaks, where the session has tools.
        """
        ...


@runtime_checkable
class SupportsImages(Protocol):
    """A chat model that may accept images. One without this property accepts none."""

    @property
    def supports_images(self) -> bool: ...


@runtime_checkable
class SupportsOptions(Protocol):
    """A chat model that follows `ChatRequest.options` of these names. Others follow none.

    It raises `ProtocolError` for an option whose value it cannot follow.
    """

    @property
    def supported_options(self) -> frozenset[str]: ...


@runtime_checkable
class ContextLimited(Protocol):
    """A chat model with a limited context. Others are asked with the whole conversation."""

    def context_budget(self, request: ChatRequest) -> int:
        """Return how many tokens the items may have, beside the rest of the request and the reply."""
        ...


@dataclass(frozen=True)
class WordTiming:
    """The audio yielded from here on belongs to the text after its first `chars` characters."""

    chars: int


class Synthesizer(Protocol):
    def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        """Yield `text` as speech in chunks of at most 100 ms or so, without silence before or after it.

        A synthesizer that knows the timing of words yields a `WordTiming` before the audio of each.
        """
        ...
