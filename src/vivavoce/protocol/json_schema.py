"""JSON Schema, draft 2020-12: whether a schema is one, whether a value fits it, and what fits, in words.

The `jsonschema` library takes a third of a second to import, so that is done when it is first needed.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

__all__ = ["Schema", "check_schema", "describe_schema", "fits_schema", "schema_fault"]

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


@cache
def _validator_class() -> Any:  # noqa: ANN401 (the library has no types)
    from jsonschema import Draft202012Validator

    return Draft202012Validator


def check_schema(schema: object) -> None:
    """Raise `ValueError` if this is not a JSON Schema."""
    from jsonschema.exceptions import SchemaError

    try:
        _validator_class().check_schema(schema)
    except SchemaError as error:
        raise ValueError(error.message) from error


def fits_schema(value: object, schema: Schema) -> bool:
    """Return whether a JSON value fits a schema."""
    return schema_fault(value, schema) is None


def schema_fault(value: object, schema: Schema, root: Schema | None = None) -> str | None:
    """Return in a sentence why a JSON value does not fit a schema; None if it does.

    References are looked up in `root`, the whole schema of which this is a part. Those that lead elsewhere are
    not followed, as the library would (it opens any address, files among them), and let everything pass.
    """
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    validator = _validator_class()(root or schema, registry=Registry()).evolve(schema=schema)
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable:
        return None
    return error and str(error.message)


def describe_schema(schema: Schema) -> str:
    """Return in words which values fit."""
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
        case _:
            return "a value"
