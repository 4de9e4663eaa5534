"""The session: the settings of a conversation (Realtime GA, `session`).

The same types are used for the client's partial update and the server's complete session. A field that is
absent (`UNSET`) is unchanged, `None` switches a feature off, and an empty value clears a setting.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field


class Pcm(Struct, tag_field="type", tag="audio/pcm", frozen=True, kw_only=True):
    """16-bit little-endian mono at 24 kHz."""

    rate: Literal[24000] = 24000


class Pcmu(Struct, tag_field="type", tag="audio/pcmu", frozen=True, kw_only=True):
    """G.711 µ-law at 8 kHz."""


class Pcma(Struct, tag_field="type", tag="audio/pcma", frozen=True, kw_only=True):
    """G.711 A-law at 8 kHz."""


AudioFormat = Pcm | Pcmu | Pcma


InterruptResponse = bool | Literal["words"]
"""`words`, which only vivavoce knows: only words that were understood interrupt"""


class ServerVad(Struct, tag_field="type", tag="server_vad", frozen=True, kw_only=True):
    """A turn ends after a fixed silence. Times are milliseconds of audio."""

    threshold: float | UnsetType = UNSET
    prefix_padding_ms: int | UnsetType = UNSET
    silence_duration_ms: int | UnsetType = UNSET
    idle_timeout_ms: int | UnsetType | None = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: InterruptResponse | UnsetType = UNSET


class SemanticVad(Struct, tag_field="type", tag="semantic_vad", frozen=True, kw_only=True):
    """A turn ends when the speaker seems to have finished, judged by sound and words."""

    eagerness: Literal["auto", "low", "medium", "high"] | UnsetType = UNSET
    create_response: bool | UnsetType = UNSET
    interrupt_response: InterruptResponse | UnsetType = UNSET


TurnDetection = ServerVad | SemanticVad


class TranscriptionSettings(Struct, frozen=True, kw_only=True):
    model: str | UnsetType = UNSET
    language: str | UnsetType | None = UNSET
    languages: tuple[str, ...] | UnsetType | None = UNSET
    prompt: str | UnsetType | None = UNSET
    keywords: tuple[str, ...] | UnsetType | None = UNSET
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | UnsetType | None = UNSET


class NoiseReduction(Struct, frozen=True, kw_only=True):
    type: Literal["near_field", "far_field"]
    strength: float | UnsetType = UNSET


class VoiceId(Struct, frozen=True, kw_only=True):
    id: str


class InputSettings(Struct, frozen=True, kw_only=True):
    format: AudioFormat | UnsetType = UNSET
    turn_detection: TurnDetection | UnsetType | None = UNSET
    transcription: TranscriptionSettings | UnsetType | None = UNSET
    noise_reduction: NoiseReduction | UnsetType | None = UNSET


class OutputSettings(Struct, frozen=True, kw_only=True):
    format: AudioFormat | UnsetType = UNSET
    voice: str | VoiceId | UnsetType = UNSET
    speed: float | UnsetType = UNSET


class SessionAudio(Struct, frozen=True, kw_only=True):
    input: InputSettings | UnsetType = UNSET
    output: OutputSettings | UnsetType = UNSET


class FunctionTool(Struct, tag_field="type", tag="function", frozen=True, kw_only=True):
    """A tool of the client; `parameters` is a JSON Schema."""

    name: str
    description: str | UnsetType = UNSET
    parameters: dict[str, object] | UnsetType = UNSET


class McpToolFilter(Struct, frozen=True, kw_only=True):
    tool_names: tuple[str, ...] | UnsetType = UNSET
    read_only: bool | UnsetType = UNSET


class McpApproval(Struct, frozen=True, kw_only=True):
    always: McpToolFilter | UnsetType = UNSET
    never: McpToolFilter | UnsetType = UNSET


class McpServerTool(Struct, tag_field="type", tag="mcp", frozen=True, kw_only=True):
    server_label: str
    server_url: str | UnsetType = UNSET
    server_description: str | UnsetType = UNSET
    connector_id: str | UnsetType = UNSET
    authorization: str | UnsetType = UNSET
    headers: dict[str, str] | UnsetType | None = UNSET
    allowed_tools: tuple[str, ...] | McpToolFilter | UnsetType | None = UNSET
    require_approval: Literal["always", "never"] | McpApproval | UnsetType | None = UNSET
    defer_loading: bool | UnsetType = UNSET
    tunnel_id: str | UnsetType = UNSET
    allowed_callers: tuple[Literal["direct", "programmatic"], ...] | UnsetType | None = UNSET


Tool = FunctionTool | McpServerTool


class ToolChoiceFunction(Struct, tag_field="type", tag="function", frozen=True, kw_only=True):
    name: str


class ToolChoiceMcp(Struct, tag_field="type", tag="mcp", frozen=True, kw_only=True):
    server_label: str
    name: str | UnsetType | None = UNSET


ToolChoice = Literal["auto", "none", "required"] | ToolChoiceFunction | ToolChoiceMcp


class Tracing(Struct, frozen=True, kw_only=True):
    workflow_name: str | UnsetType = UNSET
    group_id: str | UnsetType = UNSET
    metadata: dict[str, object] | UnsetType = UNSET


class TokenLimits(Struct, frozen=True, kw_only=True):
    post_instructions: int | UnsetType = UNSET


class RetentionRatio(Struct, tag_field="type", tag="retention_ratio", frozen=True, kw_only=True):
    retention_ratio: float
    token_limits: TokenLimits | UnsetType = UNSET


class PromptReference(Struct, frozen=True, kw_only=True):
    id: str
    version: str | UnsetType | None = UNSET
    variables: dict[str, object] | UnsetType | None = UNSET


class Reasoning(Struct, frozen=True, kw_only=True):
    effort: str | UnsetType | None = UNSET


class AnswerSettings(Struct, frozen=True, kw_only=True):
    """How the model answers: settings of a session, which the parameters of a response can override."""

    output_modalities: tuple[Literal["text", "audio"], ...] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    tools: tuple[Tool, ...] | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    max_output_tokens: int | Literal["inf"] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    prompt: PromptReference | UnsetType | None = UNSET


class Session(AnswerSettings, tag_field="type", tag="realtime", frozen=True, kw_only=True):
    """A conversation in speech or text. `id`, `object` and `expires_at` are set by the server."""

    id: str | UnsetType = UNSET
    object: Literal["realtime.session"] | UnsetType = UNSET
    expires_at: int | UnsetType = UNSET
    model: str | UnsetType = UNSET
    audio: SessionAudio | UnsetType = UNSET
    truncation: Literal["auto", "disabled"] | RetentionRatio | UnsetType = UNSET
    tracing: Literal["auto"] | Tracing | UnsetType | None = UNSET
    include: tuple[Literal["item.input_audio_transcription.logprobs"], ...] | UnsetType | None = UNSET
    temperature: float | UnsetType = field(default=UNSET, name="_temperature")
    """only in the beta, where it is sent back; it has no effect here"""


class TranscriptionAudio(Struct, frozen=True, kw_only=True):
    input: InputSettings | UnsetType = UNSET


class TranscriptionSession(Struct, tag_field="type", tag="transcription", frozen=True, kw_only=True):
    """A session that only transcribes, without responses."""

    id: str | UnsetType = UNSET
    object: Literal["realtime.transcription_session"] | UnsetType = UNSET
    expires_at: int | UnsetType = UNSET
    audio: TranscriptionAudio | UnsetType = UNSET
    include: tuple[Literal["item.input_audio_transcription.logprobs"], ...] | UnsetType | None = UNSET


AnySession = Session | TranscriptionSession


def input_settings(session: AnySession | None) -> InputSettings:
    """Return a session's settings of its input; where it has none, all of them are absent."""
    audio = session.audio if session else UNSET
    return (audio.input if audio else UNSET) or InputSettings()


def output_settings(session: AnySession | None) -> OutputSettings:
    """Return what a session sets of its output; nothing for a session that only transcribes."""
    audio = session.audio if isinstance(session, Session) else UNSET
    return (audio.output or OutputSettings()) if audio else OutputSettings()
