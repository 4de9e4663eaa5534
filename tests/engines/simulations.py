"""Sessions, steps and readings that simulations of conversations share."""

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


def with_input(**settings: object) -> Session:
    """The default session with other input settings."""
    return merge(DEFAULT, Session(audio=SessionAudio(input=InputSettings(**settings))))


TRANSCRIBED = with_input(transcription=TranscriptionSettings(model="scripted"))
QUICK = with_input(turn_detection=ServerVad(silence_duration_ms=200))
MANUAL = with_input(turn_detection=None)


def with_output(format: AudioFormat, **settings: object) -> Session:
    """The default session with another output format."""
    return merge(DEFAULT, Session(audio=SessionAudio(output=OutputSettings(format=format, **settings))))


def user(text: str, item_id: str = "") -> Message:
    """A message that a client writes."""
    return Message(id=item_id or UNSET, role="user", content=(InputText(text=text),))


def truncated(item_id: str, ms: int, part: int = 0) -> e.ConversationItemTruncate:
    """The truncation by a client that has played so much."""
    return e.ConversationItemTruncate(item_id=item_id, content_index=part, audio_end_ms=ms)


def ask(at: float, text: str, **params: object) -> list[ClientSends]:
    """Create a text message, and ask for a response."""
    return [
        ClientSends(at, e.ConversationItemCreate(item=user(text))),
        ClientSends(at + 0.02, e.ResponseCreate(response=ResponseParams(**params))),
    ]


def done(timeline: Timeline, nth: int = -1) -> e.ResponseDone:
    """The nth `response.done`."""
    return timeline.of(e.ResponseDone)[nth]


def error(timeline: Timeline) -> e.ErrorDetails:
    """The only error."""
    (event,) = timeline.of(e.ErrorEvent)
    return event.error


def errors(timeline: Timeline) -> list[tuple[str | None, str | None]]:
    """Code and parameter of every error."""
    return [(event.error.code, event.error.param) for event in timeline.of(e.ErrorEvent)]


def types(timeline: Timeline) -> list[str]:
    """The types of all events but the caller's audio, in order."""
    names = [event.__struct_config__.tag for event in timeline.events]
    return [name for name in names if name != "input_audio_buffer.append"]


def messages(simulation: Simulation) -> list[object]:
    """The chat model's last request: the first part of each message."""
    return [item.content[0] for item in simulation.chat.requests[-1].items if isinstance(item, Message)]
