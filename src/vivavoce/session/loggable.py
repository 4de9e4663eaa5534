"""Events as they are logged: without audio, long strings and secrets."""

import msgspec

from vivavoce.protocol import events as e
from vivavoce.protocol.tools import event_without_secrets

_LONG = 2000
"""characters of one string that are logged; the data URL of an image can have millions"""


def loggable(event: e.Event) -> dict[str, object]:
    """Return an event as JSON values: audio is its number of bytes, long strings are cut, secrets left out."""
    match event:
        case e.InputAudioBufferAppend(audio=sound):
            return {"type": "input_audio_buffer.append", "audio": len(sound)}
        case e.ResponseOutputAudioDelta(delta=sound):
            return {"type": "response.output_audio.delta", "item_id": event.item_id, "delta": len(sound)}
        case _:
            plain: dict[str, object] = msgspec.to_builtins(event_without_secrets(event), builtin_types=(bytes,))
            return {name: _shortened(value) for name, value in plain.items()}


def loggable_json(event: e.Event) -> str:
    """Return the same as JSON; for most events, of which nothing is left out, that is a tenth of the work."""
    if not isinstance(event, e.InputAudioBufferAppend | e.ResponseOutputAudioDelta):
        plain = msgspec.json.encode(event_without_secrets(event))
        if len(plain) <= _LONG and b'"audio":"' not in plain:
            return plain.decode()
    return msgspec.json.encode(loggable(event)).decode()


def _shortened(value: object) -> object:
    match value:
        case bytes():
            return len(value)
        case str() if len(value) > _LONG:
            return value[:_LONG] + "…"
        case dict():
            return {name: _shortened(one) for name, one in value.items()}
        case list() | tuple():
            return [_shortened(one) for one in value]
        case _:
            return value
