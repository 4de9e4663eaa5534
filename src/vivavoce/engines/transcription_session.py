"""Transcription sessions (`type: transcription`): how they are created and updated."""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
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


def no_responses() -> ProtocolError:
    """Make the error for a client that wants a response here."""
    return ProtocolError(
        "This session only transcribes (its type is 'transcription'). "
        'For responses connect anew, and send session.update with "type": "realtime".',
        code="invalid_value",
        param="type",
    )
