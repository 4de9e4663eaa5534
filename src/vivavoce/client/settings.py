"""The settings of a session, by their names in the protocol or by shorter flat names."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vivavoce.protocol.beta.tables import FORMATS, SESSION, FieldMapping, to_ga
from vivavoce.protocol.codec import read_session
from vivavoce.protocol.session import AnySession, Session
from vivavoce.protocol.validation import invalid

Json = dict[str, Any]


def _format(value: object, _: str) -> object:
    return {"type": FORMATS.get(value, value)} if isinstance(value, str) else value


def _modalities(value: object, _: str) -> object:
    wanted = [value] if isinstance(value, str) else value
    return ["audio"] if isinstance(wanted, list | tuple) and "audio" in wanted else wanted


def _as(field: str) -> Callable[[object, str], object]:
    """Return a conversion of a text into an object with only this field."""
    return lambda value, _: {field: value} if isinstance(value, str) else value


_PLAIN = tuple(name for name in Session.__struct_fields__ if name not in ("id", "object", "expires_at"))
_OWN: Mapping[str, FieldMapping] = {
    "input_format": FieldMapping("audio.input.format", _format),
    "output_format": FieldMapping("audio.output.format", _format),
    "modalities": FieldMapping("output_modalities", _modalities),
    "turn_detection": FieldMapping("audio.input.turn_detection", _as("type")),
    "transcription": FieldMapping("audio.input.transcription", _as("model")),
    "noise_reduction": FieldMapping("audio.input.noise_reduction", _as("type")),
}
_SAME = {
    "input_audio_format": "input_format",
    "output_audio_format": "output_format",
    "output_modalities": "modalities",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
}
SETTINGS: Mapping[str, FieldMapping] = {
    "type": FieldMapping("type"),
    **{name: FieldMapping(name) for name in _PLAIN},
    **{name: SESSION[name] for name in ("voice", "speed", "tools", "temperature")},
    "max_response_output_tokens": FieldMapping("max_output_tokens"),
    **_OWN,
    **{name: _OWN[same] for name, same in _SAME.items()},
}
"""The path of each setting in the protocol, and how its value is converted."""


def session_with(settings: Json) -> AnySession:
    """Return a session with these settings; the server chooses the others."""
    return read_session(msgspec.json.encode({"type": "realtime", **settings}))


def updated(settings: Json, update: AnySession) -> Json:
    """Return the settings after an update: `audio` is merged, other settings are replaced."""
    new: Json = msgspec.to_builtins(update)
    audio = _merged(settings.get("audio"), new.get("audio", {}))
    return {**settings, **new, **({"audio": audio} if audio else {})}


def read_settings(session: AnySession | None, settings: Mapping[str, object]) -> AnySession:
    """Return these settings as a session, merged over `session`.

    Raises `ProtocolError` that names the setting which is unknown or has an invalid value.
    """
    try:
        plain: Json = msgspec.to_builtins(dict(settings))
    except TypeError as error:
        raise invalid("session", f"{error}; use add_tool() for a Python function.") from error
    whole_first = sorted(plain.items(), key=lambda one: one[0] != "audio")
    given = to_ga(dict(whole_first), SETTINGS, "session")
    known = msgspec.to_builtins(session) if session else {"type": given.get("type", "realtime")}
    return session_with(_merged(known, given))


def _merged(old: Any, new: Any) -> Any:  # noqa: ANN401 (it is JSON)
    """Merge JSON objects; an object with another `type` replaces the old one instead of being merged."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    if "type" in new and new["type"] != old.get("type", new["type"]):
        return new
    return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
