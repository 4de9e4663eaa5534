"""Whether a value fits a JSON Schema, and what is said of one that does not."""

import json
from typing import Any

import pytest

from vivavoce.protocol.json_schema import (
    argument_schema,
    check_schema,
    describe_schema,
    fits_schema,
    schema_fault,
    simplify_schema,
)
from vivavoce.protocol.session import FunctionTool

ORDER = {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}, "required": ["count"]}


@pytest.mark.parametrize(
    ("value", "good"),
    [({"count": 1}, True), ({"count": 0}, False), ({"count": True}, False), ({}, False), ([], False)],
)
def test_a_value_fits_or_does_not(value: object, good: bool) -> None:
    assert fits_schema(value, ORDER) is good


def test_what_does_not_fit_is_told_in_a_sentence() -> None:
    assert schema_fault({"count": 0}, ORDER) == "0 is less than the minimum of 1"


def test_references_are_looked_up_in_the_whole_schema() -> None:
    whole = {"$defs": {"count": {"type": "integer"}}, "properties": {"it": {"$ref": "#/$defs/count"}}}
    assert schema_fault("x", {"$ref": "#/$defs/count"}, whole) == "'x' is not of type 'integer'"
    assert schema_fault(1, {"$ref": "#/$defs/count"}, whole) is None


def test_a_reference_that_leads_elsewhere_is_not_followed() -> None:
    assert fits_schema("anything", {"$ref": "file:///etc/hostname"})
    assert fits_schema("anything", {"$ref": "http://127.0.0.1:9/schema.json"})


@pytest.mark.parametrize("bad", [{"type": "text"}, {"pattern": "("}, {"minimum": "low"}, "text"])
def test_what_is_no_schema_is_told_apart(bad: Any) -> None:
    check_schema(ORDER)
    with pytest.raises(ValueError, match=r"."):
        check_schema(bad)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"enum": ["maps", 1]}, "one of: maps, 1"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "a text or null"),
        ({"type": "string", "format": "date"}, "a date such as 2026-03-31"),
        ({"type": "string", "format": "of our own"}, "a text"),
        (ORDER, "an object with count"),
        ({"type": "object"}, "an object"),
        ({"type": "of our own"}, "of our own"),
        ({}, "a value"),
    ],
)
def test_what_fits_is_described_in_words(schema: Any, words: str) -> None:
    assert describe_schema(schema) == words


# a simpler form

WEATHER = FunctionTool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "name of the city"},
            "day": {"type": "string", "enum": ["today", "tomorrow"]},
        },
        "required": ["city"],
    },
)
BOOK = FunctionTool(name="lend_book", description="Lend a book.")


def test_the_schema_of_arguments_is_that_of_an_object() -> None:
    assert argument_schema(WEATHER) == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 80},
            "day": {"type": "string", "enum": ["today", "tomorrow"]},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    empty = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert (
        argument_schema(BOOK) == argument_schema(FunctionTool(name="x", parameters={"type": "object"})) == empty
    )


def test_a_simplified_schema_has_no_references_and_no_patterns() -> None:
    schema = {
        "type": "object",
        "properties": {
            "item": {"$ref": "#/$defs/Item"},
            "lost": {"$ref": "#/$defs/Nothing"},
            "many": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "one": {"allOf": [{"type": "boolean"}]},
        },
        "required": ["many", "strange"],
        "$defs": {"Item": {"type": "string", "pattern": "^a"}},
    }
    made = simplify_schema(schema)["properties"]
    assert made == {
        "item": {"type": "string", "maxLength": 80},
        "lost": {},
        "many": {"minItems": 1, "type": "array", "items": {"type": "integer", "minimum": 1}},
        "maybe": {"anyOf": [{"type": "string", "maxLength": 80}, {"type": "null"}]},
        "one": {"type": "boolean"},
    }
    assert simplify_schema(schema)["required"] == ["many"]
    assert simplify_schema({"properties": {}, "required": "city"})["required"] == []


def test_a_schema_that_holds_itself_ends() -> None:
    assert "$ref" not in json.dumps(simplify_schema({"properties": {"self": {"$ref": "#"}}}))


@pytest.mark.parametrize(
    ("value", "schema", "good"),
    [
        (3, {"type": "integer", "minimum": 1, "maximum": 5}, True),
        (9, {"type": "integer", "maximum": 5}, False),
        (0, {"type": "number", "minimum": 1}, False),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean", "minimum": 5}, True),
        (1.5, {"type": "integer"}, False),
        (1.5, {"type": ["integer", "number"]}, True),
        (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
        (2, {"anyOf": [{"type": "string"}, {"type": "null"}]}, False),
        ("a", {"const": "a"}, True),
        ("b", {"const": "a"}, False),
        ([], {"type": "array", "minItems": 1}, False),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}, False),
        ([1, 2], {"type": "array", "items": {"type": "integer"}, "maxItems": 2}, True),
        ({"a": {"b": 1}}, {"properties": {"a": {"required": ["c"]}}}, False),
        ({"x": 1}, {"type": "object", "properties": {}, "additionalProperties": False}, False),
        ("anything", {}, True),
    ],
)
def test_a_value_is_checked_against_types_choices_bounds_and_parts(
    value: object, schema: dict[str, object], good: bool
) -> None:
    assert fits_schema(value, schema) is good


def test_a_simplified_schema_can_always_be_checked() -> None:
    odd = {"properties": {"a": {"type": "unheard of"}, "b": {"type": "integer", "minimum": "five"}}}
    assert fits_schema({"a": "anything", "b": 3}, simplify_schema(odd))
    assert not fits_schema({"b": 1.5}, simplify_schema(odd))


def test_only_types_that_can_be_checked_are_kept() -> None:
    assert simplify_schema({"type": ["string", "null", "decimal"]})["type"] == ["string", "null"]
