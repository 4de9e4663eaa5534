"""JSON Schema of Python types, as models read it best: without references, and in words."""

from collections.abc import Mapping
from datetime import datetime, time
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec

__all__ = ["Schema", "fitting", "hint_of", "schema_of"]

Schema = dict[str, object]

_REFERENCE = "#/$defs/"
_FORMATS = {
    "date": "a date such as 2026-03-31",
    "time": "a time such as 14:30:00",
    "date-time": "a date and time such as 2026-03-31T14:30:00",
    "duration": "a duration such as PT15M",
    "uuid": "a UUID",
    "decimal": "a decimal number",
}
_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "null": "null",
}
_LOCAL = {time: "time", datetime: "date-time"}
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def schema_of(hint: object) -> Schema:
    """Return the schema of a type. Raises `TypeError` for one that has none, or contains itself."""
    (schema,), definitions = msgspec.json.schema_components([_with_formats(hint)])
    msgspec.json.Decoder(hint)  # knows of more that cannot be told apart in JSON
    inlined = _inline(schema, definitions, ())
    if not isinstance(inlined, dict):
        raise TypeError("it is no object")
    return inlined


def _with_formats(hint: Any) -> Any:  # noqa: ANN401 (it is a type)
    """Return a type that tells of times, too: msgspec is silent of those that may be without a time zone."""
    if hint in (time, datetime):
        return Annotated[hint, msgspec.Meta(extra_json_schema={"format": _LOCAL[hint]})]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_with_formats(inner[0]), *inner[1:])]
    if origin in (Union, UnionType):
        return Union[tuple(_with_formats(one) for one in inner)]  # noqa: UP007 (of a tuple)
    if origin in (list, set, tuple, dict):
        return origin[tuple(_with_formats(one) for one in inner)]
    return hint


def _inline(node: object, definitions: Mapping[str, Schema], within: tuple[str, ...]) -> object:
    match node:
        case {"$ref": str(reference), **beside}:
            name = reference.removeprefix(_REFERENCE)
            if name in within:
                raise TypeError(f"{name} contains itself")
            meant = {**definitions[name], **cast("Schema", beside)}
            meant.pop("title", None)
            return _inline(meant, definitions, (*within, name))
        case dict():
            fields: Schema = node
            return {
                key: _inline(value, definitions, within)
                for key, value in fields.items()
                if not (key == "discriminator" and isinstance(value, dict) and "mapping" in value)  # references
            }
        case list():
            return [_inline(value, definitions, within) for value in node]
        case _:
            return node


def hint_of(schema: Mapping[str, object]) -> Any:  # noqa: ANN401 (it is a type)
    """Return the type whose values fit a schema, as far as it goes: what it does not know, it lets pass."""
    match schema:
        case {"enum": [*values]} if all(isinstance(value, str | int) for value in values):
            return Literal[tuple(values)]
        case {"type": "string"}:
            return Annotated[
                str, _meta(schema, pattern="pattern", min_length="minLength", max_length="maxLength")
            ]
        case {"type": "integer"}:
            return Annotated[int, _meta(schema, **_BOUNDS)]
        case {"type": "number"}:
            return Annotated[int, _meta(schema, **_BOUNDS)] | Annotated[float, _meta(schema, **_BOUNDS)]
        case {"type": "boolean"}:
            return bool
        case {"type": "array", "items": {**items}}:
            return list[hint_of(cast("Schema", items))]  # type: ignore[misc]
        case {"type": "array"}:
            return list[Any]
        case {"type": "object"}:
            return dict[str, Any]
        case _:
            return Any


def _meta(schema: Mapping[str, object], **rules: str) -> msgspec.Meta:
    found: dict[str, Any] = {rule: schema[key] for rule, key in rules.items() if key in schema}
    return msgspec.Meta(**found)


def fitting(schema: Mapping[str, object]) -> str:
    """Say in words what fits."""
    match schema:
        case {"enum": list(values)}:
            return f"one of: {', '.join(str(value) for value in values)}"
        case {"anyOf": list(kinds)}:
            return " or ".join(fitting(kind) for kind in kinds)
        case {"format": str(name)} if name in _FORMATS:
            return _FORMATS[name]
        case {"type": "object", "properties": {**properties}}:
            return f"an object with {', '.join(map(str, properties))}"
        case {"type": "object"}:
            return "an object"
        case {"type": str(name)}:
            return _TYPES.get(name, name)
        case _:
            return "a value"
