"""How an answer is to be given and how a caller is to be heard: the session's settings, made definite."""

from dataclasses import dataclass
from typing import Literal, TypeVar

from msgspec import UNSET, UnsetType

from vivavoce.floor import TurnRules
from vivavoce.protocol.response import ResponseOutput, ResponseParams
from vivavoce.protocol.session import (
    AudioFormat,
    FunctionTool,
    InputSettings,
    OutputSettings,
    Pcm,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    ToolChoice,
    VoiceId,
)

__all__ = ["Hearing", "Manner"]

T = TypeVar("T")


def _or(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if value is UNSET else value


@dataclass(frozen=True)
class Manner:
    """How one answer is given: the session's way, with what one `response.create` wants otherwise."""

    instructions: str
    modality: Literal["audio", "text"]
    voice: str | None
    speed: float
    format: AudioFormat
    tools: tuple[FunctionTool, ...]
    tool_choice: ToolChoice
    max_output_tokens: int | Literal["inf"]

    @classmethod
    def of(cls, session: Session, params: ResponseParams | None = None) -> "Manner":
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
            tool_choice=_or(wish.tool_choice, _or(session.tool_choice, "auto")),
            max_output_tokens=_or(wish.max_output_tokens, _or(session.max_output_tokens, "inf")),
        )


@dataclass(frozen=True)
class Hearing:
    """How the caller is heard. `rules` None means manual turns: the client commits."""

    rules: TurnRules | None
    prefix_padding_ms: int
    create_response: bool
    interrupt_response: bool
    idle_timeout_ms: int | None
    transcribe: bool
    language: str | None
    prompt: str | None

    @classmethod
    def of(cls, session: Session) -> "Hearing":
        """Settle every value."""
        settings = _or(_or(session.audio, SessionAudio()).input, InputSettings())
        turns = _or(settings.turn_detection, ServerVad())
        words = _or(settings.transcription, None)
        server = turns if isinstance(turns, ServerVad) else ServerVad()
        return cls(
            rules=_rules(turns),
            prefix_padding_ms=_or(server.prefix_padding_ms, 300),
            create_response=_or(turns.create_response, True) if turns else False,
            interrupt_response=_or(turns.interrupt_response, True) if turns else False,
            idle_timeout_ms=_or(server.idle_timeout_ms, None),
            transcribe=words is not None,
            language=_or(words.language, None) if words else None,
            prompt=_or(words.prompt, None) if words else None,
        )


def _rules(turns: ServerVad | SemanticVad | None) -> TurnRules | None:
    match turns:
        case None:
            return None
        case ServerVad(threshold=threshold, silence_duration_ms=silence):
            return TurnRules(threshold=_or(threshold, 0.5), silence_ms=_or(silence, 500))
        case SemanticVad(eagerness=eagerness):
            return TurnRules(eagerness=eagerness if eagerness and eagerness != "auto" else "medium")
