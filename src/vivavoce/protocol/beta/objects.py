"""The beta's sessions, responses and items: where GA has each of their fields, and how its value is written."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from msgspec import inspect

from vivavoce.protocol.validation import fitted, invalid, joined, unknown

__all__ = [
    "FORMATS",
    "PARTS",
    "RESPONSE",
    "SESSION",
    "TRANSCRIPTION",
    "WISHES",
    "Json",
    "Spelling",
    "flattened",
    "nested",
    "read_item",
    "write_item",
]

Json = dict[str, Any]

FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
PARTS = {"text": "output_text", "audio": "output_audio"}
"""What an assistant's message holds."""


class Spelling(NamedTuple):
    """Where GA has a field (nowhere: it is accepted, and means nothing), how its value is read, and written."""

    path: str = ""
    read: Callable[[Any, str], object] = lambda value, param: value
    write: Callable[[Any], object] = lambda value: value


_FORMAT = inspect.type_info(Literal["pcm16", "g711_ulaw", "g711_alaw"] | None)
_MODALITIES = inspect.type_info(tuple[Literal["text", "audio"], ...] | None)


def _plain(value: object, kind: inspect.Type, param: str) -> Any:  # noqa: ANN401 (it is JSON)
    return fitted(value, kind, param, lambda text, param: None)


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


def _same(*names: str) -> dict[str, Spelling]:
    return {name: Spelling(name) for name in names}


_HEARING = {
    "input_audio_format": Spelling("audio.input.format", _read_format, _write_format),
    "input_audio_transcription": Spelling("audio.input.transcription"),
    "input_audio_noise_reduction": Spelling("audio.input.noise_reduction"),
    "turn_detection": Spelling("audio.input.turn_detection", _read_turns),
}
_ANSWERING = {
    "modalities": Spelling("output_modalities", _read_modalities, _write_modalities),
    "voice": Spelling("audio.output.voice", write=_write_voice),
    "output_audio_format": Spelling("audio.output.format", _read_format, _write_format),
    "tools": Spelling("tools", _read_tools),
    "tool_choice": Spelling("tool_choice", _read_choice),
    "max_response_output_tokens": Spelling("max_output_tokens"),
}
_IGNORED = {"type": Spelling(), "client_secret": Spelling()}

SESSION: Mapping[str, Spelling] = {
    **_same("id", "object", "expires_at", "model", "instructions"),
    **_ANSWERING,
    "speed": Spelling("audio.output.speed"),
    "temperature": Spelling("_temperature"),
    **_HEARING,
    **_same("tracing", "prompt", "include"),
    **_IGNORED,
}
TRANSCRIPTION: Mapping[str, Spelling] = {
    **_same("id", "object", "expires_at"),
    **_HEARING,
    **_same("include"),
    "modalities": Spelling(),
    **_IGNORED,
}


# items


def _message(item: Json, types: Mapping[str, str]) -> Json:
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


read_item = partial(_message, types=PARTS)
write_item = partial(_message, types={ga: beta for beta, ga in PARTS.items()})


def _read_items(value: object, _: str) -> object:
    return [read_item(item) for item in value] if isinstance(value, list) else value


def _write_items(items: list[Json]) -> list[Json]:
    return [write_item(item) for item in items]


WISHES: Mapping[str, Spelling] = {
    **_same("conversation", "instructions", "metadata", "max_output_tokens"),
    "input": Spelling("input", _read_items, _write_items),
    **_ANSWERING,
    "temperature": Spelling(),
}
"""What a `response.create` may wish."""

RESPONSE: Mapping[str, Spelling] = {
    **_same("id", "object", "conversation_id", "status", "status_details", "usage", "metadata"),
    **_same("max_output_tokens"),
    "output": Spelling("output", write=_write_items),
    **{name: _ANSWERING[name] for name in ("modalities", "voice", "output_audio_format")},
}
"""What a server tells about a response."""


# whole objects


def nested(said: Mapping[str, object], fields: Mapping[str, Spelling], at: str) -> Json:
    """Return what a client said about a session or response as GA has it."""
    result: Json = {}
    for name, value in said.items():
        if name not in fields:
            raise unknown(joined(at, name))
        if path := fields[name].path:
            *places, last = path.split(".")
            inner = result
            for place in places:
                inner = inner.setdefault(place, {})
            inner[last] = fields[name].read(value, f"{at}.{name}")
    return result


def flattened(said: Json, fields: Mapping[str, Spelling]) -> Json:
    """Return what GA has as the beta has it; what the beta does not know is left out."""
    result: Json = {}
    for name, spelling in fields.items():
        *places, last = spelling.path.split(".")
        inner = said
        for place in places:
            inner = inner.get(place, {})
        if last in inner:
            result[name] = spelling.write(inner[last])
    return result
