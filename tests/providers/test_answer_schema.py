"""A schema that no grammar enforces is refused by name, instead of being passed over."""

import pytest

from vivavoce.providers.qwen.answer_schema import unenforceable

CAT = {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]}
DROPPED = [r"(?=a)b", r"\bfoo\b", r"(a)\1", "a$|^b", "a\\", "(?P<x>a)"]
"""patterns of which llama.cpp makes any text"""
DOG = {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]}


def holding(part: dict[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": {"v": part}, "required": ["v"], "additionalProperties": False}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
        {"type": ["integer", "null"], "maximum": 9},
        {"type": "string", "minLength": 1, "maxLength": 9, "title": "Name", "description": "…", "default": ""},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"type": "string", "pattern": r"^(?:\d{2}|[^$\]]\$)+$"},
        {"type": "string", "format": "date-time"},
        {"type": "array", "items": {"enum": [1, "two", None]}, "minItems": 1, "maxItems": 3},
        {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/cat"}], "$defs": {"cat": CAT}},
        {"oneOf": [CAT, DOG]},
        {"oneOf": [{"type": "string"}, {"type": "number"}]},
    ],
)
def test_what_a_grammar_enforces_is_accepted(part: dict[str, object]) -> None:
    assert unenforceable(holding(part)) is None


@pytest.mark.parametrize(
    ("part", "where"),
    [
        ({"type": "number", "maximum": 1}, "maximum"),
        ({"type": ["integer", "number"], "minimum": 1}, "minimum"),
        ({"maximum": 1}, "maximum"),
        ({"type": "integer", "multipleOf": 5}, "multipleOf"),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "format": "email"}, "format"),
        ({"type": "string", "pattern": "[a-z]"}, "pattern"),
        *(({"type": "string", "pattern": f"^{dropped}$"}, "pattern") for dropped in DROPPED),
        ({"type": "string", "pattern": "^a+$", "maxLength": 3}, "pattern"),
        ({"type": "array", "contains": {"const": 1}}, "contains"),
        ({"type": "object", "minProperties": 1}, "minProperties"),
        ({"type": "object", "patternProperties": {"^a": {}}}, "patternProperties"),
        ({"if": CAT, "then": DOG}, "if"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"oneOf": [CAT, CAT]}, "oneOf"),
        ({"type": "array", "items": {"type": "number", "minimum": 0}}, "items.minimum"),
        ({"anyOf": [{"type": "null"}, {"type": "number", "minimum": 0}]}, "anyOf[1].minimum"),
        ({"type": "object", "additionalProperties": {"not": {}}}, "additionalProperties.not"),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"multipleOf": 2}}}, "$defs.n.multipleOf"),
    ],
)
def test_what_it_would_drop_is_named(part: dict[str, object], where: str) -> None:
    assert unenforceable(holding(part)) == f"schema.properties.v.{where}"
