"""Sessions and readings that simulations of transcription share."""

from engines.simulations import with_input
from vivavoce.protocol import events as e
from vivavoce.protocol.session import (
    InputSettings,
    Session,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.testing.simulation import Timeline


def transcribed(**settings: object) -> Session:
    """The default session with transcription on, and other input settings."""
    return with_input(**{"transcription": TranscriptionSettings(model="scripted"), **settings})


def transcribing(**settings: object) -> TranscriptionSession:
    """A transcription session with these input settings."""
    return TranscriptionSession(audio=TranscriptionAudio(input=InputSettings(**settings)))


def deltas(timeline: Timeline) -> dict[str, str]:
    """The deltas of each item, joined."""
    joined: dict[str, str] = {}
    for event in timeline.of(e.TranscriptionDelta):
        joined[event.item_id] = joined.get(event.item_id, "") + event.delta
    return joined


def transcripts(timeline: Timeline) -> dict[str, str]:
    """The final transcript of each item."""
    return {event.item_id: event.transcript for event in timeline.of(e.TranscriptionCompleted)}
