"""What plays have in common."""

from msgspec import UNSET

from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.protocol.session import (
    AudioFormat,
    InputSettings,
    OutputSettings,
    ServerVad,
    Session,
    SessionAudio,
    TranscriptionSettings,
)
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.simulation import ClientSends, Simulation, Timeline

STORY = "Once upon a time there was a very long story. It went on and on, and then on and on again. The end."


def heard_as(**settings: object) -> Session:
    """Our default session with other settings for hearing."""
    return merge(DEFAULT, Session(audio=SessionAudio(input=InputSettings(**settings))))


TRANSCRIBED = heard_as(transcription=TranscriptionSettings(model="scripted"))
QUICK = heard_as(turn_detection=ServerVad(silence_duration_ms=200))
MANUAL = heard_as(turn_detection=None)


def spoken_as(format: AudioFormat, **settings: object) -> Session:
    """Our default session with another format of its answers."""
    return merge(DEFAULT, Session(audio=SessionAudio(output=OutputSettings(format=format, **settings))))


def user(text: str, item_id: str = "") -> Message:
    """What a client writes."""
    return Message(id=item_id or UNSET, role="user", content=(InputText(text=text),))


def truncated(item_id: str, ms: int, part: int = 0) -> e.ConversationItemTruncate:
    """What a client says that has played so much."""
    return e.ConversationItemTruncate(item_id=item_id, content_index=part, audio_end_ms=ms)


def ask(at: float, text: str, **params: object) -> list[ClientSends]:
    """Put a typed question, and want an answer."""
    return [
        ClientSends(at, e.ConversationItemCreate(item=user(text))),
        ClientSends(at + 0.02, e.ResponseCreate(response=ResponseParams(**params))),
    ]


def done(timeline: Timeline, nth: int = -1) -> e.ResponseDone:
    """The end of the nth answer."""
    return timeline.of(e.ResponseDone)[nth]


def error(timeline: Timeline) -> e.ErrorDetails:
    """The only error."""
    (event,) = timeline.of(e.ErrorEvent)
    return event.error


def errors(timeline: Timeline) -> list[tuple[str | None, str | None]]:
    """Code and parameter of every error."""
    return [(event.error.code, event.error.param) for event in timeline.of(e.ErrorEvent)]


def types(timeline: Timeline) -> list[str]:
    """The names of all events but the caller's sound, in order."""
    names = [event.__struct_config__.tag for event in timeline.events]
    return [name for name in names if name != "input_audio_buffer.append"]


def messages(simulation: Simulation) -> list[object]:
    """What the chat model was asked last: the first part of each message."""
    return [item.content[0] for item in simulation.chat.requests[-1].items if isinstance(item, Message)]
