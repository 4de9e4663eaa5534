"""Which JSON Schemas llama.cpp can hold an answer to: of others its grammar drops parts without a word.

Source: its `common/json-schema-to-grammar.cpp`, and `grammars/README.md`, "JSON Schemas → GBNF".
"""

import re
from collections.abc import Iterator, Mapping

from vivavoce.protocol.json_schema import Schema, as_schema

_ANNOTATIONS = frozenset(
    "$schema $id $comment $defs definitions title description default examples deprecated readOnly writeOnly "
    "discriminator strict".split()
)
_ENFORCED = frozenset(
    "$ref type enum const anyOf oneOf allOf properties required additionalProperties items prefixItems "
    "minItems maxItems minLength maxLength".split()
)
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_FORMATS = frozenset({"date", "time", "date-time", "uuid"})
_PATTERN = re.compile(r"\^(?:\\[^bBAZzGpPk1-9]|\[(?:\\.|[^\]\\])+\]|\(\?:|\((?!\?)|[^\\\[(^$])*\$", re.DOTALL)
"""one whole pattern that looks neither ahead nor back: other patterns are dropped"""
_PARTS = ("additionalProperties", "items")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")


def unenforceable(schema: Schema, path: str = "schema") -> str | None:
    """Return where a schema asks for what no grammar enforces, such as `schema.properties.age.multipleOf`."""
    return next(_unenforceable(schema, path), None)


def _unenforceable(schema: Schema, path: str) -> Iterator[str]:
    for key, value in schema.items():
        if not _is_enforced(key, value, schema):
            yield f"{path}.{key}"
    for key in _PARTS:
        if isinstance(part := schema.get(key), Mapping):
            yield from _unenforceable(part, f"{path}.{key}")
    for key in _LISTS:
        if isinstance(parts := schema.get(key), list):
            for index, part in enumerate(parts):
                if isinstance(part, Mapping):
                    yield from _unenforceable(part, f"{path}.{key}[{index}]")
    for key in _MAPS:
        if isinstance(named := schema.get(key), Mapping):
            for name, part in named.items():
                if isinstance(part, Mapping):
                    yield from _unenforceable(part, f"{path}.{key}.{name}")


def _is_enforced(key: str, value: object, schema: Schema) -> bool:
    if key in _BOUNDS:  # of numbers with a fraction it knows none
        types = schema.get("type")
        return "number" not in types if isinstance(types, list) else types == "integer"
    if key == "format":
        return value in _FORMATS
    if key == "pattern":  # which also replaces the bounds of the length
        return (
            isinstance(value, str)
            and _PATTERN.fullmatch(value) is not None
            and not schema.keys() & {"minLength", "maxLength", "format"}
        )
    if key == "oneOf":
        return isinstance(value, list) and _are_disjoint([as_schema(one) for one in value])
    return key in _ENFORCED or key in _ANNOTATIONS


def _are_disjoint(options: list[Schema]) -> bool:
    """Whether no value fits two of these, as a grammar allows: by their types, or by a constant in each."""
    types = [one.get("type") for one in options]
    if all(isinstance(one, str) for one in types) and len(set(types)) == len(types):
        return "integer" not in types or "number" not in types
    constants = [dict(_required_constants(one)) for one in options]
    shared = set.intersection(*(set(one) for one in constants)) if constants else set()
    return any(len({one[name] for one in constants}) == len(constants) for name in shared)


def _required_constants(schema: Schema) -> Iterator[tuple[str, str]]:
    required = schema.get("required")
    for name, part in as_schema(schema.get("properties")).items():
        if isinstance(required, list) and name in required and "const" in as_schema(part):
            yield name, repr(as_schema(part)["const"])
