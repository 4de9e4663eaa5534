"""Whether a value fits a JSON Schema, and what is said of one that does not."""

from typing import Any

import pytest

from vivavoce.protocol.json_schema import check_schema, describe_schema, fits_schema, schema_fault

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
