"""What all engines have in common: the sessions that conversations begin with, and errors about them."""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.session import (
    InputSettings,
    SemanticVad,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
    TurnDetection,
)
from vivavoce.protocol.settings import DEFAULT_TRANSCRIPTION, merge

Settings = Session | TranscriptionSession


def initial_session(ours: Session, requested: Settings | None, *, tools: int) -> Settings:
    """Return the initial session of a conversation: ours, with the client's requested settings.

    Raises `ProtocolError` if the request is invalid.
    """
    if isinstance(requested, TranscriptionSession):
        return create_transcription(ours, requested)
    return merge(ours, requested, tools=tools) if requested else ours


def create_transcription(session: Session, update: TranscriptionSession) -> TranscriptionSession:
    """Return the transcription session of a client that sends `update`, where others get `session`.

    Transcription is on unless the client says otherwise. Raises `ProtocolError` for an invalid update.
    """
    settings = (session.audio or SessionAudio()).input or InputSettings()
    settings = replace(settings, transcription=settings.transcription or TranscriptionSettings())
    audio = TranscriptionAudio(input=settings)
    own = replace(DEFAULT_TRANSCRIPTION, id=session.id, expires_at=session.expires_at, audio=audio)
    return update_transcription(own, update)


def update_transcription(session: TranscriptionSession, update: TranscriptionSession) -> TranscriptionSession:
    """Return the session as `update` makes it; what concerns responses is left out of it."""
    merged = merge(session, update)
    settings = (merged.audio or TranscriptionAudio()).input or InputSettings()
    settings = replace(settings, turn_detection=_without_responses(settings.turn_detection))
    return replace(merged, audio=TranscriptionAudio(input=settings))


def _without_responses(turns: TurnDetection | UnsetType | None) -> TurnDetection | UnsetType | None:
    if isinstance(turns, ServerVad):
        return replace(turns, create_response=UNSET, interrupt_response=UNSET, idle_timeout_ms=UNSET)
    if isinstance(turns, SemanticVad):
        return replace(turns, create_response=UNSET, interrupt_response=UNSET)
    return turns


# errors


def error_for(event: e.Event, error: ProtocolError) -> e.ErrorEvent:
    """Return the `error` about a client event, with the event's id."""
    return error_event(error, event.event_id or None if isinstance(event, e.ClientEvent) else None)


def expired(limits: Limits) -> e.ErrorEvent:
    """Return the `error` that ends a conversation at `limits.conversation_minutes`."""
    minutes = limits.conversation_minutes
    message = f"Your session hit the maximum duration of {minutes:g} minutes (limits.conversation_minutes)."
    return error_event(ProtocolError(message, code="session_expired"))


def too_many_items(limits: Limits) -> ProtocolError:
    """Return the error for an item beyond `limits.items`."""
    message = f"A conversation may have at most {limits.items} items (limits.items); delete some."
    return ProtocolError(message, code="too_many_items", param="item")


def not_a_client_event() -> ProtocolError:
    """Return the error for an event that is not a client event."""
    return ProtocolError("An engine accepts only client events.", code="invalid_event")
