"""Adaptation of the session's settings to an upstream server. No I/O."""

from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from vivavoce.engines.transcription_session import create_transcription
from vivavoce.protocol import events as e
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import (
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
)
from vivavoce.protocol.settings import DEFAULT, apply_update, merge

Settings = Session | TranscriptionSession

_SET_BY_SERVER = ("id", "object", "expires_at", "model", "temperature")
"""Fields that only the server sets. Clients send the model that they assume with every update."""

_RARELY_SUPPORTED = ("parallel_tool_calls", "reasoning", "prompt", "truncation", "tracing")


def initial_session(ours: Session, requested: Settings | None, *, tools: int) -> Settings:
    """Return the initial session of a conversation: ours, with the client's requested settings.

    Raises `ProtocolError` if the request is invalid.
    """
    if isinstance(requested, TranscriptionSession):
        return create_transcription(ours, requested)
    return merge(ours, requested, tools=tools) if requested else ours


def updated(session: Settings, update: Settings) -> Settings:
    """Return the session after an update that the server has accepted."""
    if isinstance(session, Session) and isinstance(update, Session):
        return apply_update(session, update)
    if isinstance(session, TranscriptionSession) and isinstance(update, TranscriptionSession):
        return apply_update(session, update)
    return update


@dataclass(frozen=True)
class SessionDialect:
    """Adapts sessions to a server. `transcriber` is its transcription model, unless the client names one."""

    transcriber: str = ""

    def whole(self, session: Settings) -> Settings:
        """Return a complete session for a new connection, without defaults that few servers support."""
        defaults = [
            name for name in _RARELY_SUPPORTED if getattr(session, name, UNSET) == getattr(DEFAULT, name)
        ]
        return self.update(replace(session, **dict.fromkeys(defaults, UNSET)))

    def update(self, session: Settings) -> Settings:
        """Return a client's update in the form for the server."""
        session = replace(session, **{name: UNSET for name in _SET_BY_SERVER if hasattr(session, name)})
        settings = session.audio.input if session.audio else UNSET
        if not self.transcriber or not settings or not settings.transcription or settings.transcription.model:
            return session
        settings = replace(settings, transcription=replace(settings.transcription, model=self.transcriber))
        if isinstance(session, TranscriptionSession):
            return replace(session, audio=TranscriptionAudio(input=settings))
        return replace(session, audio=replace(session.audio or SessionAudio(), input=settings))


def voiceless(session: Session) -> Session:
    """Return a session without the voice."""
    if not session.audio or not session.audio.output:
        return session
    output = replace(session.audio.output, voice=UNSET)
    return replace(session, audio=replace(session.audio, output=output))


def without_voice(event: e.ClientEvent) -> e.ClientEvent:
    """Return a client event without the voice, since another synthesizer has other voices."""
    match event:
        case e.SessionUpdate(session=Session() as session):
            return replace(event, session=voiceless(session))
        case e.ResponseCreate(response=ResponseParams(audio=audio) as params) if audio and audio.output:
            audio = replace(audio, output=replace(audio.output, voice=UNSET))
            return replace(event, response=replace(params, audio=audio))
        case _:
            return event
