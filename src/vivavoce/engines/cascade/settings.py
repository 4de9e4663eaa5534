"""The settings of responses and input audio: the session's, with defaults filled in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from msgspec import UNSET, UnsetType

from vivavoce.engines.cascade.truncation import Truncation
from vivavoce.protocol.responses import ResponseOutput, ResponseParams
from vivavoce.protocol.session import (
    AnySession,
    AudioFormat,
    FunctionTool,
    McpServerTool,
    NoiseReduction,
    Pcm,
    SemanticVad,
    ServerVad,
    Session,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
    TranscriptionSettings,
    VoiceId,
    input_settings,
    output_settings,
)
from vivavoce.turn_taking import TurnRules

T = TypeVar("T")

_PARTIAL_INTERVAL_MS = {"minimal": 1000, "low": 1500, "medium": 2000, "high": 3000, "xhigh": 4000}
"""The values of `transcription.delay`: longer intervals between partial transcripts have fewer mistakes."""


def _or(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if value is UNSET else value


@dataclass(frozen=True)
class ResponseSettings:
    """The settings of one response: those of its `response.create`, else those of the session."""

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
        """Fill in all values: `params` override `session`, and `session` overrides the defaults."""
        params = params or ResponseParams()
        output = output_settings(session)
        own_output = (params.audio.output if params.audio else UNSET) or ResponseOutput()
        voice = own_output.voice or output.voice or ""
        modalities = _or(params.output_modalities, _or(session.output_modalities, ("audio",)))
        tools = _or(params.tools, _or(session.tools, ()))
        return cls(
            instructions=_or(params.instructions, _or(session.instructions, "")),
            modality="audio" if "audio" in modalities else "text",
            voice=(voice.id if isinstance(voice, VoiceId) else voice) or None,
            speed=_or(output.speed, 1.0),
            format=own_output.format or output.format or Pcm(),
            tools=tuple(tool for tool in tools if isinstance(tool, FunctionTool)),
            servers=tuple(tool for tool in tools if isinstance(tool, McpServerTool)),
            tool_choice=_available_choice(_or(params.tool_choice, _or(session.tool_choice, "auto")), tools),
            parallel_tool_calls=_or(params.parallel_tool_calls, _or(session.parallel_tool_calls, True)),
            truncation=_or(session.truncation, "auto"),
            max_output_tokens=_or(params.max_output_tokens, _or(session.max_output_tokens, "inf")),
        )


def _available_choice(choice: ToolChoice, tools: Sequence[Tool]) -> ToolChoice:
    """Return the tool choice, or `auto` if the chosen tool is not among this response's tools."""
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
    """The settings for input audio. `rules` is None in manual turns, which the client commits."""

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
    partial_interval_ms: float
    """milliseconds of speech between two partial transcripts"""

    @classmethod
    def of(cls, session: AnySession) -> "InputProcessing":
        """Fill in all values. A transcription session neither responds nor interrupts."""
        settings = input_settings(session)
        responds = isinstance(session, Session)
        turns = _or(settings.turn_detection, ServerVad())
        transcription = _or(settings.transcription, None)
        server = turns if isinstance(turns, ServerVad) else ServerVad()
        return cls(
            rules=_rules(turns),
            format=settings.format or Pcm(),
            prefix_padding_ms=_or(server.prefix_padding_ms, 300),
            create_response=_or(turns.create_response, True) if turns and responds else False,
            interrupt_response=bool(_or(turns.interrupt_response, True)) if turns and responds else False,
            idle_timeout_ms=_or(server.idle_timeout_ms, None) if responds else None,
            transcribe=transcription is not None,
            language=_language(transcription) if transcription else None,
            prompt=_prompt(transcription) if transcription else None,
            noise_reduction=_or(settings.noise_reduction, None),
            partial_interval_ms=_PARTIAL_INTERVAL_MS[(transcription and transcription.delay) or "minimal"],
        )


def _language(settings: TranscriptionSettings) -> str | None:
    """Return the spoken language; None if there are several candidates, so that the transcriber detects it."""
    if settings.language:
        return settings.language
    return settings.languages[0] if settings.languages and len(settings.languages) == 1 else None


def _prompt(settings: TranscriptionSettings) -> str | None:
    """Return the transcriber's prompt: the client's prompt and keywords."""
    return " ".join([settings.prompt or "", ", ".join(settings.keywords or ())]).strip() or None


def _rules(turns: ServerVad | SemanticVad | None) -> TurnRules | None:
    match turns:
        case None:
            return None
        case ServerVad(threshold=threshold, silence_duration_ms=silence):
            rules = TurnRules(threshold=_or(threshold, 0.5), silence_ms=_or(silence, 500))
        case SemanticVad(eagerness=eagerness):
            rules = TurnRules(eagerness=eagerness if eagerness and eagerness != "auto" else "medium")
    return replace(rules, only_words_interrupt=turns.interrupt_response == "words")
