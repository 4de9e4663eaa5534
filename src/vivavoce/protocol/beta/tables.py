"""The beta's tables: names of server events, fields of sessions and responses, items and errors.

Each field has its path in GA, and functions that convert its value in both directions.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from msgspec import inspect

from vivavoce.errors import ProtocolError
from vivavoce.protocol.events import ErrorDetails
from vivavoce.protocol.validation import invalid, join_path, unknown, validate

Json = dict[str, Any]

EVENTS: Mapping[str, str | None] = {
    "conversation.item.added": "conversation.item.created",
    "conversation.item.done": None,
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
"""The beta's names of server events; others have the same name, and None is not sent at all."""

FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
PARTS = {"text": "output_text", "audio": "output_audio"}
"""The beta's names of the parts of an assistant's message."""


class FieldMapping(NamedTuple):
    """The path of a field in GA (empty: accepted and ignored), and how its value is read and written."""

    path: str = ""
    read: Callable[[Any, str], object] = lambda value, param: value
    write: Callable[[Any], object] = lambda value: value


_FORMAT = inspect.type_info(Literal["pcm16", "g711_ulaw", "g711_alaw"] | None)
_MODALITIES = inspect.type_info(tuple[Literal["text", "audio"], ...] | None)


def _plain(value: object, kind: inspect.Type, param: str) -> Any:  # noqa: ANN401 (it is JSON)
    return validate(value, kind, param, lambda text, param: None)


def _read_format(value: object, param: str) -> object:
    name = _plain(value, _FORMAT, param)
    return name and {"type": FORMATS[name]}


def _write_format(value: Json) -> str:
    return next(name for name, ga in FORMATS.items() if ga == value["type"])


def _read_modalities(value: object, param: str) -> object:
    wanted = _plain(value, _MODALITIES, param)
    if wanted is None:
        return None
    if sorted(set(wanted)) not in (["audio", "text"], ["audio"], ["text"]):
        raise invalid(param, "expected ['text', 'audio'] or ['text'].")
    return ["audio"] if "audio" in wanted else ["text"]


def _write_modalities(value: list[str]) -> list[str]:
    return ["text", "audio"] if "audio" in value else ["text"]


def _read_turns(value: object, _: str) -> object:
    match value:
        case {"type": "none"}:
            return None
        case dict():
            return {"type": "server_vad", **value}
    return value


def _read_tools(value: object, _: str) -> object:
    if not isinstance(value, list):
        return value
    return [{"type": "function", **tool} if isinstance(tool, dict) else tool for tool in value]


def _read_choice(value: object, _: str) -> object:
    match value:
        case {"type": "function", "function": {"name": name}}:
            return {"type": "function", "name": name}
    return value


def _write_voice(value: str | Json) -> object:
    return value["id"] if isinstance(value, dict) else value


def _same(*names: str) -> dict[str, FieldMapping]:
    return {name: FieldMapping(name) for name in names}


_INPUT = {
    "input_audio_format": FieldMapping("audio.input.format", _read_format, _write_format),
    "input_audio_transcription": FieldMapping("audio.input.transcription"),
    "input_audio_noise_reduction": FieldMapping("audio.input.noise_reduction"),
    "turn_detection": FieldMapping("audio.input.turn_detection", _read_turns),
}
_OUTPUT = {
    "modalities": FieldMapping("output_modalities", _read_modalities, _write_modalities),
    "voice": FieldMapping("audio.output.voice", write=_write_voice),
    "output_audio_format": FieldMapping("audio.output.format", _read_format, _write_format),
    "tools": FieldMapping("tools", _read_tools),
    "tool_choice": FieldMapping("tool_choice", _read_choice),
    "max_response_output_tokens": FieldMapping("max_output_tokens"),
}
_IGNORED = {"type": FieldMapping(), "client_secret": FieldMapping()}

SESSION: Mapping[str, FieldMapping] = {
    **_same("id", "object", "expires_at", "model", "instructions"),
    **_OUTPUT,
    "speed": FieldMapping("audio.output.speed"),
    "temperature": FieldMapping("_temperature"),
    **_INPUT,
    **_same("tracing", "prompt", "include"),
    **_IGNORED,
}
TRANSCRIPTION: Mapping[str, FieldMapping] = {
    **_same("id", "object", "expires_at"),
    **_INPUT,
    **_same("include"),
    "modalities": FieldMapping(),
    **_IGNORED,
}


