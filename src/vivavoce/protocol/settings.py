"""The settings of a session: their defaults, and how a client's update changes them.

Absent fields are unchanged, null switches off, empty values clear. An update is validated before it is applied.
"""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import (
    AnySession,
    InputSettings,
    NoiseReduction,
    OutputSettings,
    Pcm,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
)
from vivavoce.protocol.tools import TOOLS, check_choice, check_tools
from vivavoce.protocol.validation import invalid

_SERVER_VAD = ServerVad(
    threshold=0.5,
    prefix_padding_ms=300,
    silence_duration_ms=500,
    idle_timeout_ms=None,
    create_response=True,
    interrupt_response=True,
)
_SEMANTIC_VAD = SemanticVad(eagerness="auto", create_response=True, interrupt_response=True)
_NOISE_REDUCTION = NoiseReduction(type="near_field", strength=1.0)
_INITIAL: dict[type[Struct], Struct] = {
    type(one): one for one in (_SERVER_VAD, _SEMANTIC_VAD, _NOISE_REDUCTION)
}
"""the initial value of a setting that is switched on, or changes its type"""

_INPUT = InputSettings(format=Pcm(), turn_detection=_SERVER_VAD, transcription=None, noise_reduction=None)

DEFAULT = Session(
    object="realtime.session",
    output_modalities=("audio",),
    instructions="",
    audio=SessionAudio(input=_INPUT, output=OutputSettings(format=Pcm(), speed=1.0)),
    tools=(),
    tool_choice="auto",
    max_output_tokens="inf",
    parallel_tool_calls=True,
    reasoning=None,
    prompt=None,
    truncation="auto",
    tracing=None,
    include=None,
)
"""A session with all defaults, before its client has changed anything.

The engine chooses the voice; the transport sets `id` and `model`.
"""

DEFAULT_TRANSCRIPTION = TranscriptionSession(
    object="realtime.transcription_session", audio=TranscriptionAudio(input=_INPUT), include=None
)
"""The same for a session that only transcribes."""

_RANGES = {
    "audio.input.turn_detection.threshold": (0, 1),
    "audio.input.turn_detection.prefix_padding_ms": (0, 60_000),
    "audio.input.turn_detection.silence_duration_ms": (0, 60_000),
    "audio.input.turn_detection.idle_timeout_ms": (5000, 30_000),
    "audio.input.noise_reduction.strength": (0, 1),
    "audio.output.speed": (0.25, 1.5),
    "truncation.retention_ratio": (0, 1),
}
"""the minimum and maximum of each number in a session"""

_S = TypeVar("_S", Session, TranscriptionSession)
_WithVoice = TypeVar("_WithVoice", Session, ResponseParams)


def merge(session: _S, update: AnySession, *, tools: int = TOOLS) -> _S:
    """Return the session after `update`.

    Absent fields stay, null switches off, empty values clear. Under `audio` objects are merged field by field,
    unless their type changes; everything else is replaced. `id`, `object`, `expires_at` and `model` do not
    change: Realtime clients send the model that they assume with every update, and the session that is sent
    back names the one that answers.

    Raises `ProtocolError` with the invalid `param`; then nothing has changed. `tools` is the limit on tools.
    """
    if type(update) is not type(session):
        raise invalid("session.type", "a session's type cannot change once it is open.")
    check_session(update, tools=tools)
    merged = apply_update(session, update)
    if isinstance(merged, Session):
        check_choice(merged.tool_choice, merged.tools, "session")
        _check_tracing(session, merged)
    return merged


def apply_update(session: _S, update: AnySession) -> _S:
    """Return the session after an update that has been validated."""
    changed = {
        name: _merged(getattr(session, name), value) if name == "audio" else value
        for name, value in asdict(update).items()
        if value is not UNSET and name not in ("id", "object", "expires_at", "model")
    }
    return replace(session, **changed)


def without_voice(settings: _WithVoice) -> _WithVoice:
    """Return the settings of a session or response without the voice."""
    if not settings.audio or not settings.audio.output:
        return settings
    output = replace(settings.audio.output, voice=UNSET)
    return replace(settings, audio=replace(settings.audio, output=output))


def _check_tracing(before: AnySession, after: Session) -> None:
    """Tracing can be switched on and off; while it is on, its settings cannot change."""
    known = before.tracing if isinstance(before, Session) else None
    if known and after.tracing and after.tracing != known:
        raise invalid("session.tracing", "tracing is on already, and cannot be changed then.")


def _merged(old: object, new: object) -> object:
    """Merge a setting under `audio` into its old value; anything but a struct replaces it."""
    if not isinstance(new, Struct):
        return new
    base = old if type(old) is type(new) else _INITIAL.get(type(new), new)
    changed = {name: _merged(getattr(base, name), one) for name, one in asdict(new).items() if one is not UNSET}
    return replace(base, **changed)


def check_session(session: AnySession, *, tools: int = TOOLS) -> None:
    """Raise a `ProtocolError` for the first value that is out of range. Absent fields are valid."""
    for path, (low, high) in _RANGES.items():
        value: object = session
        for name in path.split("."):
            value = getattr(value, name, UNSET)
        if isinstance(value, int | float) and not low <= value <= high:
            raise invalid(f"session.{path}", f"expected {low:g} to {high:g}, got {value:g}.")
    if isinstance(session, Session):
        _check_modalities(session.output_modalities, "session")
        _check_tokens(session.max_output_tokens, "session")
        check_tools(session.tools, "session", tools)


def check_response(params: ResponseParams, session: Session = DEFAULT, *, tools: int = TOOLS) -> None:
    """Raise a `ProtocolError` for the first value of a `response.create` that is out of range."""
    _check_modalities(params.output_modalities, "response")
    _check_tokens(params.max_output_tokens, "response")
    check_tools(params.tools, "response", tools)
    offered = session.tools if params.tools is UNSET else params.tools
    check_choice(params.tool_choice, offered, "response")
    if params.tool_choice == "required" and not offered:
        raise invalid("response.tool_choice", "there is no tool that could be called.")
    _check_metadata(params.metadata or {})


def _check_modalities(modalities: Iterable[str] | UnsetType, at: str) -> None:
    if modalities is not UNSET and tuple(modalities) not in (("audio",), ("text",)):
        raise invalid(f"{at}.output_modalities", "expected ['audio'] or ['text'].")


def _check_tokens(tokens: int | str | UnsetType, at: str) -> None:
    if isinstance(tokens, int) and not 1 <= tokens <= 4096:
        raise invalid(f"{at}.max_output_tokens", f"expected 1 to 4096 or 'inf', got {tokens}.")


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > 16:
        raise invalid("response.metadata", f"{len(metadata)} pairs; there may be 16.")
    for key, value in metadata.items():
        if len(key) > 64:
            raise invalid("response.metadata", f"the key '{key[:16]}…' has more than 64 characters.")
        if len(value) > 512:
            raise invalid(f"response.metadata.{key}", f"{len(value)} characters; a value may have 512.")
