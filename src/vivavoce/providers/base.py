"""The contracts of providers, as protocols with one method each.

Input audio is 16-bit little-endian mono PCM at `INPUT_RATE`, output audio the same at `OUTPUT_RATE`. A provider
is shared by many conversations, works off the event loop, raises `ProviderError` when it fails, and stops
working when the calling task is cancelled.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from vivavoce.audio.rates import INPUT_RATE
from vivavoce.protocol.items import Item
from vivavoce.protocol.session import FunctionTool, NoiseReduction, ToolChoice

FRAME_MS = 32
FRAME_BYTES = INPUT_RATE * FRAME_MS // 1000 * 2


class VoiceActivityDetector(Protocol):
    """Detects speech in one conversation; may keep state between frames."""

    def probability(self, frame: bytes) -> float:
        """Return the probability (0 to 1) that a frame of `FRAME_BYTES` is speech, in much less than 1 ms."""
        ...


class VoiceActivityModel(Protocol):
    """A loaded model, which creates a detector for each conversation."""

    def detector(self) -> VoiceActivityDetector: ...


class Denoiser(Protocol):
    """Reduces noise in one conversation; may keep state between calls."""

    def denoise(self, audio: bytes) -> bytes:
        """Return as many bytes as are passed, with less noise and a short delay. Called on the event loop."""
        ...


class DenoisingModel(Protocol):
    """A loaded model, which creates a denoiser for each conversation that requests noise reduction."""

    def denoiser(self, reduction: NoiseReduction) -> Denoiser: ...


class TurnDetector(Protocol):
    async def predict_end_of_turn(self, audio: bytes) -> float:
        """Return the probability (0 to 1) that the turn is over. `audio` is the turn so far, up to a pause."""
        ...


@dataclass(frozen=True)
class TimedWord:
    """A word, and when it is spoken: seconds since the audio began."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Transcript:
    """The words in some audio, empty if there are none; `language` is an ISO 639-1 code, if known.

    `words` has the words with their times, if they were requested. `logprob` is the mean log probability of
    the tokens, if known. A transcriber that notices a language which it does not know raises
    `UnknownLanguageError`.
    """

    text: str
    language: str | None = None
    words: Sequence[TimedWord] = ()
    logprob: float | None = None


class Transcriber(Protocol):
    async def transcribe(
        self, audio: bytes, *, language: str | None = None, prompt: str | None = None
    ) -> Transcript: ...


@runtime_checkable
class LanguageLimited(Protocol):
    """A transcriber or synthesizer that knows only these languages (ISO 639-1). Others know any."""

    @property
    def languages(self) -> Sequence[str]: ...


class LanguageIdentifier(Protocol):
    async def identify(self, audio: bytes) -> Mapping[str, float]:
        """Return the probability of each language (ISO 639-1) that is known, for speech of some seconds."""
        ...


@runtime_checkable
class SupportsPartials(Protocol):
    """A transcriber that may be called repeatedly during speech, because calls are fast and not billed."""

    @property
    def supports_partials(self) -> bool: ...


@dataclass(frozen=True)
class ChatRequest:
    """The conversation so far, and the parameters of the reply.

    `spoken` requests text to be read aloud: short sentences, no markup. `options` are further parameters of
    OpenAI's chat completions, by their names there; only those in `supported_options`. A model that reads a
    long request calls `on_progress` now and then until its first piece, so that its silence is no failure.
    """

    items: Sequence[Item]
    instructions: str = ""
    tools: Sequence[FunctionTool] = ()
    tool_choice: ToolChoice = "auto"
    max_tokens: int | None = None
    spoken: bool = True
    parallel_tool_calls: bool = True
    options: Mapping[str, object] = field(default_factory=dict)
    on_progress: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool by the model; `arguments` is a JSON object as text.

    `id` is set by a model that must recognize the call in a later request; otherwise its id is made up.
    """

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class ChatUsage:
    """The end of a reply: its tokens, and the reason why it ended (as in OpenAI's chat completions).

    `length` means that `max_tokens` was reached, `content_filter` that the model's own filter stopped it.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    finish: Literal["stop", "length", "content_filter"] = "stop"

    def __add__(self, other: "ChatUsage") -> "ChatUsage":
        """Return the sum of both, with the other's `finish`."""
        return ChatUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            other.finish,
        )


class ChatModel(Protocol):
    def reply(self, request: ChatRequest) -> AsyncIterator[str | ToolCall | ChatUsage]:
        """Yield text as it is generated, whole tool calls, and at last the usage. Closing stops the model."""
        ...


@runtime_checkable
class Prefillable(Protocol):
    """A chat model that replies sooner if it has processed the beginning of a request in advance."""

    async def prefill(self, request: ChatRequest) -> None:
        """Read instructions, tools and items into the model's cache, while nobody waits. May be cancelled.

        Called when a session or the conversation has changed, and when the caller begins to speak. It gives way
        to replies, of any conversation, and returns when all is read.
        """
        ...


@runtime_checkable
class SupportsImages(Protocol):
    """A chat model that can accept images. A model without this property accepts none."""

    @property
    def supports_images(self) -> bool: ...


@runtime_checkable
class SupportsOptions(Protocol):
    """A chat model that supports the `ChatRequest.options` with these names. Others support none.

    It raises `ProtocolError` for an option with an unsupported value.

    Or a transcriber: of `prompt`, `temperature` (0 to 1) and `words` (a boolean: `Transcript.words`), its
    `transcribe` takes those as arguments. Others take a `prompt`.
    """

    @property
    def supported_options(self) -> frozenset[str]: ...


@runtime_checkable
class ContextLimited(Protocol):
    """A chat model with a limited context. Others receive the whole conversation."""

    def context_budget(self, request: ChatRequest) -> int:
        """Return how many tokens are left for the items, after the rest of the request and the reply."""
        ...


@runtime_checkable
class Summarizing(Protocol):
    """A chat model whose summary of a long conversation can be relied on. Of others, the user is quoted."""

    @property
    def summarizes(self) -> bool: ...


@dataclass(frozen=True)
class WordTiming:
    """The audio yielded from here on belongs to the text after its first `chars` characters."""

    chars: int


@runtime_checkable
class SpeedLimited(Protocol):
    """A synthesizer with a lowest and a highest speed; it speaks at these where it should beyond them."""

    @property
    def speeds(self) -> tuple[float, float]: ...


class Synthesizer(Protocol):
    def speak(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[bytes | WordTiming]:
        """Yield `text` as speech, in chunks of about 100 ms at most, without silence at its ends.

        A synthesizer that knows the timing of words yields a `WordTiming` before the audio of each.
        """
        ...
