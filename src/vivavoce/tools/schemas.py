"""JSON Schema of Python types, as models read it best: without references, and in words."""

from collections.abc import Mapping
from typing import cast

import msgspec

__all__ = ["Schema", "fitting", "schema_of"]

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


def schema_of(hint: object) -> Schema:
    """Return the schema of a type. Raises `TypeError` for one that has none, or contains itself."""
    (schema,), definitions = msgspec.json.schema_components([hint])
    msgspec.json.Decoder(hint)  # knows of more that cannot be told apart in JSON
    inlined = _inline(schema, definitions, ())
    if not isinstance(inlined, dict):
        raise TypeError("it is no object")
    return inlined


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
