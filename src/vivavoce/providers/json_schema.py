"""JSON schemas of a tool's arguments: what of them a model can be held to, and whether a value fits."""

from collections.abc import Mapping
from typing import cast

from msgspec import UNSET

from vivavoce.protocol.session import FunctionTool

__all__ = ["Json", "form", "mapping", "parameters", "plain", "valid"]

_STRING_CHARS = 80
_DEPTH = 6
_KEPT = ("type", "enum", "const", "minimum", "maximum", "minItems", "maxItems")

Json = Mapping[str, object]


def parameters(tool: FunctionTool) -> Json:
    """Return the schema of a tool's arguments, as the tool has it."""
    return tool.parameters if tool.parameters is not UNSET else {}


def mapping(value: object) -> Json:
    """Return a JSON object, or an empty one for whatever else it is."""
    return cast("Json", value) if isinstance(value, Mapping) else {}


def form(tool: FunctionTool) -> dict[str, object]:
    """Return the JSON schema that a tool's arguments are held to."""
    schema = plain(parameters(tool))
    return schema if "properties" in schema else _object({})


def _object(properties: Json) -> dict[str, object]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def plain(schema: Json) -> dict[str, object]:
    """Return what of a JSON schema can be held to word by word: kinds, choices, bounds and what is inside.

    References are filled in; patterns and formats are let go; no string grows without end.
    """
    return _plain(schema, schema, _DEPTH)


def _plain(schema: Json, root: Json, depth: int) -> dict[str, object]:
    if depth == 0:
        return {}
    if isinstance(reference := schema.get("$ref"), str):
        return _plain(_follow(reference, root), root, depth - 1)
    kept = {key: schema[key] for key in _KEPT if key in schema}
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(key), list) and options:
            inner = [_plain(mapping(option), root, depth - 1) for option in options]
            return inner[0] if len(inner) == 1 else {"anyOf": inner}
    if isinstance(items := schema.get("items"), Mapping):
        kept["items"] = _plain(items, root, depth - 1)
    if isinstance(properties := schema.get("properties"), Mapping):
        required = schema.get("required")
        needed = [name for name in required if name in properties] if isinstance(required, list) else []
        inner_ones = {name: _plain(mapping(what), root, depth - 1) for name, what in properties.items()}
        kept |= _object({name: _filled(what) if name in needed else what for name, what in inner_ones.items()})
        kept["required"] = needed
    if kept.get("type") == "string" and "enum" not in kept:
        kept["maxLength"] = _STRING_CHARS
    return kept


def _filled(schema: dict[str, object]) -> dict[str, object]:
    return {"minItems": 1, **schema} if schema.get("type") == "array" else schema


def _follow(reference: str, root: Json) -> Json:
    found: Json = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = mapping(found.get(step))
    return found


_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def valid(value: object, schema: Json) -> bool:
    """Say whether a value is what a schema made `plain` asks for."""
    if isinstance(options := schema.get("anyOf"), list):
        return any(valid(value, mapping(option)) for option in options)
    if isinstance(allowed := schema.get("enum"), list) and value not in allowed:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    return _is_kind(value, schema.get("type")) and _within(value, schema) and _inside(value, schema)


def _is_kind(value: object, kind: object) -> bool:
    if isinstance(kind, list):
        return any(_is_kind(value, one) for one in kind)
    if isinstance(value, bool) and kind in ("integer", "number"):
        return False
    return not isinstance(kind, str) or isinstance(value, _KINDS.get(kind, (object,)))


def _within(value: object, schema: Json) -> bool:
    if isinstance(value, bool):
        return True
    size = value if isinstance(value, int | float) else len(value) if isinstance(value, list) else None
    low, high = ("minItems", "maxItems") if isinstance(value, list) else ("minimum", "maximum")
    least, most = schema.get(low), schema.get(high)
    return size is None or not (
        (isinstance(least, int | float) and size < least) or (isinstance(most, int | float) and size > most)
    )


def _inside(value: object, schema: Json) -> bool:
    if isinstance(value, list):
        return all(valid(one, mapping(schema.get("items"))) for one in value)
    if isinstance(value, dict):
        properties, required = mapping(schema.get("properties")), schema.get("required", [])
        if schema.get("additionalProperties") is False and set(value) - set(properties):
            return False
        good = all(valid(one, mapping(properties.get(name))) for name, one in value.items())
        return good and all(name in value for name in cast("list[str]", required))
    return True
