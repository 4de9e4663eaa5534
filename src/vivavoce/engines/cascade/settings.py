"""How an answer is to be given and how a caller is to be heard: the session's settings, made definite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from msgspec import UNSET, UnsetType

from vivavoce.engines.cascade.truncation import Truncation
from vivavoce.protocol.responses import ResponseOutput, ResponseParams
from vivavoce.protocol.session import (
    AudioFormat,
    FunctionTool,
    InputSettings,
    McpServerTool,
    NoiseReduction,
    OutputSettings,
    Pcm,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
    VoiceId,
)
from vivavoce.turn_taking import TurnRules

__all__ = ["InputProcessing", "ResponseSettings"]

T = TypeVar("T")

_GLIMPSE_MS = {"minimal": 1000, "low": 1500, "medium": 2000, "high": 3000, "xhigh": 4000}
"""What `transcription.delay` means here: whoever hears more between two transcripts makes fewer mistakes."""


def _or(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if value is UNSET else value


@dataclass(frozen=True)
class ResponseSettings:
    """How one answer is given: the session's way, with what one `response.create` wants otherwise."""

    instructions: str
    modality: Literal["audio", "text"]
    voice: str | None
    speed: float
    format: AudioFormat
    tools: tuple[FunctionTool, ...]
    servers: tuple[McpServerTool, ...]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    truncation: Truncation
    max_output_tokens: int | Literal["inf"]

    @classmethod
    def of(cls, session: Session, params: ResponseParams | None = None) -> "ResponseSettings":
        """Settle every value. `params` wins over `session`, and `session` over our defaults."""
        wish = params or ResponseParams()
        output = _or(_or(session.audio, SessionAudio()).output, OutputSettings())
        wished = (wish.audio.output if wish.audio else UNSET) or ResponseOutput()
        voice = wished.voice or output.voice or ""
        modalities = _or(wish.output_modalities, _or(session.output_modalities, ("audio",)))
        tools = _or(wish.tools, _or(session.tools, ()))
        return cls(
            instructions=_or(wish.instructions, _or(session.instructions, "")),
            modality="audio" if "audio" in modalities else "text",
            voice=(voice.id if isinstance(voice, VoiceId) else voice) or None,
            speed=_or(output.speed, 1.0),
            format=wished.format or output.format or Pcm(),
            tools=tuple(tool for tool in tools if isinstance(tool, FunctionTool)),
            servers=tuple(tool for tool in tools if isinstance(tool, McpServerTool)),
            tool_choice=_possible(_or(wish.tool_choice, _or(session.tool_choice, "auto")), tools),
            parallel_tool_calls=_or(wish.parallel_tool_calls, _or(session.parallel_tool_calls, True)),
            truncation=_or(session.truncation, "auto"),
            max_output_tokens=_or(wish.max_output_tokens, _or(session.max_output_tokens, "inf")),
        )


def _possible(choice: ToolChoice, tools: Sequence[Tool]) -> ToolChoice:
    """Leave the choice to the model where the session's tools, of which one was chosen, are not on offer."""
    names = {tool.name for tool in tools if isinstance(tool, FunctionTool)}
    labels = {tool.server_label for tool in tools if isinstance(tool, McpServerTool)}
    match choice:
        case "required" if not tools:
            return "auto"
        case ToolChoiceFunction(name=name) if name not in names:
            return "auto"
        case ToolChoiceMcp(server_label=label) if label not in labels:
            return "auto"
        case _:
            return choice


@dataclass(frozen=True)
class InputProcessing:
    """How the caller is heard. `rules` None means manual turns: the client commits."""

    rules: TurnRules | None
    format: AudioFormat
    prefix_padding_ms: int
    create_response: bool
    interrupt_response: bool
    idle_timeout_ms: int | None
    transcribe: bool
    language: str | None
    prompt: str | None
    noise_reduction: NoiseReduction | None
    glimpse_ms: float
    """how much speech there is between two partial transcripts"""

    @classmethod
    def of(cls, session: Session | TranscriptionSession) -> "InputProcessing":
        """Settle every value. Who only writes down answers nobody, and interrupts nobody."""
        audio: SessionAudio | TranscriptionAudio = session.audio or SessionAudio()
        settings = audio.input or InputSettings()
        answers = isinstance(session, Session)
        turns = _or(settings.turn_detection, ServerVad())
        words = _or(settings.transcription, None)
        server = turns if isinstance(turns, ServerVad) else ServerVad()
        return cls(
            rules=_rules(turns),
            format=settings.format or Pcm(),
            prefix_padding_ms=_or(server.prefix_padding_ms, 300),
            create_response=_or(turns.create_response, True) if turns and answers else False,
            interrupt_response=_or(turns.interrupt_response, True) if turns and answers else False,
            idle_timeout_ms=_or(server.idle_timeout_ms, None) if answers else None,
            transcribe=words is not None,
            language=_language(words) if words else None,
            prompt=_prompt(words) if words else None,
            noise_reduction=_or(settings.noise_reduction, None),
            glimpse_ms=_GLIMPSE_MS[(words and words.delay) or "minimal"],
        )


def _language(words: TranscriptionSettings) -> str | None:
    """Return the language that is spoken; where it may be one of several, the transcriber finds out."""
    if words.language:
        return words.language
    return words.languages[0] if words.languages and len(words.languages) == 1 else None


def _prompt(words: TranscriptionSettings) -> str | None:
    """Return what the transcriber is told beforehand: the client's sentence, and the words to expect."""
    return " ".join([words.prompt or "", ", ".join(words.keywords or ())]).strip() or None


def _rules(turns: ServerVad | SemanticVad | None) -> TurnRules | None:
    match turns:
        case None:
            return None
        case ServerVad(threshold=threshold, silence_duration_ms=silence):
            return TurnRules(threshold=_or(threshold, 0.5), silence_ms=_or(silence, 500))
        case SemanticVad(eagerness=eagerness):
            return TurnRules(eagerness=eagerness if eagerness and eagerness != "auto" else "medium")
