"""JSON Schema (draft 2020-12): validation of schemas and values, descriptions, and a simplified form.

The `jsonschema` library takes a third of a second to import, so it is imported on demand.
"""

from collections.abc import Mapping
from typing import cast

from msgspec import UNSET

from vivavoce.protocol.session import FunctionTool

Schema = Mapping[str, object]

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


def check_schema(schema: object) -> None:
    """Raise `ValueError` if this is not a JSON Schema."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(error.message) from error


def fits_schema(value: object, schema: Schema) -> bool:
    """Return whether a JSON value fits a schema."""
    return schema_fault(value, schema) is None


def schema_fault(value: object, schema: Schema, root: Schema | None = None) -> str | None:
    """Return a sentence that says why a JSON value does not fit a schema; None if it does.

    References are resolved in `root`, the complete schema of which this is a part. References to other
    documents are not resolved, since the library would open any URL or file; they accept every value.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    validator = Draft202012Validator(root or schema, registry=Registry()).evolve(schema=schema)
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable:
        return None
    return error and str(error.message)


def describe_schema(schema: Schema) -> str:
    """Return a phrase that describes which values fit."""
    match schema:
        case {"enum": list(values)}:
            return f"one of: {', '.join(str(value) for value in values)}"
        case {"anyOf": list(options)}:
            return " or ".join(describe_schema(cast("Schema", option)) for option in options)
        case {"format": str(name)} if name in _FORMATS:
            return _FORMATS[name]
        case {"type": "object", "properties": {**properties}}:
            return f"an object with {', '.join(map(str, properties))}"
        case {"type": "object"}:
            return "an object"
        case {"type": str(name)}:
            return _TYPES.get(name, name)
    return "a value"


# A simplified form that a grammar can enforce token by token

_DEPTH = 6
_STRING_CHARS = 80
_BOUNDS = ("minimum", "maximum", "minItems", "maxItems")


def as_schema(value: object) -> Schema:
    """Return a JSON object as a schema; for anything else the empty schema, which every value fits."""
    return cast("Schema", value) if isinstance(value, Mapping) else {}


def argument_schema(tool: FunctionTool) -> dict[str, object]:
    """Return the simplified schema of a tool's arguments, always that of an object."""
    schema = simplify_schema(tool.parameters if tool.parameters is not UNSET else {})
    return schema if "properties" in schema else _object({}, [])


def simplify_schema(schema: Schema) -> dict[str, object]:
    """Return a schema with only types, choices, bounds and parts, and with references resolved.

    Patterns and formats are left out, recursion ends at a maximum depth, strings have a maximum length,
    required arrays have at least one item, and objects have no additional properties.
    """
    return _simplified(schema, schema, _DEPTH)


def _simplified(schema: Schema, root: Schema, depth: int) -> dict[str, object]:
    if depth == 0:
        return {}
    if isinstance(reference := schema.get("$ref"), str):
        return _simplified(_referenced(reference, root), root, depth - 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(key), list) and options:
            inner = [_simplified(as_schema(option), root, depth - 1) for option in options]
            return inner[0] if len(inner) == 1 else {"anyOf": inner}
    kept = {key: schema[key] for key in ("enum", "const") if key in schema}
    kept |= {key: schema[key] for key in _BOUNDS if isinstance(schema.get(key), int | float)}
    if types := _known_types(schema.get("type")):
        kept["type"] = types
    if isinstance(items := schema.get("items"), Mapping):
        kept["items"] = _simplified(items, root, depth - 1)
    if isinstance(properties := schema.get("properties"), Mapping):
        required = schema.get("required")
        needed = [name for name in required if name in properties] if isinstance(required, list) else []
        parts = {name: _simplified(as_schema(part), root, depth - 1) for name, part in properties.items()}
        for name in needed:
            if parts[name].get("type") == "array":
                parts[name] = {"minItems": 1, **parts[name]}
        kept |= _object(parts, needed)
    if kept.get("type") == "string" and "enum" not in kept:
        kept["maxLength"] = _STRING_CHARS
    return kept


def _object(properties: Schema, required: list[str]) -> dict[str, object]:
    shape = {"properties": dict(properties), "required": required}
    return {"type": "object", **shape, "additionalProperties": False}


def _known_types(types: object) -> object:
    """Return the types that JSON Schema defines; values could not be validated against others."""
    if isinstance(types, list):
        return [one for one in types if _known_types(one)]
    return types if isinstance(types, str) and (types in _TYPES or types == "object") else None


def _referenced(reference: str, root: Schema) -> Schema:
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = as_schema(found.get(step))
    return found
