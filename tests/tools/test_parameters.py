"""Laws of what a function takes, for which Hypothesis looks for exceptions."""

from contextlib import suppress
from datetime import date, datetime, time
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from vivavoce.errors import ConfigError
from vivavoce.protocol.json_schema import describe_schema
from vivavoce.tools.parameters import Parameters
from vivavoce.tools.types import ToolError

SIMPLE: SearchStrategy[object] = st.sampled_from(
    [str, int, float, bool, date, time, datetime, Literal["a", "b"]]
)
HINTS = st.recursive(
    SIMPLE, lambda inner: inner.map(lambda one: list[one]) | inner.map(lambda one: dict[str, one]), max_leaves=3
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def fits(schema: dict[str, Any]) -> SearchStrategy[object]:
    """Return values that a schema of ours allows."""
    match schema:
        case {"enum": values}:
            return st.sampled_from(values)
        case {"format": "date"}:
            return st.dates().map(str)
        case {"format": "time"}:
            return st.times().map(time.isoformat)
        case {"format": "date-time"}:
            return st.datetimes().map(datetime.isoformat)
        case {"type": "string"}:
            return st.text(max_size=20)
        case {"type": "integer"}:
            return st.integers(-(2**63), 2**63 - 1)
        case {"type": "number"}:
            return st.floats(allow_nan=False, allow_infinity=False)
        case {"type": "boolean"}:
            return st.booleans()
        case {"type": "array", "items": items}:
            return st.lists(fits(items), max_size=3)
        case {"type": "object", "additionalProperties": values}:
            return st.dictionaries(st.text(max_size=5), fits(values), max_size=3)
    raise AssertionError(schema)


def parameters_of(hint: object) -> Parameters:
    def take(it: Any) -> None: ...

    take.__annotations__["it"] = hint
    return Parameters.of(take, {}, "take")


@given(HINTS, st.data())
def test_what_fits_the_schema_is_taken_as_it_is(hint: object, data: st.DataObject) -> None:
    parameters = parameters_of(hint)
    schema: Any = parameters.schema
    value = data.draw(fits(schema["properties"]["it"]))
    read = parameters.read(msgspec.json.encode({"it": value}).decode())["it"]
    assert read == msgspec.convert(value, hint)


@given(HINTS, JSON)
def test_whatever_a_model_writes_is_taken_or_refused_in_a_sentence(hint: Any, value: object) -> None:
    written = msgspec.json.encode({"it": value}).decode()
    try:
        read = parameters_of(hint).read(written)
    except ToolError as fault:
        said = str(fault)
    else:
        said = "it: needed is nothing"
        msgspec.convert(msgspec.to_builtins(read["it"]), hint)
    assert "it: " in said
    assert "needed is " in said


@given(st.text() | JSON.map(lambda value: msgspec.json.encode(value).decode()))
def test_arguments_may_be_any_text(arguments: str) -> None:
    with suppress(ToolError):
        assert isinstance(parameters_of(str).read(arguments)["it"], str)


@given(HINTS)
def test_the_schema_of_a_type_is_read_as_a_type_again(hint: object) -> None:
    schema: Any = parameters_of(hint).schema
    again = Parameters.from_schema(schema, "it")
    assert again.schema == schema
    assert describe_schema(schema["properties"]["it"])


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "pattern": r"^\d{4}$"}, "1042", "x"),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "ab", "abcd"),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 5}, 4, 5),
        ({"type": "number", "exclusiveMinimum": 0}, 1, 0),
        ({"type": "boolean"}, True, "perhaps"),
        ({"type": "array", "items": {"type": "integer"}}, [1], ["x"]),
        ({"type": "array"}, ["x"], "x"),
        ({"type": "object"}, {"a": 1}, []),
        ({"enum": ["a", 1]}, 1, "b"),
        ({"anyOf": [{"type": "string"}]}, "whatever", None),
        ({}, {"any": "thing"}, None),
        ({"oneOf": [{"type": "string"}]}, "x", []),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 1}, {"a": "x"}),
    ],
)
def test_a_schema_that_somebody_wrote_is_held_to(schema: dict[str, object], good: object, bad: object) -> None:
    parameters = Parameters.from_schema(
        {"type": "object", "properties": {"it": schema}, "required": ["it"]}, "x"
    )
    assert parameters.read(msgspec.json.encode({"it": good}).decode()) == {"it": good}
    if bad is not None:
        with pytest.raises(ToolError, match="it: "):
            parameters.read(msgspec.json.encode({"it": bad}).decode())


@pytest.mark.parametrize(
    "one", [{"type": "string", "pattern": "("}, {"type": "integer", "minimum": "low"}, "text"]
)
def test_what_is_no_schema_is_the_owners_mistake(one: Any) -> None:
    with pytest.raises(ConfigError, match="x: parameters is not JSON Schema"):
        Parameters.from_schema({"type": "object", "properties": {"it": one}}, "x")


def test_a_reference_is_looked_up_in_the_whole_schema() -> None:
    shelf = {"enum": ["maps", "novels"]}
    whole = {"type": "object", "properties": {"it": {"$ref": "#/$defs/shelf"}}, "$defs": {"shelf": shelf}}
    parameters = Parameters.from_schema(whole, "x")
    assert parameters.read('{"it": "maps"}') == {"it": "maps"}
    with pytest.raises(ToolError, match="it: 'poems' is not one of"):
        parameters.read('{"it": "poems"}')


def test_a_schema_that_nobody_knows_lets_everything_pass() -> None:
    parameters = Parameters.from_schema({"type": "object", "properties": {"it": {"kind": "of our own"}}}, "x")
    assert parameters.read('{"it": [1]}') == {"it": [1]}
