"""Adaptation of client events and sessions to an upstream server. No I/O."""

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vivavoce.engines.sessions import Settings
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import Session, SessionAudio, TranscriptionAudio, TranscriptionSession
from vivavoce.protocol.settings import DEFAULT, apply_update, without_voice

_SET_BY_SERVER = ("id", "object", "expires_at", "model", "temperature")
"""Fields that only the server sets. Clients send the model that they assume with every update."""

_RARELY_SUPPORTED = ("parallel_tool_calls", "reasoning", "prompt", "truncation", "tracing")


def updated(session: Settings, update: Settings) -> Settings:
    """Return the session after an update that the server has accepted."""
    if isinstance(session, Session):
        return apply_update(session, update) if isinstance(update, Session) else update
    return apply_update(session, update) if isinstance(update, TranscriptionSession) else update


def without_rare_defaults(session: Settings) -> Settings:
    """Return a complete session for a new connection, without defaults that few servers support."""
    defaults = [name for name in _RARELY_SUPPORTED if getattr(session, name, UNSET) == getattr(DEFAULT, name)]
    return replace(session, **dict.fromkeys(defaults, UNSET))


def for_server(event: e.ClientEvent, transcriber: str = "") -> e.ClientEvent:
    """Return a client event as a server accepts it: an update without what only the server sets.

    `transcriber` is the server's transcription model, unless the client names one.
    """
    if not isinstance(event, e.SessionUpdate):
        return event
    session: Settings = event.session
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
