"""What plays about hearing have in common."""

from engines.plays import heard_as
from vivavoce.protocol import events as e
from vivavoce.protocol.session import (
    InputSettings,
    Session,
    TranscriptionAudio,
    TranscriptionSession,
    TranscriptionSettings,
)
from vivavoce.testing.simulation import Timeline


def told_as(**settings: object) -> Session:
    """Our default session with other settings for hearing, and transcripts told."""
    return heard_as(**{"transcription": TranscriptionSettings(model="scripted"), **settings})


def written_as(**settings: object) -> TranscriptionSession:
    """What a client says who wants nothing but transcripts."""
    return TranscriptionSession(audio=TranscriptionAudio(input=InputSettings(**settings)))


def deltas(timeline: Timeline) -> dict[str, str]:
    """What was told of each item before the whole, joined."""
    joined: dict[str, str] = {}
    for event in timeline.of(e.TranscriptionDelta):
        joined[event.item_id] = joined.get(event.item_id, "") + event.delta
    return joined


def wholes(timeline: Timeline) -> dict[str, str]:
    """The whole transcript of each item."""
    return {event.item_id: event.transcript for event in timeline.of(e.TranscriptionCompleted)}
