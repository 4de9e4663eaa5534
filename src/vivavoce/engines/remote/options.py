"""How a conversation is to be held, as it is said to a server far away. Pure."""

from dataclasses import dataclass

from msgspec import UNSET, UnsetType
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
from vivavoce.protocol.settings import DEFAULT, lay, merge

__all__ = ["SessionDialect", "Settings", "laid", "voiceless", "whole", "without_voice"]

Settings = Session | TranscriptionSession

_ITS_OWN: dict[str, UnsetType] = dict.fromkeys(("id", "object", "expires_at", "model", "temperature"), UNSET)
"""What only the server sets. Clients send their own idea of the model with every update."""

_RARE = ("parallel_tool_calls", "reasoning", "prompt", "truncation", "tracing")


def whole(house: Session, wish: Settings | None, *, tools: int) -> Settings:
    """Return how a conversation begins: as the house holds it, but for what its caller wishes.

    Raises `ProtocolError` for what the wish has wrong.
    """
    if isinstance(wish, TranscriptionSession):
        return create_transcription(house, wish)
    return merge(house, wish, tools=tools) if wish else house


def laid(session: Settings, update: Settings) -> Settings:
    """Return the session as the far end has made it by this update."""
    if isinstance(session, Session) and isinstance(update, Session):
        return lay(session, update)
    if isinstance(session, TranscriptionSession) and isinstance(update, TranscriptionSession):
        return lay(session, update)
    return update


@dataclass(frozen=True)
class SessionDialect:
    """How sessions are said to a server. `transcriber` is its model that writes down, unless one is named."""

    transcriber: str = ""

    def introduction(self, session: Settings) -> Settings:
        """Say a whole session to a server that knows none yet, without what few know and nobody has chosen."""
        usual = [name for name in _RARE if getattr(session, name, UNSET) == getattr(DEFAULT, name)]
        return self.update(replace(session, **dict.fromkeys(usual, UNSET)))

    def update(self, session: Settings) -> Settings:
        """Say what a client wants to change."""
        own = {name: value for name, value in _ITS_OWN.items() if hasattr(session, name)}
        session = replace(session, **own)
        hears = session.audio.input if session.audio else UNSET
        if not self.transcriber or not hears or not hears.transcription or hears.transcription.model:
            return session
        writes = replace(hears.transcription, model=self.transcriber)
        hears = replace(hears, transcription=writes)
        if isinstance(session, TranscriptionSession):
            return replace(session, audio=TranscriptionAudio(input=hears))
        return replace(session, audio=replace(session.audio or SessionAudio(), input=hears))


def voiceless(session: Session) -> Session:
    """Return a session without the name of a voice."""
    if not session.audio or not session.audio.output:
        return session
    output = replace(session.audio.output, voice=UNSET)
    return replace(session, audio=replace(session.audio, output=output))


def without_voice(event: e.ClientEvent) -> e.ClientEvent:
    """Return what a client says without the name of a voice, which another synthesizer does not know."""
    match event:
        case e.SessionUpdate(session=Session() as session):
            return replace(event, session=voiceless(session))
        case e.ResponseCreate(response=ResponseParams() as wish) if wish.audio and wish.audio.output:
            wanted = replace(wish.audio, output=replace(wish.audio.output, voice=UNSET))
            return replace(event, response=replace(wish, audio=wanted))
        case _:
            return event
