"""What plays about answers have in common."""

from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.response import ResponseParams
from vivavoce.protocol.session import AudioFormat, OutputSettings, Session, SessionAudio
from vivavoce.protocol.settings import DEFAULT, merge
from vivavoce.testing.stage import Do, Score

STORY = "Once upon a time there was a very long story. It went on and on, and then on and on again. The end."


def spoken_as(format: AudioFormat, **settings: object) -> Session:
    """Our default session with another format of its answers."""
    return merge(DEFAULT, Session(audio=SessionAudio(output=OutputSettings(format=format, **settings))))


def user(text: str, item_id: str = "") -> Message:
    """What a client writes."""
    message = Message(role="user", content=(InputText(text=text),))
    return Message(**{**_fields(message), "id": item_id}) if item_id else message


def _fields(message: Message) -> dict[str, object]:
    return {"role": message.role, "content": message.content}


def ask(at: float, text: str, **params: object) -> list[Do]:
    """Put a typed question, and want an answer."""
    return [
        Do(at, e.ConversationItemCreate(item=user(text))),
        Do(at + 0.02, e.ResponseCreate(response=ResponseParams(**params))),
    ]


def done(score: Score, nth: int = -1) -> e.ResponseDone:
    """The end of the nth answer."""
    return score.of(e.ResponseDone)[nth]


def errors(score: Score) -> list[tuple[str | None, str | None]]:
    """Code and parameter of every error."""
    return [(event.error.code, event.error.param) for event in score.of(e.ErrorEvent)]


def types(score: Score) -> list[str]:
    """The names of all events but the caller's sound, in order."""
    names = [event.__struct_config__.tag for event in score.events]
    return [name for name in names if name != "input_audio_buffer.append"]
