"""What plays about hearing have in common."""

from vivavoce.protocol import events as e
from vivavoce.protocol.session import (
    InputSettings,
    Session,
    SessionAudio,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.stage import Score


def heard_as(**settings: object) -> Session:
    """Our default session with other settings for hearing, and transcripts told."""
    settings = {"transcription": TranscriptionSettings(model="scripted"), **settings}
    return merge(DEFAULT, Session(audio=SessionAudio(input=InputSettings(**settings))))


def written_as(**settings: object) -> TranscriptionSession:
    """What a client says who wants nothing but transcripts."""
    return TranscriptionSession(audio=TranscriptionAudio(input=InputSettings(**settings)))


def errors(score: Score) -> list[tuple[str | None, str | None]]:
    """Code and parameter of every error."""
    return [(event.error.code, event.error.param) for event in score.of(e.ErrorEvent)]


def types(score: Score) -> list[str]:
    """The names of all events but the caller's sound, in order."""
    names = [event.__struct_config__.tag for event in score.events]
    return [name for name in names if name != "input_audio_buffer.append"]


def deltas(score: Score) -> dict[str, str]:
    """What was told of each item before the whole, joined."""
    joined: dict[str, str] = {}
    for event in score.of(e.TranscriptionDelta):
        joined[event.item_id] = joined.get(event.item_id, "") + event.delta
    return joined


def wholes(score: Score) -> dict[str, str]:
    """The whole transcript of each item."""
    return {event.item_id: event.transcript for event in score.of(e.TranscriptionCompleted)}
