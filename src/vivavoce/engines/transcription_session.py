"""Sessions that only write down (`type: transcription`): how they begin and how they change."""

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

__all__ = ["begun", "changed", "no_answers"]


def begun(session: Session, wish: TranscriptionSession) -> TranscriptionSession:
    """Return the session that a client who wants nothing but transcripts gets where others get `session`.

    Transcription is on unless the client says otherwise. Raises `ProtocolError` for what the wish has wrong.
    """
    hears = (session.audio or SessionAudio()).input or InputSettings()
    hears = replace(hears, transcription=hears.transcription or TranscriptionSettings())
    audio = TranscriptionAudio(input=hears)
    own = replace(DEFAULT_TRANSCRIPTION, id=session.id, expires_at=session.expires_at, audio=audio)
    return changed(own, wish)


def changed(session: TranscriptionSession, update: TranscriptionSession) -> TranscriptionSession:
    """Return the session as `update` makes it; what concerns answers is left out of it."""
    merged = merge(session, update)
    hears = (merged.audio or TranscriptionAudio()).input or InputSettings()
    hears = replace(hears, turn_detection=_without_answers(hears.turn_detection))
    return replace(merged, audio=TranscriptionAudio(input=hears))


def _without_answers(turns: TurnDetection | UnsetType | None) -> TurnDetection | UnsetType | None:
    if isinstance(turns, ServerVad):
        return replace(turns, create_response=UNSET, interrupt_response=UNSET, idle_timeout_ms=UNSET)
    if isinstance(turns, SemanticVad):
        return replace(turns, create_response=UNSET, interrupt_response=UNSET)
    return turns


def no_answers() -> ProtocolError:
    """Make the error for a client who wants an answer here."""
    return ProtocolError(
        "This session only writes down what is said (its type is 'transcription'). "
        'For answers connect anew, and let session.update say "type": "realtime".',
        code="invalid_value",
        param="type",
    )
