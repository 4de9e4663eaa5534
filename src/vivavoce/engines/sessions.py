"""What engines have in common: how conversations begin, for another server too, and errors about them."""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import error_event
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import (
    AnySession,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
    input_settings,
)
from vivavoce.protocol.settings import DEFAULT, DEFAULT_TRANSCRIPTION, apply_update, merge, without_voice

_SET_BY_SERVER = ("id", "object", "expires_at", "model", "temperature")
"""Fields that only the server sets. Clients send the model that they assume with every update."""

_RARELY_SUPPORTED = ("parallel_tool_calls", "reasoning", "prompt", "truncation", "tracing")


def initial_session(ours: Session, requested: AnySession | None, *, tools: int) -> AnySession:
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
    settings = input_settings(session)
    settings = replace(settings, transcription=settings.transcription or TranscriptionSettings())
    audio = TranscriptionAudio(input=settings)
    own = replace(DEFAULT_TRANSCRIPTION, id=session.id, expires_at=session.expires_at, audio=audio)
    return update_transcription(own, update)


def update_transcription(session: TranscriptionSession, update: TranscriptionSession) -> TranscriptionSession:
    """Return the session as `update` makes it; what concerns responses is left out of it."""
    merged = merge(session, update)
    settings = input_settings(merged)
    if turns := settings.turn_detection:
        turns = replace(turns, create_response=UNSET, interrupt_response=UNSET)
        if isinstance(turns, ServerVad):
            turns = replace(turns, idle_timeout_ms=UNSET)
        settings = replace(settings, turn_detection=turns)
    return replace(merged, audio=TranscriptionAudio(input=settings))


# another server's sessions


def updated(session: AnySession, update: AnySession) -> AnySession:
    """Return the session after an update that the server has accepted."""
    if isinstance(session, Session):
        return apply_update(session, update) if isinstance(update, Session) else update
    return apply_update(session, update) if isinstance(update, TranscriptionSession) else update


def without_rare_defaults(session: AnySession) -> AnySession:
    """Return a complete session for a new connection, without defaults that few servers support."""
    defaults = [name for name in _RARELY_SUPPORTED if getattr(session, name, UNSET) == getattr(DEFAULT, name)]
    return replace(session, **dict.fromkeys(defaults, UNSET))


def for_server(event: e.ClientEvent, transcriber: str = "") -> e.ClientEvent:
    """Return a client event as a server accepts it: an update without what only the server sets.

    `transcriber` is the server's transcription model, unless the client names one.
    """
    if not isinstance(event, e.SessionUpdate):
        return event
    session: AnySession = event.session
    session = replace(session, **{name: UNSET for name in _SET_BY_SERVER if hasattr(session, name)})
    audio: SessionAudio | TranscriptionAudio | UnsetType = session.audio
    settings = audio.input if audio else UNSET
    if transcriber and audio and settings and settings.transcription and not settings.transcription.model:
        settings = replace(settings, transcription=replace(settings.transcription, model=transcriber))
        session = replace(session, audio=replace(audio, input=settings))
    return replace(event, session=session)


def for_cascade(event: e.ClientEvent) -> e.ClientEvent:
    """Return a client event without the voice, since another synthesizer has other voices."""
    match for_server(event):
        case e.SessionUpdate(session=Session() as session) as update:
            return replace(update, session=without_voice(session))
        case e.ResponseCreate(response=ResponseParams() as params) as create:
            return replace(create, response=without_voice(params))
        case other:
            return other


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