def _rename_parts(item: Json, types: Mapping[str, str]) -> Json:
    """Return an item with the parts of an assistant's message renamed."""
    match item:
        case {"role": "assistant", "content": [*parts]}:
            return {**item, "content": [_part(part, types) for part in parts]}
    return item


def _part(part: Json, types: Mapping[str, str]) -> Json:
    match part:
        case {"type": str(kind)} if kind in types:
            return {**part, "type": types[kind]}
    return part


to_ga_item = partial(_rename_parts, types=PARTS)
to_beta_item = partial(_rename_parts, types={ga: beta for beta, ga in PARTS.items()})


def _read_items(value: object, _: str) -> object:
    return [to_ga_item(item) for item in value] if isinstance(value, list) else value


def _write_items(items: list[Json]) -> list[Json]:
    return [to_beta_item(item) for item in items]


RESPONSE_PARAMS: Mapping[str, FieldMapping] = {
    **_same("conversation", "instructions", "metadata", "max_output_tokens"),
    "input": FieldMapping("input", _read_items, _write_items),
    **_OUTPUT,
    "temperature": FieldMapping(),
}
"""The parameters of a `response.create`."""

RESPONSE: Mapping[str, FieldMapping] = {
    **_same("id", "object", "conversation_id", "status", "status_details", "usage", "metadata"),
    **_same("max_output_tokens"),
    "output": FieldMapping("output", write=_write_items),
    **{name: _OUTPUT[name] for name in ("modalities", "voice", "output_audio_format")},
}
"""A response, as a server reports it."""


def to_ga(values: Mapping[str, object], fields: Mapping[str, FieldMapping], at: str) -> Json:
    """Return the fields of a session or response in GA's form. Raises `ProtocolError` for an unknown field."""
    result: Json = {}
    for name, value in values.items():
        if name not in fields:
            raise unknown(join_path(at, name))
        if path := fields[name].path:
            *places, last = path.split(".")
            inner = result
            for place in places:
                inner = inner.setdefault(place, {})
            inner[last] = fields[name].read(value, f"{at}.{name}")
    return result


def to_beta(values: Json, fields: Mapping[str, FieldMapping]) -> Json:
    """Return the fields of a session or response in the beta's form, without those that it does not have."""
    result: Json = {}
    for name, mapping in fields.items():
        *places, last = mapping.path.split(".")
        inner = values
        for place in places:
            inner = inner.get(place, {})
        if last in inner:
            result[name] = mapping.write(inner[last])
    return result


# parameters that errors name

_FIELDS = {
    f"{at}.{mapping.path}": f"{at}.{name}"
    for at, fields in (("session", SESSION), ("response", RESPONSE_PARAMS))
    for name, mapping in fields.items()
    if mapping.path not in ("", name)
}
_BETA_PARAMS = {"session.type": "type"} | _FIELDS
_GA_PARAMS = {name: ga for ga, name in _FIELDS.items()}


def to_beta_param(error: ProtocolError | ErrorDetails) -> tuple[str, str | None]:
    """Return an error's message and parameter as the beta spells them."""
    param = error.param or ""
    for ga, name in _BETA_PARAMS.items():
        # an unknown parameter that GA has is the client's own spelling: the beta has no such field
        if _is_within(param, ga) and (param != ga or error.code != "unknown_parameter"):
            return _renamed(error.message, param, name + param[len(ga) :])
    return error.message, error.param


def to_ga_param(message: str, param: str) -> tuple[str, str]:
    """Return the message and the parameter of a server's error as GA spells them."""
    for name, ga in _GA_PARAMS.items():
        if _is_within(param, name):
            return _renamed(message, param, ga + param[len(name) :])
    return message, param


def _is_within(param: str, field: str) -> bool:
    return param == field or param.startswith((f"{field}.", f"{field}["))


def _renamed(message: str, old: str, new: str) -> tuple[str, str]:
    return message.replace(f"'{old}'", f"'{new}'"), new
